import { parentPath, pathBytes } from "../../../state-ops/merge/path-text.ts";
import type { Descriptor, Kernel } from "../../kernel/kernel.ts";
import { exists, isCode, type OnProgress, withDirectory } from "../beneath.ts";
import type { Place } from "../clone-metadata.ts";
import { cloneTree } from "../clone-tree.ts";
import type { WriteBack } from "../write-back.ts";
import { inParent } from "./tree-place.ts";

/** What is copied: `path` of the tree `from`, to the path text `to` of the generation. */
export interface Loser {
  from: Place;
  path: string;
  to: string;
  /** Of all that is copied before a sync of all. */
  writeBack: WriteBack;
}

/** Copies what loses, with everything below it. Parents come before what is in them, and a copy of one is not made again. */
export function putAside(
  kernel: Kernel,
  generation: Descriptor,
  { from, path, to, writeBack }: Loser,
  onProgress: OnProgress,
): void {
  try {
    inParent(kernel, from, path, (place) => {
      kernel.statusAt(place.name, place.at);
      makeParents(kernel, generation, to, (target) => {
        if (exists(kernel, target.at, target.name)) return;
        cloneTree(kernel, place, target, { onProgress, dropOptionalAttributes: true, writeBack });
      });
    });
  } catch (error) {
    if (!isCode(error, "ENOENT")) throw error;
  }
}

/** Hands on the place of `path` beneath the generation, in directories that nobody but root looks into. */
function makeParents(kernel: Kernel, generation: Descriptor, path: string, use: (place: Place) => void): void {
  const parent = parentPath(path) ?? ".";
  const make = (at: Descriptor, names: readonly string[]): void => {
    const [text, ...rest] = names;
    const name = pathBytes(text ?? ".");
    if (name === null) throw new Error(`${path} is no path beneath the generation`);
    if (rest.length === 0) {
      use({ at, name });
      return;
    }
    if (!exists(kernel, at, name)) kernel.makeDirectory(name, 0o700, at);
    withDirectory(kernel, at, name, (directory) => make(directory, rest));
  };
  make(generation, [...(parent === "." ? [] : parent.split("/")), path.slice(parent === "." ? 0 : parent.length + 1)]);
}
