/** A large file put onto a bootloader's FAT, which has no safe rename: nobody takes it for an executable until it is whole. */
import { Refusal } from "../../../state-ops/outcome.ts";
import { O } from "../../kernel/constants.ts";
import type { Descriptor, Kernel } from "../../kernel/kernel.ts";
import { openBeneath, withDescriptor } from "../../state/beneath.ts";
import { pastCache, StoreFailure } from "./filesystem.ts";

const PIECE = 1024 * 1024;
/** A sector: what a disk writes whole or not at all. The "MZ" that makes a file an executable lies in it. */
const HEAD = 512;
/** Left free for the loader's own files, bytes. */
const MARGIN = 1024n * 1024n;

/** Throws Refusal where a file of `size` bytes does not fit onto the filesystem of `directory`. */
export function refuseWithoutRoom(kernel: Kernel, directory: Descriptor, place: string, size: bigint): void {
  const { available, blockSize } = kernel.filesystemStatus(directory);
  const free = available * BigInt(blockSize);
  if (free >= size + MARGIN) return;
  throw new Refusal(
    `${place} has ${free} bytes free, and the new unified kernel image takes ${size}: until it has come up it lies beside that of each slot; make room, or the partition larger`,
  );
}

/** Whether the file `name` has the bytes of `other`. */
export function sameFile(kernel: Kernel, directory: Descriptor, name: string, other: Descriptor): boolean {
  const open = () => openBeneath(kernel, directory, name, O.RDONLY);
  return withDescriptor(
    kernel,
    open,
    (fd) => kernel.status(fd).size === kernel.status(other).size && sameBytes(kernel, fd, other),
  );
}

function sameBytes(kernel: Kernel, one: Descriptor, other: Descriptor): boolean {
  for (let at = 0n; ; ) {
    const [left, right] = [kernel.read(one, PIECE, at), kernel.read(other, PIECE, at)];
    if (Buffer.compare(left, right) !== 0) return false;
    if (left.length === 0) return true;
    at += BigInt(left.length);
  }
}

/**
 * Copies `from` to the new file `name`: all but its first sector, which stays zero until the rest is on the disk. Read back, and
 * on the disk when this returns. What fails leaves no file.
 */
export function copyImage(kernel: Kernel, directory: Descriptor, name: string, from: Descriptor): void {
  const fd = openBeneath(kernel, directory, name, O.RDWR | O.CREAT | O.EXCL, 0o600);
  try {
    try {
      const head = kernel.read(from, HEAD, 0n);
      kernel.write(fd, new Uint8Array(head.length), 0n);
      for (let at = BigInt(head.length); ; ) {
        const piece = kernel.read(from, PIECE, at);
        if (piece.length === 0) break;
        kernel.write(fd, piece, at);
        at += BigInt(piece.length);
      }
      kernel.sync(fd);
      kernel.syncFilesystem(directory);
      kernel.write(fd, head, 0n);
      kernel.sync(fd);
      kernel.sync(directory);
      kernel.syncFilesystem(directory);
    } finally {
      kernel.close(fd);
    }
    if (!sameOnDisk(kernel, directory, name, from)) {
      throw new StoreFailure(`${name} gave back other bytes than were written; the disk may be failing`);
    }
  } catch (error) {
    kernel.remove(name, { at: directory });
    throw error;
  }
}

/** As {@link sameFile}, past the page cache where the filesystem can do that. */
function sameOnDisk(kernel: Kernel, directory: Descriptor, name: string, other: Descriptor): boolean {
  return pastCache((flags) =>
    withDescriptor(
      kernel,
      () => openBeneath(kernel, directory, name, flags),
      (fd) => sameBytes(kernel, fd, other),
    ),
  );
}
