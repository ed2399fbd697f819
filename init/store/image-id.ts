import { SUPERBLOCK_BYTES } from "../../boot/devices/superblock.ts";
import { isZero } from "../../boot/record/frame.ts";
import type { ImageId } from "../../boot/record/record.ts";
import { sha256Hex } from "../../state-ops/sha256.ts";
import { readSeal, type SealReading } from "../image/read-seal.ts";
import { O } from "../kernel/constants.ts";
import { sizeOf, withOpen } from "../kernel/files.ts";
import type { Descriptor, Kernel } from "../kernel/kernel.ts";

/** How much of a slot stands for an image without a seal, bytes. */
const HEAD = 64 * 1024;

/** As much as tells whether a btrfs is there: it leaves the first 64 KiB alone. */
const LONG_HEAD = SUPERBLOCK_BYTES;

/** The image in a slot: its id, null for an empty slot, and what was read of its seal. Nothing is proven by that. */
export interface SlotImage {
  imageId: ImageId | null;
  reading: SealReading;
}

/**
 * The image on an open slot. A sealed one is known by its root hash. Any other by the SHA-256 in hex of its first 64 KiB, or
 * where these are zero, as in a btrfs, of its first 68 KiB; a slot in which those are zero too is empty.
 */
export function slotImageOf(kernel: Kernel, fd: Descriptor): SlotImage {
  const head = kernel.read(fd, HEAD, 0n);
  if (head.length < HEAD) throw new Error(`a slot has only ${head.length} bytes, an image has more than ${HEAD}`);
  const longHead = isZero(head) ? kernel.read(fd, LONG_HEAD, 0n) : head;
  if (longHead !== head && isZero(longHead))
    return { imageId: null, reading: { is: "unsealed", reason: "it begins with zeros" } };
  const reading = readSeal(kernel, fd, sizeOf(kernel, fd));
  return { imageId: reading.is === "sealed" ? reading.seal.manifest.rootHash : sha256Hex(longHead), reading };
}

/** As {@link slotImageOf}, from the slot's device. Throws KernelError. */
export function readSlotImage(kernel: Kernel, devicePath: string): SlotImage {
  return withOpen(kernel, devicePath, O.RDONLY, (fd) => slotImageOf(kernel, fd));
}

/** The id alone. Throws KernelError. */
export function readImageId(kernel: Kernel, devicePath: string): ImageId | null {
  return readSlotImage(kernel, devicePath).imageId;
}
