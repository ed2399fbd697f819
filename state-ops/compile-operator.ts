import type { MountFlag, Operator, Via } from "./control.ts";
import { escapePath, type ImageEntry, type ImageTree } from "./image-tree.ts";
import { combinationFaults, DEFAULT_FLAGS } from "./operator-combinations.ts";
import { contextFault, idFault, pathFault, sizeFault, targetFault } from "./operator-rules.ts";
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

/** An operator as its fragment says it. */
export interface Entry {
  said: FragmentOperator;
  package: string;
  document: SourceDocument;
  /** Place of the operator in its document. */
  at: NodePath;
  /** `package/file:line` */
  origin: string;
}

export interface Names {
  users: ReadonlyMap<string, number>;
  groups: ReadonlyMap<string, number>;
}

/**
 * Makes one declared operator whole:
 * - `kind` is what the image has at the path. Where it has nothing: a file with `generate`, a literal, or as a symlink, else
 *   a directory.
 * - `via` follows from state and path: ephemeral is a tmpfs; persistent /etc and directories with content below it are
 *   overlays, so that the image's defaults go on showing; all else is a bind of a store.
 * - `seed` is the image, or `none` where the image has nothing there.
 * - owner and group are numbers of the image's passwd and group; where the image has nothing, 0755 root root.
 */
export function compileOperator(
  entry: Entry,
  image: ImageTree,
  names: Names,
): { declared: Declared | null; problems: Problem[] } {
  const { said, document, at, origin } = entry;
  const { path } = said;
  const problems: Problem[] = [];
  const report = (key: string, wrong: string | null): void => {
    if (wrong !== null) {
      problems.push(problemAt(document, key in said ? [...at, key] : at, wrong));
    }
  };
  const immutable = said.via === "mask" || said.via === "readonly";
  const place = pathFault(path) ?? targetFault(path, said.state ?? null);
  report("path", place);
  if (said.state === undefined && !immutable) {
    const words = "it must be ephemeral or persistent or shared or identity";
    report("state", `"state" is missing; ${words}, or "via:" mask or readonly`);
  }
  const found = place === null ? image.look(path) : null;
  const kind = kindOf(said, found);
  const content = hasContent(found, path, image);
  const seed = seedOf(said, content);
  const via = said.via ?? deriveVia(said, kind, seed);
  const owner = resolve(said.owner, names.users);
  const group = resolve(said.group, names.groups);
  report("owner", owner === null ? unknownName("user", said.owner, "/etc/passwd") : null);
  report("group", group === null ? unknownName("group", said.group, "/etc/group") : null);
  report("flags", flagsFault(said.flags ?? []));
  report("context", said.context === undefined ? null : contextFault(said.context));
  const size = said.size === undefined ? null : parseSize(said.size);
  report("size", size === null ? null : sizeFault(size));
  report(
    "reason",
    /(?!\s)\p{Cc}|\p{Bidi_Control}/u.test(said.reason ?? "")
      ? "the reason has characters that do not show; leave them out"
      : null,
  );
  report("renamed-from", said["renamed-from"] === undefined ? null : idFault(said["renamed-from"]));
  const laid = via === "bind" || via === "overlay" || via === "tmpfs";
  const made = found === null && kind === "directory" && laid;
  const operator: Operator = {
    id: said.id ?? escapePath(path),
    path,
    kind,
    state: said.state ?? null,
    via,
    // An overlay shows the image whether it has content there or not.
    seed: (via === "overlay" || via === "readonly") && said.seed === undefined ? "image" : seed,
    literal: typeof said.seed === "object" ? said.seed.literal : null,
    mode: said.mode === undefined ? defaultMode(said, made) : Number.parseInt(said.mode, 8),
    owner: owner ?? (made ? 0 : null),
    group: group ?? (made ? 0 : null),
    context: said.context ?? null,
    flags: mountFlags(said.flags ?? []),
    size,
    inodes: said.inodes ?? null,
    target: said.target ?? null,
    merge: said.merge ?? "local",
    onFailure: said["on-failure"] ?? "required",
    cache: said.cache ?? false,
    exclude: said.exclude ?? [],
    generate: said.generate ?? null,
    renamedFrom: said["renamed-from"] ?? null,
    reason: said.reason?.replace(/\s+/g, " ").trim() ?? null,
    origin,
  };
  if (place !== null) {
    return { declared: null, problems };
  }
  report("id", idFault(operator.id));
  report("path", singleFileFault(said, kind) ?? entryFault(found, operator));
  if (problems.length === 0) {
    for (const { key, text } of combinationFaults(operator, new Set(Object.keys(said)))) {
      report(key, text);
    }
  }
  report("seed" in said ? "seed" : "via", problems.length === 0 ? contentFault(operator, found, content) : null);
  return { declared: problems.length === 0 ? { operator, document, at } : null, problems };
}

