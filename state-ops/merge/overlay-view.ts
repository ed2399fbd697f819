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
  for (const [path, entry] of lower) if (!hidesLower(path, upper)) view.set(path, entry);
  for (const [path, entry] of upper) if (!entry.whiteout) view.set(path, entry.entry);
  return view;
}

/** Whether the upper has something at `path` or above that keeps the lower's entry of that path from being seen. */
function hidesLower(path: string, upper: UpperTree): boolean {
  const own = upper.get(path);
  if (own !== undefined && (own.whiteout || own.entry.type !== "directory")) return true;
  for (let at = parentPath(path); at !== null; at = parentPath(at)) {
    const above = upper.get(at);
    if (above !== undefined && (above.whiteout || above.opaque || above.entry.type !== "directory")) return true;
  }
  return false;
}
