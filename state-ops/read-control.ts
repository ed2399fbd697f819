import { canonicalJson, sha256 } from "./canonical-json.ts";
import { type ControlFile, MOST_SLOTS, type MountFlag, type Operator, type SlotDefinition } from "./control.ts";
import { deviceFault } from "./device-reference.ts";
import { Fields } from "./fields.ts";
import { combinationFault, idFault, nestingFault, parentOf, pathFault, slotNameFault, targetFault } from "./operator-rules.ts";
import { BadInput } from "./outcome.ts";

/** Longest wait that a control file may ask for, in seconds. */
const day = 86_400;
const greatestId = 0xff_ff_ff_fe;

const controlKeys = [
  "schema",
  "system",
  "slots",
  "disk",
  "data",
  "bootRecord",
  "chooser",
  "tries",
  "trialDeadline",
  "deviceTimeout",
  "watchdog",
  "commandLine",
  "trust",
  "accounts",
  "operators",
  "digest",
];
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

/**
 * Reads the text of a control file and checks all of it: version, every key and value, the canonical form, the digest,
 * and that the operators fit together (no path or id twice, parents before children). Throws BadInput that names the
 * first thing that is wrong; unknown keys are refused, never ignored.
 */
export function readControl(text: string): ControlFile {
  try {
    return read(text);
  } catch (error) {
    throw error instanceof BadInput ? new BadInput(`control file: ${error.message}`) : error;
  }
}

function read(text: string): ControlFile {
  const value = parse(text);
  if (typeof value === "object" && value !== null && "schema" in value && value.schema !== 1) {
    throw new BadInput(`schema must be 1, is ${JSON.stringify(value.schema)}; this initrd is older than the file, renew it`);
  }
  const fields = new Fields(value, "", controlKeys);
  const control: ControlFile = {
    schema: fields.oneOf("schema", [1]),
    system: fields.text("system"),
    slots: slots(fields),
    disk: fields.nullable("disk", () => device(fields, "disk")),
    data: fields.nullable("data", () => data(fields.object("data", ["device", "filesystem", "whenReplaced"]))),
    bootRecord: bootRecord(fields.object("bootRecord", ["store", "device"])),
    chooser: fields.oneOf("chooser", ["slipway"]),
    tries: tries(fields.object("tries", ["trial", "committed"])),
    trialDeadline: fields.integer("trialDeadline", 1, day),
    deviceTimeout: fields.integer("deviceTimeout", 1, day),
    watchdog: fields.nullable("watchdog", () => watchdog(fields.object("watchdog", ["timeout", "after"]))),
    commandLine: fields.oneOf("commandLine", ["open", "locked"]),
    trust: { mode: fields.object("trust", ["mode"]).oneOf("mode", ["unsigned"]) },
    accounts: accounts(fields.object("accounts", ["users", "groups"])),
    operators: fields.list("operators").map((entry, index) => operator(entry, `operators[${index}]`)),
    digest: fields.text("digest"),
  };
  checkDigest(control, text);
  checkTogether(control.operators);
  return control;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new BadInput(`not JSON (${error instanceof Error ? error.message : error}); write it with slipway state compile`);
  }
}

function device(fields: Fields, key: string): string {
  return fields.sound(key, fields.text(key), deviceFault);
}

function slots(fields: Fields): SlotDefinition[] {
  const list = fields.list("slots").map((entry, index) => {
    const slot = new Fields(entry, `slots[${index}]`, ["name", "device"]);
    return { name: slot.sound("name", slot.text("name"), slotNameFault), device: device(slot, "device") };
  });
  if (list.length === 0 || list.length > MOST_SLOTS) {
    fields.fail("slots", `a list of 1 to ${MOST_SLOTS} slots`);
  }
  const twice = list.find((slot, index) => list.findIndex((other) => other.name === slot.name) !== index);
  if (twice !== undefined) {
    throw new BadInput(`slots: two are named "${twice.name}"`);
  }
  return list;
}

function data(fields: Fields): NonNullable<ControlFile["data"]> {
  return {
    device: device(fields, "device"),
    filesystem: fields.oneOf("filesystem", ["ext4", "xfs", "btrfs"]),
    whenReplaced: fields.oneOf("whenReplaced", ["refuse", "adopt"]),
  };
}

function accounts(fields: Fields): ControlFile["accounts"] {
  return { users: numbers(fields, "users"), groups: numbers(fields, "groups") };
}

/** Names and their numbers. */
function numbers(fields: Fields, key: string): Record<string, number> {
  const value = fields.value(key);
  if (typeof value !== "object" || value === null || Array.isArray(value)) return fields.fail(key, "an object");
  return Object.fromEntries(
    Object.entries(value).map(([name, number]): [string, number] => {
      const whole = typeof number === "number" && Number.isInteger(number) && number >= 0 && number <= greatestId;
      return [name, whole ? number : fields.fail(key, "an object of names and whole numbers")];
    }),
  );
}

function bootRecord(fields: Fields): ControlFile["bootRecord"] {
  return { store: fields.oneOf("store", ["record"]), device: device(fields, "device") };
}

function tries(fields: Fields): ControlFile["tries"] {
  return { trial: fields.integer("trial", 1, 100), committed: fields.integer("committed", 1, 100) };
}

function watchdog(fields: Fields): NonNullable<ControlFile["watchdog"]> {
  return { timeout: fields.integer("timeout", 1, day), after: fields.oneOf("after", ["systemd", "keep", "stop"]) };
}

function operator(value: unknown, where: string): Operator {
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
    owner: fields.nullable("owner", () => fields.integer("owner", 0, greatestId)),
    group: fields.nullable("group", () => fields.integer("group", 0, greatestId)),
    context: fields.nullable("context", () => fields.text("context")),
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
  const wrong = targetFault(read.path, read.state) ?? combinationFault(read);
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

function checkDigest(control: ControlFile, text: string): void {
  if (canonicalJson(control) !== text) {
    throw new BadInput("not in canonical form (RFC 8785 and a newline); write it with slipway state compile");
  }
  // In a canonical text quotes inside strings are escaped, so this is the key itself; it is never the last one.
  const wanted = sha256(text.replace(`"digest":${JSON.stringify(control.digest)},`, ""));
  if (control.digest !== wanted) {
    throw new BadInput(`digest is ${control.digest}, the content has ${wanted}; it was changed or damaged, compile it again`);
  }
}

function checkTogether(operators: Operator[]): void {
  const before = new Map<string, Operator>();
  const ids = new Map<string, Operator>();
  const later = new Set(operators.map((entry) => entry.path));
  for (const entry of operators) {
    const same = before.get(entry.path) ?? ids.get(entry.id);
    if (same !== undefined) {
      const what = same.path === entry.path ? `path ${entry.path}` : `id "${entry.id}"`;
      throw new BadInput(`two operators have the ${what}: ${same.origin} and ${entry.origin}`);
    }
    later.delete(entry.path);
    for (let end = entry.path.lastIndexOf("/"); end > 0; end = entry.path.lastIndexOf("/", end - 1)) {
      if (later.has(entry.path.slice(0, end))) {
        throw new BadInput(
          `operator ${entry.path} comes before ${entry.path.slice(0, end)}, which would hide it; parents come first`,
        );
      }
    }
    const outer = parentOf(entry.path, before);
    const wrong = outer === null ? null : nestingFault(outer, entry);
    if (outer !== null && wrong !== null) {
      throw new BadInput(`${wrong} (${outer.origin} and ${entry.origin})`);
    }
    before.set(entry.path, entry);
    ids.set(entry.id, entry);
  }
}
