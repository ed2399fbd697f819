import type { Operator, Via } from "./control.ts";
import { escapePath, type ImageEntry, type ImageTree } from "./image-tree.ts";
import { combinationFault, idFault, pathFault, targetFault } from "./operator-rules.ts";
import { problemAt } from "./problems.ts";
import type { NodePath, Problem, SourceDocument } from "./schema/document.ts";
import type { FragmentOperator } from "./schema/fragment.ts";
import { parseSize } from "./schema/words.ts";

/** An operator, and where it was declared. */
export interface Declared {
  operator: Operator;
  document: SourceDocument;
  /** Place of the operator in its document. */
  at: NodePath;
}

export interface Names {
  users: ReadonlyMap<string, number>;
  groups: ReadonlyMap<string, number>;
}

/**
 * Makes one declared operator whole:
 * - `kind` is what the image has at the path; a directory where it has nothing, a file with `generate`.
 * - `via` follows from state and path: ephemeral is a tmpfs; persistent /etc and directories with content below it are
 *   overlays, so that the image's defaults go on showing; all else is a bind of a store.
 * - `seed` is the image, or `none` where the image has nothing there.
 * - owner and group are numbers of the image's passwd and group; where the image has nothing, 0755 root root.
 */
export function compileOperator(
  declared: FragmentOperator,
  document: SourceDocument,
  at: NodePath,
  origin: string,
  image: ImageTree,
  names: Names,
): { declared: Declared; problems: Problem[] } {
  const { path, state } = declared;
  const problems: Problem[] = [];
  const report = (key: string, wrong: string | null): void => {
    if (wrong !== null) {
      problems.push(problemAt(document, key in declared ? [...at, key] : at, wrong));
    }
  };
  const place = pathFault(path) ?? targetFault(path, state);
  report("path", place);
  const entry = place === null ? image.look(path) : null;
  const kind = entry?.kind === "file" || declared.generate !== undefined ? "file" : "directory";
  const seed = declared.seed ?? (hasContent(entry, path, image) && declared.generate === undefined ? "image" : "none");
  const via = declared.via ?? deriveVia(declared, kind, seed);
  const absent = entry === null && kind === "directory";
  const owner = resolve(declared.owner, names.users);
  const group = resolve(declared.group, names.groups);
  report(
    "owner",
    owner === null ? `no user "${declared.owner}" in the image's /etc/passwd; add it to the image, or give a number` : null,
  );
  report(
    "group",
    group === null ? `no group "${declared.group}" in the image's /etc/group; add it to the image, or give a number` : null,
  );
  const id = declared.id ?? escapePath(path);
  const operator: Operator = {
    id,
    path,
    kind,
    state,
    via,
    // An overlay shows the image whether it has content there or not.
    seed: via === "overlay" && declared.seed === undefined ? "image" : seed,
    literal: null,
    mode: declared.mode === undefined ? (absent ? 0o755 : null) : Number.parseInt(declared.mode, 8),
    owner: owner ?? (absent ? 0 : null),
    group: group ?? (absent ? 0 : null),
    context: null,
    flags: ["nodev", "nosuid"],
    size: declared.size === undefined ? null : parseSize(declared.size),
    inodes: null,
    target: null,
    merge: "local",
    onFailure: declared["on-failure"] ?? "required",
    cache: false,
    exclude: [],
    generate: declared.generate ?? null,
    renamedFrom: null,
    reason: declared.reason ?? null,
    origin,
  };
  if (place === null) {
    report("id", idFault(id));
    report("path", singleFileFault(declared, kind) ?? entryFault(entry, declared));
    report("size", operator.size === null ? null : sizeFault(operator.size));
    report("state", problems.length === 0 ? combinationFault(operator) : null);
    report("seed", problems.length === 0 ? contentFault(operator, hasContent(entry, path, image)) : null);
  }
  return { declared: { operator, document, at }, problems };
}

function sizeFault(size: number): string | null {
  return size >= 4096 && Number.isSafeInteger(size)
    ? null
    : `a size of ${size} bytes is no limit for a tmpfs; from 4096 bytes (4K) on`;
}

function deriveVia(declared: FragmentOperator, kind: Operator["kind"], seed: Operator["seed"]): Via {
  if (declared.state === "ephemeral") {
    return "tmpfs";
  }
  const inEtc = declared.path === "/etc" || (declared.path.startsWith("/etc/") && seed === "image");
  return declared.state === "persistent" && kind === "directory" && inEtc && declared.seed !== "none" ? "overlay" : "bind";
}

/** Whether the image has something that a store would hide. */
function hasContent(entry: ImageEntry | null, path: string, image: ImageTree): boolean {
  if (entry === null || entry.empty) {
    return false;
  }
  // systemd's word in /etc/machine-id for an id that is still to be made; see machine-id(5).
  return entry.kind !== "file" || image.text(path)?.trim() !== "uninitialized";
}

/** The number; undefined where none was declared, null where the image has no such name. */
function resolve(declared: string | number | undefined, names: ReadonlyMap<string, number>): number | null | undefined {
  return typeof declared === "string" ? (names.get(declared) ?? null) : declared;
}

function singleFileFault(declared: FragmentOperator, kind: Operator["kind"]): string | null {
  if (kind === "directory" || declared.via !== undefined || declared.generate !== undefined) {
    return null;
  }
  const { path } = declared;
  const parent = path.slice(0, path.lastIndexOf("/")) || "/";
  return `${path} is a file: programs replace files by rename, which fails on a mount point; declare its directory ${parent}, or say "via: bind" if it is written once`;
}

function entryFault(entry: ImageEntry | null, declared: FragmentOperator): string | null {
  if (entry?.kind === "other") {
    return `${declared.path} is neither a directory nor a file in the image; state can be laid on those only`;
  }
  if (entry?.kind === "directory" && declared.generate !== undefined) {
    return `${declared.path} is a directory in the image, and "generate: ${declared.generate}" makes a file`;
  }
  return null;
}

function contentFault(operator: Operator, content: boolean): string | null {
  if (operator.seed !== "none" || !content) {
    return null;
  }
  return operator.generate === null
    ? `"seed: none" would hide what the image has at ${operator.path}; empty it in the image, or say "seed: image"`
    : `${operator.path} has content in the image, and "generate: ${operator.generate}" makes it on the device; ship it as an empty file`;
}
