import { readSuperblock, SUPERBLOCK_BYTES } from "../../../boot/devices/superblock.ts";
import { IMAGE_FILESYSTEMS } from "../../../boot/image/seal.ts";
import { BLOCK, LEAST_DATA_BLOCKS, MOST_DATA_BLOCKS } from "../../../boot/image/verity.ts";
import { BadInput } from "../../../state-ops/outcome.ts";
import type { Descriptor, Kernel } from "../../kernel/kernel.ts";
import type { FilesystemExtent } from "./seal-file.ts";

/** Bytes read at once. */
const PIECE = 1024 * 1024;

/** The filesystem that the file of `size` bytes begins with; `what` names it. @throws BadInput where none can be sealed */
export function filesystemExtent(kernel: Kernel, fd: Descriptor, size: bigint, what: string): FilesystemExtent {
  const superblock = readSuperblock(kernel.read(fd, SUPERBLOCK_BYTES, 0n));
  const known = IMAGE_FILESYSTEMS.join(", ");
  if (superblock === null) {
    const remedy = "give the filesystem alone, not a disk with a partition table, and not compressed";
    throw new BadInput(`${what} begins with no filesystem that is known (${known}); ${remedy}`);
  }
  const type = IMAGE_FILESYSTEMS.find((name) => name === superblock.type);
  if (type === undefined || superblock.size === null) {
    throw new BadInput(`${what} has the filesystem ${superblock.type}; a system image has one of ${known}`);
  }
  if (superblock.size > size) {
    throw new BadInput(`${what} is cut off: its ${type} has ${superblock.size} bytes, the file ${size}`);
  }
  const blocks = (superblock.size + BigInt(BLOCK - 1)) / BigInt(BLOCK);
  if (blocks < BigInt(LEAST_DATA_BLOCKS) || blocks > BigInt(MOST_DATA_BLOCKS)) {
    const range = `${LEAST_DATA_BLOCKS * BLOCK} to ${MOST_DATA_BLOCKS * BLOCK}`;
    throw new BadInput(`${what} has a filesystem of ${superblock.size} bytes; a system image has ${range}`);
  }
  return { type, size: Number(blocks) * BLOCK };
}

/** The place of the first byte from `start` on that is not zero; null where all are. */
export function firstByteFrom(kernel: Kernel, fd: Descriptor, start: bigint): bigint | null {
  for (let at = kernel.seekData(fd, start); at !== null; ) {
    const end = kernel.seekHole(fd, at);
    while (at < end) {
      const bytes: Uint8Array = kernel.read(fd, end - at < BigInt(PIECE) ? Number(end - at) : PIECE, at);
      const found = bytes.findIndex((byte) => byte !== 0);
      if (found >= 0) return at + BigInt(found);
      at += BigInt(bytes.length);
    }
    at = kernel.seekData(fd, end);
  }
  return null;
}
