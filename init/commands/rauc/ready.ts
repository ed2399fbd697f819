/** What must be so before RAUC writes an image to a slot, and what is made ready for it. */
import type { BootRecord, SlotName } from "../../../boot/record/record.ts";
import { refuseNewImage } from "../../../boot/selection/running.ts";
import { openTarget } from "../../converge/slots.ts";
import { withdrawFooter } from "../../converge/withdraw.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import type { Machine } from "../machine.ts";
import { slotDefinition } from "../slot-place.ts";

/**
 * Takes the footer off the slot, which RAUC does not know: it writes an image to the slot's start, and one that an install of
 * slipway's left at the end would go on naming the former image. What the slot holds boots without it as with it.
 *
 * @returns what there is to say
 * @throws Refusal where the slot must not get another image now (promise P2), or is in use
 */
export function readyForRauc(kernel: Kernel, machine: Machine, record: BootRecord, name: SlotName): string[] {
  refuseNewImage(record, name, machine.report.slot);
  // RAUC writes to devices only.
  if ("file" in slotDefinition(machine, name)) return [];
  const target = openTarget(kernel, machine, name);
  try {
    const footer = withdrawFooter(target);
    if (footer === "taken") return [`The footer at the end of slot ${name} is zeroed: its image is found without it.`];
    if (footer === "needed") return [`The footer at the end of slot ${name} stays: without it the image there is not found.`];
    return [];
  } finally {
    target.close();
  }
}
