/** What differs between a store and the image's content at its place. Times are not compared. */
import { attributesDigest } from "../../../state-ops/merge/tree.ts";
import { O } from "../../kernel/constants.ts";
import { type Descriptor, type FileStatus, type Kernel, KernelError } from "../../kernel/kernel.ts";
import { isCode, openBeneath, procPath, withDescriptor, withDirectory } from "../../state/beneath.ts";
import { type Visited, type WalkEnd, walkTree } from "./walk.ts";

/** `metadata`: only mode, owner, group or extended attributes. */
export type Change = "added" | "changed" | "deleted" | "metadata";

export interface TreeDifference {
  /** Relative to the store, one character a byte (latin1); "" is its root. */
  path: string;
  change: Change;
  /** Of what is there, or was there. */
  kind: FileStatus["kind"];
}

export interface Comparison extends WalkEnd {
  differences: TreeDifference[];
}

export interface CompareOrder {
  /** Root of the store. */
  store: Descriptor;
  /** What the image has there; null where it has no directory. */
  image: Descriptor | null;
  /** The store is an overlay's upper layer: what is not in it is as the image has it, unless a mark in it says otherwise. */
  overlay: boolean;
  /** Places that other operators rule, relative to the store, latin1. */
  nested: ReadonlySet<string>;
}

/** How much of two files is held in memory while they are compared, bytes. */
const PIECE = 1 << 20;

/** Compares two directories. What is deleted is told by its topmost name. */
export function compareTrees(kernel: Kernel, order: CompareOrder): Comparison {
  const { store, image, overlay, nested } = order;
  const lower = new Map<string, FileStatus>();
  const below = image === null ? null : walkImage(kernel, image, nested, lower);
  const differences: TreeDifference[] = [];
  const seen = new Set<string>();
  /** Directories of an upper layer that hide what the image has in them. */
  const opaque: string[] = overlay ? [] : [""];
  /** Directories of the image in whose place something else is: what was in them needs no telling. */
  const replaced = new Set<string>();
  const end = walkTree(kernel, store, (visited) => {
    const path = Buffer.from(visited.path).toString("latin1");
    if (nested.has(path)) return false;
    const { kind } = visited.status;
    const before = lower.get(path) ?? null;
    if (overlay && isWhiteout(kernel, visited)) {
      if (before !== null) opaque.push(path);
      return false;
    }
    seen.add(path);
    if (before?.kind === "directory" && kind !== "directory") replaced.add(path);
    if (overlay && before?.kind === "directory" && kind === "directory" && isOpaque(kernel, visited)) opaque.push(path);
    const change = before === null ? "added" : changeOf(kernel, visited, before, image);
    if (change !== null) differences.push({ path, change, kind });
    return true;
  });
  const unread = [...end.unread, ...(below?.unread ?? [])];
  const truncated = end.truncated || below?.truncated === true;
  // Where not all was seen, what was not may be there.
  const deleted = truncated || unread.length > 0 ? [] : deletedBelow(lower, seen, opaque, replaced);
  // No spread: a call takes fewer arguments than a tree may have files.
  for (const difference of deleted) differences.push(difference);
  differences.sort((left, right) => (left.path < right.path ? -1 : 1));
  return { differences, truncated, unread };
}

/** Compares the file `name` in a directory of the stores with the one that the image has; null where they are alike. */
export function compareFiles(
  kernel: Kernel,
  store: Pick<Visited, "at" | "name">,
  image: Descriptor | null,
  name: string,
): TreeDifference | null {
  const status = kernel.statusAt(store.name, store.at);
  const before = image === null ? null : statusOrNull(kernel, name, image);
  const visited = { ...store, path: Buffer.from(name), status };
  const change = before === null ? "added" : changeOf(kernel, visited, before, image);
  return change === null ? null : { path: "", change, kind: status.kind };
}

function walkImage(kernel: Kernel, image: Descriptor, nested: ReadonlySet<string>, lower: Map<string, FileStatus>): WalkEnd {
  return walkTree(kernel, image, ({ path, status }) => {
    const text = Buffer.from(path).toString("latin1");
    if (nested.has(text)) return false;
    lower.set(text, status);
    return true;
  });
}

