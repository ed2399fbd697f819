/** A slot that can be opened, wherever its bytes lie, and what is opened of it to make another slot hold an image. */
import type { SlotName } from "../../boot/record/record.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import { readSeal } from "../image/read-seal.ts";
import { IOCTL } from "../kernel/constants.ts";
import { type Kernel, KernelError } from "../kernel/kernel.ts";
import type { Donor } from "./compare.ts";
import { OpenSlot } from "./open-slot.ts";
import { sealOf } from "./withdraw.ts";

export interface SlotPlace {
  /** Opens the device, or the file: "/dev/vda3". */
  path: string;
  /** As people know it: "/dev/vda3", "images/c.img". */
  shown: string;
  close(): void;
}

/** The slot at the place, which is closed then, where it holds a sealed image. Null for any other. Throws KernelError. */
export function donorAt(kernel: Kernel, name: SlotName, place: SlotPlace): Donor | null {
  const slot = opened(kernel, place, "read");
  try {
    const reading = sealOf(slot, readSeal);
    if (reading.is === "sealed") return { name, slot, manifest: reading.seal.manifest };
  } catch (error) {
    slot.close();
    throw error;
  }
  slot.close();
  return null;
}

/** Opens the slot at the place, which is closed then, for an image to be written into it. Throws Refusal where that cannot be. */
export function openToWrite(kernel: Kernel, name: SlotName, place: SlotPlace): OpenSlot {
  const slot = openOrRefuse(kernel, name, place, "write");
  if (!isReadOnly(kernel, slot)) return slot;
  slot.close();
  throw new Refusal(`slot ${name}: ${slot.path} is read-only; blockdev --setrw ${slot.path} where nothing speaks against it`);
}

/** The same for reading. */
export function openToLook(kernel: Kernel, name: SlotName, place: SlotPlace): OpenSlot {
  return openOrRefuse(kernel, name, place, "read");
}

/** A block device that is set read-only can be opened for writing all the same: it is the first write that fails. */
function isReadOnly(kernel: Kernel, { raw }: OpenSlot): boolean {
  if (kernel.status(raw).kind !== "block") return false;
  const flag = new Uint8Array(new ArrayBuffer(4));
  kernel.ioctl(raw, IOCTL.BLKROGET, flag);
  return new DataView(flag.buffer).getInt32(0, true) !== 0;
}

function openOrRefuse(kernel: Kernel, name: SlotName, place: SlotPlace, purpose: "read" | "write"): OpenSlot {
  try {
    return opened(kernel, place, purpose);
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    throw new Refusal(`slot ${name}: ${place.shown} cannot be opened (${error.code}); ${remedyOf(error.code)}`);
  }
}

/** Opens what is at the place, which is closed then. */
function opened(kernel: Kernel, place: SlotPlace, purpose: "read" | "write"): OpenSlot {
  try {
    return OpenSlot.open(kernel, place.path, purpose, place.shown);
  } finally {
    place.close();
  }
}

function remedyOf(code: string): string {
  if (code === "EBUSY") return "it is mounted or in use: unmount it";
  if (["EROFS", "EPERM", "EACCES"].includes(code)) return "is it set read-only (blockdev --getro), or are you not root?";
  return "is the disk still there?";
}
