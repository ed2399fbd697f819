import type { ImageId } from "../../boot/record/record.ts";
import { sha256Hex } from "../../state-ops/sha256.ts";
import { O } from "../kernel/constants.ts";
import type { Descriptor, Kernel } from "../kernel/kernel.ts";

/** How much of a slot stands for its image while images have no seal, bytes. */
const HEAD = 64 * 1024;

function headOf(kernel: Kernel, fd: Descriptor): Uint8Array {
  const head = kernel.read(fd, HEAD, 0n);
  if (head.length < HEAD) throw new Error(`a slot has only ${head.length} bytes, an image has more than ${HEAD}`);
  return head;
}

/** The id of the image on an open slot: SHA-256 in hex of its first 64 KiB; null for an empty slot, which begins with zeros. */
export function imageIdOf(kernel: Kernel, fd: Descriptor): ImageId | null {
  const head = headOf(kernel, fd);
  return head.every((byte) => byte === 0) ? null : sha256Hex(head);
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
