/** What makes a slot hold its image beside the image's data: footer, seal and verity superblock. */
import { HEAD_BLOCKS, magicSector, SECTOR } from "../../boot/converge/head.ts";
import { type FilesystemType, readSuperblock, SUPERBLOCK_BYTES } from "../../boot/devices/superblock.ts";
import { decodeFooter, encodeFooter, footerOf } from "../../boot/image/footer.ts";
import { type ImageLayout, paddedSealLength, type Seal, superblockOf } from "../../boot/image/seal.ts";
import { BLOCK } from "../../boot/image/verity.ts";
import { readSeal, type SealReading, searchSeal } from "../image/read-seal.ts";
import { KernelError } from "../kernel/kernel.ts";
import type { OpenSlot } from "./open-slot.ts";

/**
 * Takes from a slot what could make somebody boot it: the footer, the seal that lies there, and the blocks in which a
 * filesystem's superblock is, so that neither its seal nor the filesystem by itself is found until the new image is whole.
 * Each is gone from the medium before the next is touched, and the filesystem's magic number, one sector, before the rest of
 * those blocks: a disk that writes in an order of its own leaves no filesystem with a hole in it.
 */
export function withdrawImage(target: OpenSlot): void {
  const read = sealOf(target, readSeal);
  const reading = read.is === "fault" ? sealOf(target, searchSeal) : read;
  zero(target, target.size - BLOCK, BLOCK);
  if (reading.is === "sealed") zero(target, reading.layout.sealOffset, paddedSealLength(reading.seal.bytes.length));
  const filesystem = filesystemOf(target);
  if (filesystem !== null) zero(target, magicSector(filesystem), SECTOR);
  for (const block of HEAD_BLOCKS) target.write(block * BLOCK, new Uint8Array(BLOCK));
  target.sync();
}

/**
 * Takes only the footer from a slot that somebody else is going to write an image to, and leaves what it holds as it boots:
 * without a footer, by the seal behind the filesystem. `none`: there was none. `needed`: it stays, since the image is not found
 * without it.
 */
export function withdrawFooter(target: OpenSlot): "none" | "taken" | "needed" {
  const last = target.readBlock(target.size / BLOCK - 1);
  if (last !== null && decodeFooter(last, target.size).is === "none") return "none";
  if (sealOf(target, readSeal).is === "sealed" && sealOf(target, searchSeal).is !== "sealed") return "needed";
  zero(target, target.size - BLOCK, BLOCK);
  return "taken";
}

/** The filesystem that a slot begins with; null where none is known, or its superblock cannot be read. */
function filesystemOf(target: OpenSlot): FilesystemType | null {
  const bytes = new Uint8Array(SUPERBLOCK_BYTES);
  const blocks = target.read(0, Math.min(SUPERBLOCK_BYTES, target.size) / BLOCK);
  for (const [index, block] of blocks.entries()) if (block !== null) bytes.set(block, index * BLOCK);
  return readSuperblock(bytes)?.type ?? null;
}

function zero(target: OpenSlot, offset: number, length: number): void {
  target.write(offset, new Uint8Array(length));
  target.sync();
}

/**
 * Writes what is missing of verity superblock, seal and footer, in this order, each on the medium before the next. The footer
 * goes to the end of the partition. Returns whether anything was.
 */
export function completeImage(target: OpenSlot, seal: Seal, layout: ImageLayout): boolean {
  const padded = new Uint8Array(paddedSealLength(seal.bytes.length));
  padded.set(seal.bytes);
  const behindData = putWhereOther(target, layout.hashOffset, superblockOf(seal.manifest));
  const sealed = putWhereOther(target, layout.sealOffset, padded);
  if (behindData || sealed) target.sync();
  const footer = putWhereOther(target, target.size - BLOCK, encodeFooter(footerOf(seal.bytes, layout.sealOffset)));
  if (footer) target.sync();
  return behindData || sealed || footer;
}

/** Whether a slot's verity superblock, seal and footer are what they should be. */
export function isComplete(target: OpenSlot, seal: Seal, layout: ImageLayout): boolean {
  const padded = new Uint8Array(paddedSealLength(seal.bytes.length));
  padded.set(seal.bytes);
  return (
    holds(target, layout.hashOffset, superblockOf(seal.manifest)) &&
    holds(target, layout.sealOffset, padded) &&
    holds(target, target.size - BLOCK, encodeFooter(footerOf(seal.bytes, layout.sealOffset)))
  );
}

function putWhereOther(target: OpenSlot, offset: number, bytes: Uint8Array): boolean {
  if (holds(target, offset, bytes)) return false;
  target.write(offset, bytes);
  return true;
}

function holds(target: OpenSlot, offset: number, bytes: Uint8Array): boolean {
  const there = target.read(offset / BLOCK, bytes.length / BLOCK);
  return there.every(
    (block, index) => block !== null && Buffer.compare(block, bytes.subarray(index * BLOCK, (index + 1) * BLOCK)) === 0,
  );
}

/**
 * Whether the image that a slot holds is the one with this seal, though some of it may be damaged: its footer names it, or where
 * the footer is damaged or was never there, the seal that the filesystem leads to is this one. A seal that merely lies about is
 * not enough: something else may have been put there since. Repairing such a slot takes nothing away from it.
 */
export function isSameImage(target: OpenSlot, seal: Seal, layout: ImageLayout): boolean {
  const { size } = target;
  if (layout.sealOffset + paddedSealLength(seal.bytes.length) + BLOCK > size) return false;
  if (holds(target, size - BLOCK, encodeFooter(footerOf(seal.bytes, layout.sealOffset)))) return true;
  const last = target.readBlock(size / BLOCK - 1);
  if (last !== null && decodeFooter(last, size).is === "footer") return false;
  const found = sealOf(target, searchSeal);
  return found.is === "sealed" && Buffer.compare(found.seal.bytes, seal.bytes) === 0;
}

/** What a slot holds; a medium that fails is a fault of the seal. */
export function sealOf({ kernel, raw, size }: OpenSlot, read: typeof readSeal): SealReading {
  try {
    return read(kernel, raw, BigInt(size));
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    return { is: "fault", reason: `it cannot be read (${error.code})` };
  }
}
