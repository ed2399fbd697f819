import { O } from "../kernel/constants.ts";
import type { Descriptor, Kernel, Path } from "../kernel/kernel.ts";
import { type OnProgress, openBeneath, procPath, withDescriptor } from "./beneath.ts";
import { attributesOf, foreignMark, isDroppedMark } from "./clone-metadata.ts";

/**
 * Takes from a snapshot of an upper layer what ties it to the filesystem it was made on. Throws Error where it has marks that
 * only foreign mount options make, as a copy does.
 */
export function dropOverlayMarks(kernel: Kernel, at: Descriptor, name: Path, onProgress: OnProgress): void {
  let files = 0;
  const visit = (directory: Descriptor, entry: Path, shown: string): void => {
    const path = procPath(directory, entry);
    for (const attribute of attributesOf(kernel, path)) {
      const fault = foreignMark(attribute);
      if (fault !== null) throw new Error(`${shown}: ${fault}`);
      if (isDroppedMark(attribute)) kernel.removeAttribute(path, attribute);
    }
    files++;
    if (files % 100 === 0) onProgress(0, files);
    if (kernel.statusAt(entry, directory).kind !== "directory") return;
    const open = () => openBeneath(kernel, directory, entry, O.RDONLY | O.DIRECTORY);
    withDescriptor(kernel, open, (inner) => {
      for (const child of kernel.readDirectory(inner))
        visit(inner, child.name, `${shown}/${new TextDecoder().decode(child.name)}`);
    });
  };
  visit(at, name, ".");
}
