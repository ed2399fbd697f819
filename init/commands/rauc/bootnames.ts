/** RAUC knows a slot by its bootname: the `bootname=` of its system.conf, and that of the slot in system.yaml. */
import type { SlotName } from "../../../boot/record/record.ts";
import { BadInput } from "../../../state-ops/outcome.ts";
import { bootnameOf } from "../../../state-ops/slot-file.ts";
import type { Machine } from "../machine.ts";
import { slotDefinition } from "../slot-place.ts";

export function bootnameIn(machine: Machine, name: SlotName): string {
  return bootnameOf(slotDefinition(machine, name));
}

/** The slot with that bootname. Throws BadInput where there is none. */
export function slotWithBootname({ control }: Machine, bootname: string): SlotName {
  const found = control.slots.find((slot) => bootnameOf(slot) === bootname);
  if (found !== undefined) return found.name;
  const known = control.slots.map(bootnameOf).join(", ");
  throw new BadInput(
    `no slot has the bootname "${bootname}"; this machine has ${known}; make bootname= in RAUC's system.conf and bootname: in system.yaml the same`,
  );
}