function deletedBelow(
  lower: ReadonlyMap<string, FileStatus>,
  seen: ReadonlySet<string>,
  hidden: readonly string[],
  replaced: ReadonlySet<string>,
): TreeDifference[] {
  const tops = new Set(hidden);
  const gone = new Set(replaced);
  const found: TreeDifference[] = [];
  const isHidden = (path: string): boolean => {
    for (let at: string | null = path; at !== null; at = parentOf(at)) if (tops.has(at)) return true;
    return false;
  };
  // A walk tells parents before what is in them.
  for (const [path, { kind }] of lower) {
    if (seen.has(path)) continue;
    const parent = parentOf(path);
    const within = parent !== null && gone.has(parent);
    if (!within && !isHidden(path)) continue;
    gone.add(path);
    if (!within) found.push({ path, change: "deleted", kind });
  }
  return found;
}

function parentOf(path: string): string | null {
  if (path === "") return null;
  return path.slice(0, Math.max(0, path.lastIndexOf("/")));
}

/** Null where both are alike. `image` is the root that `visited.path` starts from. */
function changeOf(kernel: Kernel, visited: Visited, before: FileStatus, image: Descriptor | null): Change | null {
  const { status, at, name } = visited;
  if (image === null || status.kind !== before.kind || (status.kind === "file" && status.size !== before.size)) return "changed";
  const path = Buffer.from(visited.path);
  const slash = path.lastIndexOf(0x2f);
  const place = { name: path.subarray(slash + 1), parent: slash < 0 ? "" : path.subarray(0, slash) };
  return withDirectory(kernel, image, place.parent, (directory) => {
    if (!sameContent(kernel, { at, name }, { at: directory, name: place.name }, status, before)) return "changed";
    const sameMode = status.kind === "symlink" || status.mode === before.mode;
    const sameOwner = status.owner === before.owner && status.group === before.group;
    const same = sameMode && sameOwner && attributes(kernel, at, name) === attributes(kernel, directory, place.name);
    return same ? null : "metadata";
  });
}

interface Named {
  at: Descriptor;
  name: Uint8Array;
}

function sameContent(kernel: Kernel, left: Named, right: Named, status: FileStatus, before: FileStatus): boolean {
  switch (status.kind) {
    case "file":
      return sameBytes(kernel, left, right, status.size);
    case "symlink":
      return Buffer.from(kernel.readLink(left.name, left.at)).equals(kernel.readLink(right.name, right.at));
    case "block":
    case "character":
      return status.node.major === before.node.major && status.node.minor === before.node.minor;
    default:
      return true;
  }
}

/** Whether two files of `size` bytes hold the same. */
function sameBytes(kernel: Kernel, left: Named, right: Named, size: bigint): boolean {
  // Most files are small, and memory of a whole piece for each would be garbage that is not collected soon.
  const piece = size < BigInt(PIECE) ? Number(size) + 1 : PIECE;
  const open =
    ({ at, name }: Named) =>
    () =>
      openBeneath(kernel, at, name, O.RDONLY | O.NONBLOCK);
  return withDescriptor(kernel, open(left), (first) =>
    withDescriptor(kernel, open(right), (second) => {
      for (let offset = 0n; ; offset += BigInt(piece)) {
        const bytes = kernel.read(first, piece, offset);
        if (!Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).equals(kernel.read(second, piece, offset))) return false;
        if (bytes.length < piece) return true;
      }
    }),
  );
}

function attributes(kernel: Kernel, at: Descriptor, name: Uint8Array): string | null {
  const path = procPath(at, name);
  try {
    return attributesDigest(kernel.listAttributes(path).map((key) => ({ name: key, value: kernel.getAttribute(path, key) })));
  } catch (error) {
    // No attributes on this filesystem, or one that went while it was read.
    if (isCode(error, "EOPNOTSUPP", "ENOTSUP", "ENODATA")) return null;
    throw error;
  }
}

function statusOrNull(kernel: Kernel, name: string, at: Descriptor): FileStatus | null {
  try {
    return kernel.statusAt(name, at);
  } catch (error) {
    if (error instanceof KernelError) return null;
    throw error;
  }
}

function mark(kernel: Kernel, { at, name }: Named, key: string): string | null {
  try {
    return new TextDecoder().decode(kernel.getAttribute(procPath(at, name), key));
  } catch (error) {
    if (error instanceof KernelError) return null;
    throw error;
  }
}

function isWhiteout(kernel: Kernel, visited: Visited): boolean {
  const { kind, node, size } = visited.status;
  if (kind === "character") return node.major === 0 && node.minor === 0;
  return kind === "file" && size === 0n && mark(kernel, visited, "trusted.overlay.whiteout") !== null;
}

function isOpaque(kernel: Kernel, visited: Visited): boolean {
  return mark(kernel, visited, "trusted.overlay.opaque") === "y";
}
