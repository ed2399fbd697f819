import { O } from "../../kernel/constants.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { openBeneath, withDescriptor } from "../beneath.ts";
import type { Place } from "../clone-metadata.ts";
import { inParent } from "./tree-place.ts";

/** Bytes of a file that is merged by line: some ten thousand accounts. */
const longest = 1024 * 1024;

/** The text of a regular file of the tree `root`, one character a byte; null where it is longer than any account file. */
export function readKeyedText(kernel: Kernel, root: Place, path: string): string | null {
  return inParent(kernel, root, path, (place) => {
    const open = () => openBeneath(kernel, place.at, place.name, O.RDONLY | O.NONBLOCK);
    return withDescriptor(kernel, open, (file) => {
      const { kind, size } = kernel.status(file);
      if (kind !== "file" || size > BigInt(longest)) return null;
      return Buffer.from(kernel.read(file, Number(size), 0n)).toString("latin1");
    });
  });
}
