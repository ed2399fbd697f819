/** Which entries of a partition table the slots are. */
import { type GptPartition, readEntries } from "../devices/gpt.ts";
import { type DeviceReference, printReference } from "../devices/reference.ts";
import type { GptSlot, GptTables } from "./gpt-attributes.ts";
import type { StoreSlot } from "./view.ts";

/** A slot as the control file says where it is. */
export interface ReferredSlot extends StoreSlot {
  reference: DeviceReference;
}

/**
 * The slots' partitions in a table, by what the table itself says of them; those that are not there, or not once, are left out, with
 * the reason. `disk`: node of its disk, for slots that are named by their node.
 */
export function slotsInTable(
  { table }: Pick<GptTables, "table">,
  slots: readonly ReferredSlot[],
  disk: string,
): { slots: GptSlot[]; faults: string[] } {
  const entries = typeof table === "string" ? [] : readEntries(table);
  const faults: string[] = [];
  const found = slots.flatMap(({ name, bootname, reference }): GptSlot[] => {
    const numbers = entries.filter((entry) => isMeant(entry, reference, disk)).map(({ number }) => number);
    const [number] = numbers;
    if (number !== undefined && numbers.length === 1) return [{ name, bootname, number }];
    const what = numbers.length === 0 ? "is not in it" : `is twice in it, as ${numbers.join(" and ")}`;
    faults.push(`slot ${name} (${printReference(reference)}) ${what}`);
    return [];
  });
  return { slots: found, faults };
}

function isMeant({ label, unique, number }: GptPartition, { by, value }: DeviceReference, disk: string): boolean {
  if (by === "partlabel") return label === value;
  if (by === "partuuid") return unique === value;
  // "/dev/vda2", "/dev/nvme0n1p2"; what a filesystem says no partition table knows.
  return by === "path" && value === `${disk}${/\d$/.test(disk) ? "p" : ""}${number}`;
}
