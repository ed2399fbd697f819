import type { BootRecord } from "../../boot/record/record.ts";
import { slotOf, withSlot } from "../../boot/selection/slots.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import { type Kernel, KernelError } from "../kernel/kernel.ts";
import { readImageId } from "../store/image-id.ts";
import type { Machine } from "./machine.ts";
import { withSlotPlace } from "./slot-place.ts";

/** Whether the slot begins with zeros, or is not there. */
function holdsNothing(kernel: Kernel, machine: Machine, name: string): boolean {
  try {
    return withSlotPlace(kernel, machine, name, ({ path }) => readImageId(kernel, path) === null);
  } catch (error) {
    if (error instanceof KernelError || error instanceof Refusal) return true;
    throw error;
  }
}

/**
 * The record with those slots as `empty` that hold nothing. A record that began anew knows of no slot whether it holds an
 * image, and PID 1 looks only at the one that it boots.
 */
export function withEmptySlots(kernel: Kernel, machine: Machine, record: BootRecord): BootRecord {
  return Object.keys(record.slots)
    .filter((name) => machine.policy.slots.includes(name) && slotOf(record, name).imageId === null)
    .filter((name) => slotOf(record, name).state === "trial" && holdsNothing(kernel, machine, name))
    .reduce((known, name) => withSlot(known, name, { state: "empty", tries: 0 }), record);
}
