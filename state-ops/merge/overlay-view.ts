/** What an overlay shows: an upper layer over a lower directory. */
import { parentPath } from "./path-text.ts";
import type { Entry, Tree } from "./tree.ts";

/**
 * What the upper layer has at a path: a whiteout (a 0:0 character device, or a file with trusted.overlay.whiteout), or an
 * entry. `opaque`: a directory that hides what the lower has in it (trusted.overlay.opaque is "y").
 */
export type UpperEntry = { whiteout: true } | { whiteout: false; entry: Entry; opaque: boolean };

/** By path text; "." is the upper's root. Every path but "." has its parent directory in it. */
export type UpperTree = ReadonlyMap<string, UpperEntry>;

/** The merged tree as programs see it. */
export function overlayView(lower: Tree, upper: UpperTree): Map<string, Entry> {
  const view = new Map<string, Entry>();
  const closed = new Map<string, boolean>();
  for (const [path, entry] of lower) if (!hidesLower(path, upper, closed)) view.set(path, entry);
  for (const [path, entry] of upper) if (!entry.whiteout) view.set(path, entry.entry);
  return view;
}

/** Whether the upper has something at `path` or above that keeps the lower's entry of that path from being seen. */
function hidesLower(path: string, upper: UpperTree, closed: Map<string, boolean>): boolean {
  const own = upper.get(path);
  if (own !== undefined && (own.whiteout || own.entry.type !== "directory")) return true;
  const parent = parentPath(path);
  return parent !== null && isClosed(parent, upper, closed);
}

/** Whether nothing of the lower is seen in the directory `path`. `closed` remembers the answers: each directory is asked once. */
function isClosed(path: string, upper: UpperTree, closed: Map<string, boolean>): boolean {
  const known = closed.get(path);
  if (known !== undefined) return known;
  const own = upper.get(path);
  const parent = parentPath(path);
  const hides = own !== undefined && (own.whiteout || own.opaque || own.entry.type !== "directory");
  const found = hides || (parent !== null && isClosed(parent, upper, closed));
  closed.set(path, found);
  return found;
}