function kindOf(said: FragmentOperator, found: ImageEntry | null): Operator["kind"] {
  if (said.via === "symlink" || found?.kind === "file") {
    return "file";
  }
  return found?.kind !== "directory" && (said.generate !== undefined || typeof said.seed === "object") ? "file" : "directory";
}

function seedOf(said: FragmentOperator, content: boolean): Operator["seed"] {
  if (said.seed !== undefined) {
    return typeof said.seed === "object" ? "literal" : said.seed;
  }
  const own = said.via === "mask" || said.via === "symlink" || said.generate !== undefined;
  return content && !own ? "image" : "none";
}

/** What is made where the image has nothing has 0755 root root; a secret is for its owner. */
function defaultMode(said: FragmentOperator, made: boolean): number | null {
  if (said.generate === "random") {
    return 0o600;
  }
  return made ? 0o755 : null;
}

function unknownName(what: string, name: unknown, file: string): string {
  return `no ${what} "${name}" in the image's ${file}; add it to the image, or give a number`;
}

const opposites = new Map<string, MountFlag>([
  ["dev", "nodev"],
  ["suid", "nosuid"],
  ["exec", "noexec"],
  ["symfollow", "nosymfollow"],
]);

function flagsFault(said: readonly string[]): string | null {
  const twice = said.find((flag, index) => said.indexOf(flag) !== index);
  if (twice !== undefined) {
    return `the flag ${twice} is said twice; keep one`;
  }
  const against = said.find((flag) => said.includes(opposites.get(flag) ?? ""));
  return against === undefined ? null : `the flags ${against} and ${opposites.get(against)} are each other's opposite; keep one`;
}

/** All flags of the mount, sorted. */
function mountFlags(said: readonly string[]): MountFlag[] {
  const off = new Set(said.map((flag) => opposites.get(flag)));
  const on = [...opposites.values()].filter((flag) => said.includes(flag) || DEFAULT_FLAGS.includes(flag));
  return on.filter((flag) => !off.has(flag)).sort();
}

function deriveVia(said: FragmentOperator, kind: Operator["kind"], seed: Operator["seed"]): Via {
  if (said.state === "ephemeral") {
    return kind === "directory" ? "tmpfs" : "bind";
  }
  const inEtc = said.path === "/etc" || (said.path.startsWith("/etc/") && seed === "image");
  return said.state === "persistent" && kind === "directory" && inEtc && said.seed !== "none" ? "overlay" : "bind";
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

function singleFileFault(said: FragmentOperator, kind: Operator["kind"]): string | null {
  if (kind === "directory" || said.via !== undefined || said.generate !== undefined) {
    return null;
  }
  const { path } = said;
  const parent = path.slice(0, path.lastIndexOf("/")) || "/";
  return `${path} is a file: programs replace files by rename, which fails on a mount point; declare its directory ${parent}, point there with "via: symlink", or say "via: bind" if it is written once`;
}

function entryFault(found: ImageEntry | null, { path, via, generate, seed }: Operator): string | null {
  if (found?.kind === "other") {
    return `${path} is neither a directory nor a file in the image; state can be laid on those only`;
  }
  if (found?.kind !== "directory") {
    return null;
  }
  if (generate !== null) {
    return `${path} is a directory in the image, and "generate: ${generate}" makes a file`;
  }
  if (via === "symlink") {
    return `${path} is a directory in the image, and "via: symlink" makes a link; make it one in the image`;
  }
  return seed === "literal" ? `${path} is a directory in the image, and a literal is the content of a file` : null;
}

function contentFault({ path, via, seed, generate }: Operator, found: ImageEntry | null, content: boolean): string | null {
  if (seed === "image" && found === null) {
    const remedy = { overlay: 'leave "via: overlay" away', readonly: "leave this operator away" };
    const other = via === "overlay" || via === "readonly" ? remedy[via] : 'leave "seed: image" away';
    return `the image has nothing at ${path} to show or to begin with; put it there, or ${other}`;
  }
  if (seed === "image" || !content || via === "mask" || via === "symlink") {
    return null;
  }
  if (seed === "literal") {
    return `the literal would hide what the image has at ${path}; empty it in the image, or say "seed: image"`;
  }
  return generate === null
    ? `"seed: none" would hide what the image has at ${path}; empty it in the image, or say "seed: image"`
    : `${path} has content in the image, and "generate: ${generate}" makes it on the device; ship it as an empty file`;
}
