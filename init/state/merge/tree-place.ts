import { parentPath, pathBytes } from "../../../state-ops/merge/path-text.ts";
import { O } from "../../kernel/constants.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { openBeneath, withDescriptor } from "../beneath.ts";
import type { Place } from "../clone-metadata.ts";

/**
 * Hands on the place of a path text of the tree `root`: its name in the directory that holds it, opened beneath the root.
 * "." is the root itself. Throws KernelError where that directory is missing or anything else.
 */
export function inParent<Result>(kernel: Kernel, root: Place, path: string, use: (place: Place) => Result): Result {
  const parent = parentPath(path);
  if (parent === null) return use(root);
  const [directory, name] = [pathBytes(parent), pathBytes(path.slice(parent === "." ? 0 : parent.length + 1))];
  if (directory === null || name === null) throw new Error(`${path} is no path beneath a store`);
  const open = (at: Place) => () => openBeneath(kernel, at.at, at.name, O.RDONLY | O.DIRECTORY);
  return withDescriptor(kernel, open(root), (top) =>
    withDescriptor(kernel, open({ at: top, name: directory }), (at) => use({ at, name })),
  );
}
