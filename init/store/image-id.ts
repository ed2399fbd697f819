import { SUPERBLOCK_BYTES } from "../../boot/devices/superblock.ts";
import type { ImageId } from "../../boot/record/record.ts";
import { sha256Hex } from "../../state-ops/sha256.ts";
import { O } from "../kernel/constants.ts";
import type { Descriptor, Kernel } from "../kernel/kernel.ts";

/** How much of a slot stands for its image while images have no seal, bytes. */
const HEAD = 64 * 1024;

/** As much as tells whether a btrfs is there: it leaves the first 64 KiB alone. */
const LONG_HEAD = SUPERBLOCK_BYTES;

const isZero = (bytes: Uint8Array) => bytes.every((byte) => byte === 0);

/**
 * The id of the image on an open slot: SHA-256 in hex of its first 64 KiB, or where these are zero, as in a btrfs, of its
 * first 68 KiB; null for an empty slot, in which those are zero too.
 */
export function imageIdOf(kernel: Kernel, fd: Descriptor): ImageId | null {
  const head = kernel.read(fd, HEAD, 0n);
  if (head.length < HEAD) throw new Error(`a slot has only ${head.length} bytes, an image has more than ${HEAD}`);
  if (!isZero(head)) return sha256Hex(head);
  const longHead = kernel.read(fd, LONG_HEAD, 0n);
  return isZero(longHead) ? null : sha256Hex(longHead);
}

/** As {@link imageIdOf}, from the slot's device. Throws KernelError. */
export function readImageId(kernel: Kernel, devicePath: string): ImageId | null {
  const fd = kernel.open(devicePath, O.RDONLY);
  try {
    return imageIdOf(kernel, fd);
  } finally {
    kernel.close(fd);
  }
}
