import type { MountFlag, Operator } from "./control.ts";
import { Fields } from "./fields.ts";
import { combinationFaults } from "./operator-combinations.ts";
import { contextFault, GREATEST_ID, idFault, pathFault, targetFault } from "./operator-rules.ts";
import { BadInput } from "./outcome.ts";

const operatorKeys = [
  "id",
  "path",
  "kind",
  "state",
  "via",
  "seed",
  "literal",
  "mode",
  "owner",
  "group",
  "context",
  "flags",
  "size",
  "inodes",
  "target",
  "merge",
  "onFailure",
  "cache",
  "exclude",
  "generate",
  "renamedFrom",
  "reason",
  "origin",
];

/** Reads one operator of a control file and checks it alone. `where` names it: "operators[3]". Throws BadInput. */
export function readOperator(value: unknown, where: string): Operator {
  const fields = new Fields(value, where, operatorKeys);
  const read: Operator = {
    id: fields.sound("id", fields.text("id"), idFault),
    path: fields.sound("path", fields.text("path"), pathFault),
    kind: fields.oneOf("kind", ["directory", "file"]),
    state: fields.nullable("state", () => fields.oneOf("state", ["ephemeral", "persistent", "shared", "identity"])),
    via: fields.oneOf("via", ["overlay", "bind", "tmpfs", "symlink", "mask", "readonly"]),
    seed: fields.oneOf("seed", ["image", "none", "literal"]),
    literal: fields.nullable("literal", () => anyText(fields, "literal")),
    mode: fields.nullable("mode", () => fields.integer("mode", 0, 0o7777)),
    owner: fields.nullable("owner", () => fields.integer("owner", 0, GREATEST_ID)),
    group: fields.nullable("group", () => fields.integer("group", 0, GREATEST_ID)),
    context: fields.nullable("context", () => fields.sound("context", fields.text("context"), contextFault)),
    flags: texts(fields, "flags").map((_, index, all) => flagAt(fields, all, index)),
    size: fields.nullable("size", () => fields.integer("size", 4096, Number.MAX_SAFE_INTEGER)),
    inodes: fields.nullable("inodes", () => fields.integer("inodes", 2, Number.MAX_SAFE_INTEGER)),
    target: fields.nullable("target", () => fields.sound("target", fields.text("target"), pathFault)),
    merge: fields.oneOf("merge", ["local", "image", "keyed", "fail"]),
    onFailure: fields.oneOf("onFailure", ["required", "degraded"]),
    cache: fields.oneOf("cache", [true, false]),
    exclude: texts(fields, "exclude"),
    generate: fields.nullable("generate", () => fields.oneOf("generate", ["machine-id", "uuid", "random"])),
    renamedFrom: fields.nullable("renamedFrom", () => fields.sound("renamedFrom", fields.text("renamedFrom"), idFault)),
    reason: fields.nullable("reason", () => fields.text("reason")),
    origin: fields.text("origin"),
  };
  const wrong = targetFault(read.path, read.state) ?? combinationFaults(read)[0]?.text ?? null;
  if (wrong !== null) {
    throw new BadInput(`${where} (${read.origin}): ${wrong}`);
  }
  return read;
}

const mountFlags: readonly MountFlag[] = ["nodev", "noexec", "nosuid", "nosymfollow"];

/** One flag of a list that is sorted and has none twice. */
function flagAt(fields: Fields, all: readonly string[], index: number): MountFlag {
  const flag = mountFlags.find((known) => known === all[index]);
  const before = all[index - 1];
  const inOrder = before === undefined || before < (all[index] ?? "");
  return flag !== undefined && inOrder ? flag : fields.fail("flags", `a sorted list of ${mountFlags.join(", ")}`);
}

function anyText(fields: Fields, key: string): string {
  const value = fields.value(key);
  return typeof value === "string" && value.isWellFormed() ? value : fields.fail(key, "a text in valid UTF-8");
}

function texts(fields: Fields, key: string): string[] {
  return fields
    .list(key)
    .map((value) => (typeof value === "string" && value !== "" ? value : fields.fail(key, "a list of texts")));
}
