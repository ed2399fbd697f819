/** The slots of a machine whose system runs, open for an install or a repair. */
import { BLOCK } from "../../boot/image/verity.ts";
import type { SlotName } from "../../boot/record/record.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import type { Machine } from "../commands/machine.ts";
import { openSlotPlace, openSlotTarget, openSlotToPlan, slotDefinition } from "../commands/slot-place.ts";
import { type Kernel, KernelError } from "../kernel/kernel.ts";
import type { Donor } from "./compare.ts";
import type { OpenSlot } from "./open-slot.ts";
import { donorAt, openToLook, openToWrite } from "./slot-place.ts";

/** Every slot but `except` that holds a sealed image that can be read, open for reading. The caller closes them. */
export function openDonors(kernel: Kernel, machine: Machine, except: SlotName | null): Donor[] {
  return machine.policy.slots.filter((name) => name !== except).flatMap((name) => openDonor(kernel, machine, name) ?? []);
}

/** Null for a slot that cannot be read: it helps nobody, and stands in nobody's way. */
function openDonor(kernel: Kernel, machine: Machine, name: SlotName): Donor | null {
  try {
    return donorAt(kernel, name, openSlotPlace(kernel, machine, name));
  } catch (error) {
    if (error instanceof KernelError || error instanceof Refusal) return null;
    throw error;
  }
}

/** Opens the slot that an image goes into, whose file is made where it is not there. Throws Refusal where it cannot be written. */
export function openTarget(kernel: Kernel, machine: Machine, name: SlotName): OpenSlot {
  return openToWrite(kernel, name, openSlotTarget(kernel, machine, name));
}

/** The same to see what would be done: nothing is made, and nothing can be written. */
export function openToPlan(kernel: Kernel, machine: Machine, name: SlotName): OpenSlot {
  return openToLook(kernel, name, openSlotToPlan(kernel, machine, name));
}

/** Bytes that the slot has for an image. A file that is smaller than declared, or not there, is made as large when it is written to. */
export function slotSize(kernel: Kernel, machine: Machine, name: SlotName): number {
  const slot = slotDefinition(machine, name);
  const opened = openToPlan(kernel, machine, name);
  opened.close();
  const { size } = opened;
  return "file" in slot ? Math.max(size, slot.size - (slot.size % BLOCK)) : size;
}
