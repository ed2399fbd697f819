import { BLOCK } from "../../boot/image/verity.ts";
import type { SlotName } from "../../boot/record/record.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import type { Machine } from "../commands/machine.ts";
import { openSlotPlace, openSlotTarget, openSlotToPlan, type SlotPlace, slotDefinition } from "../commands/slot-place.ts";
import { readSeal } from "../image/read-seal.ts";
import { IOCTL } from "../kernel/constants.ts";
import { type Kernel, KernelError } from "../kernel/kernel.ts";
import type { Donor } from "./compare.ts";
import { OpenSlot } from "./open-slot.ts";
import { sealOf } from "./withdraw.ts";

/** Every slot but `except` that holds a sealed image that can be read, open for reading. The caller closes them. */
export function openDonors(kernel: Kernel, machine: Machine, except: SlotName | null): Donor[] {
  return machine.policy.slots.filter((name) => name !== except).flatMap((name) => openDonor(kernel, machine, name) ?? []);
}

/** Null for a slot that cannot be read: it helps nobody, and stands in nobody's way. */
function openDonor(kernel: Kernel, machine: Machine, name: SlotName): Donor | null {
  try {
    const slot = opened(kernel, openSlotPlace(kernel, machine, name), "read");
    const reading = sealOf(slot, readSeal);
    if (reading.is === "sealed") return { name, slot, manifest: reading.seal.manifest };
    slot.close();
    return null;
  } catch (error) {
    if (error instanceof KernelError || error instanceof Refusal) return null;
    throw error;
  }
}

/** Opens the slot that an image goes into, whose file is made where it is not there. Throws Refusal where it cannot be written. */
export function openTarget(kernel: Kernel, machine: Machine, name: SlotName): OpenSlot {
  const slot = openOrRefuse(kernel, name, openSlotTarget(kernel, machine, name), "write");
  if (!isReadOnly(kernel, slot)) return slot;
  slot.close();
  throw new Refusal(`slot ${name}: ${slot.path} is read-only; blockdev --setrw ${slot.path} where nothing speaks against it`);
}

/** A block device that is set read-only can be opened for writing all the same: it is the first write that fails. */
function isReadOnly(kernel: Kernel, { raw }: OpenSlot): boolean {
  if (kernel.status(raw).kind !== "block") return false;
  const flag = new Uint8Array(new ArrayBuffer(4));
  kernel.ioctl(raw, IOCTL.BLKROGET, flag);
  return new DataView(flag.buffer).getInt32(0, true) !== 0;
}

/** The same to see what would be done: nothing is made, and nothing can be written. */
export function openToPlan(kernel: Kernel, machine: Machine, name: SlotName): OpenSlot {
  return openOrRefuse(kernel, name, openSlotToPlan(kernel, machine, name), "read");
}

/** Bytes that the slot has for an image. A file that is smaller than declared, or not there, is made as large when it is written to. */
export function slotSize(kernel: Kernel, machine: Machine, name: SlotName): number {
  const slot = slotDefinition(machine, name);
  const opened = openToPlan(kernel, machine, name);
  opened.close();
  const { size } = opened;
  return "file" in slot ? Math.max(size, slot.size - (slot.size % BLOCK)) : size;
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
