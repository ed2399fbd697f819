import type { ControlFile } from "../../state-ops/control.ts";
import { deviceUnderRecord } from "../../state-ops/slot-file.ts";
import type { GptPartition } from "./gpt.ts";
import { type DeviceReference, parseReference } from "./reference.ts";

/** Whether a table's entry is what `reference` says; only labels and UUIDs of partitions stand in a table. */
export function isEntry({ label, unique }: GptPartition, { by, value }: DeviceReference): boolean {
  return by === "partlabel" ? label === value : by === "partuuid" && unique === value;
}

/** References that a partition table can answer. */
function answered(references: readonly DeviceReference[]): DeviceReference[] {
  return references.filter(({ by }) => by === "partlabel" || by === "partuuid");
}

/**
 * Whether a table is that of this machine's disk: it has the boot record's partition and every slot's, as far as their references
 * can be found in a table, which one has to be at least; and the data partition unless that may be missing.
 */
export function isOwnTable(
  partitions: readonly GptPartition[],
  control: Pick<ControlFile, "slots" | "bootRecord" | "data">,
): boolean {
  const ofSlots = control.slots.flatMap((slot) => ("device" in slot ? [parseReference(slot.device)] : []));
  const needed = answered([parseReference(deviceUnderRecord(control)), ...ofSlots]);
  const data = control.data && !control.data.create ? answered([parseReference(control.data.device)]) : [];
  return needed.length > 0 && [...needed, ...data].every((reference) => partitions.some((entry) => isEntry(entry, reference)));
}
