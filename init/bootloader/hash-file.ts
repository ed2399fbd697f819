import { O } from "../kernel/constants.ts";
import type { Descriptor, Kernel } from "../kernel/kernel.ts";
import { isCode, openBeneath, withDescriptor } from "../state/beneath.ts";

const PIECE = 1024 * 1024;

/** SHA-256 of a file beneath `directory`, in hex. */
export function hashFile(kernel: Kernel, directory: Descriptor, path: string): string {
  return hashOpened(kernel, directory, path, O.RDONLY | O.NONBLOCK);
}

/** The same of what is on the disk, past the page cache, where the filesystem can be read so. */
export function hashOnDisk(kernel: Kernel, directory: Descriptor, path: string): string {
  try {
    return hashOpened(kernel, directory, path, O.RDONLY | O.DIRECT);
  } catch (error) {
    if (!isCode(error, "EINVAL")) throw error;
    return hashFile(kernel, directory, path);
  }
}

function hashOpened(kernel: Kernel, directory: Descriptor, path: string, flags: number): string {
  const open = () => openBeneath(kernel, directory, path, flags);
  return withDescriptor(kernel, open, (fd) => {
    const hash = new Bun.CryptoHasher("sha256");
    for (let offset = 0n; ; offset += BigInt(PIECE)) {
      const piece = kernel.read(fd, PIECE, offset);
      hash.update(piece);
      if (piece.length < PIECE) return hash.digest("hex");
    }
  });
}
