import { O } from "../kernel/constants.ts";
import type { Descriptor, Kernel } from "../kernel/kernel.ts";
import { isCode, openBeneath, withDescriptor } from "../state/beneath.ts";

const PIECE = 1024 * 1024;

/** SHA-256 of a file beneath `directory`, in hex, as it is on the disk where its filesystem can be read past the page cache. */
export function hashFile(kernel: Kernel, directory: Descriptor, path: string): string {
  return withDescriptor(
    kernel,
    () => openPastCache(kernel, directory, path),
    (fd) => {
      const hash = new Bun.CryptoHasher("sha256");
      for (let offset = 0n; ; offset += BigInt(PIECE)) {
        const piece = kernel.read(fd, PIECE, offset);
        hash.update(piece);
        if (piece.length < PIECE) return hash.digest("hex");
      }
    },
  );
}

function openPastCache(kernel: Kernel, directory: Descriptor, path: string): Descriptor {
  try {
    return openBeneath(kernel, directory, path, O.RDONLY | O.DIRECT);
  } catch (error) {
    if (!isCode(error, "EINVAL")) throw error;
    return openBeneath(kernel, directory, path, O.RDONLY);
  }
}
