/** What the partitions of a blank disk may be: the rules that the compiler of `layout:` and the reader of `install` share. */

import type { ControlFile } from "./control.ts";
import { deviceFault } from "./device-reference.ts";
import type { LayoutPartition } from "./recovery.ts";

/** A GPT has room for 128, and whoever wants more than half of that means something else. */
export const MOST_PARTITIONS = 64;
const MIB = 1024 * 1024;
/** The boot record's two copies and its journal (boot/record/store.ts). */
const LEAST_BOOT_RECORD = 4 * MIB;

export interface PartitionFault {
  index: number;
  key: "label" | "size";
  text: string;
}

/** What is wrong with the partitions of a blank disk, each for itself and together. */
export function partitionFaults(partitions: readonly LayoutPartition[]): PartitionFault[] {
  return partitions.flatMap(({ label, size }, index): PartitionFault[] => {
    const faults: PartitionFault[] = [];
    // GPT has room for 36 UTF-16 units, and the kernel tells other characters than ASCII in a mangled form.
    const wrong = deviceFault(`PARTLABEL=${label}`);
    if (wrong !== null) faults.push({ index, key: "label", text: wrong });
    if (partitions.findIndex((other) => other.label === label) < index) {
      faults.push({
        index,
        key: "label",
        text: `two partitions are labelled "${label}"; which is meant would depend on the disk`,
      });
    }
    if (size === null && index < partitions.length - 1) {
      faults.push({ index, key: "size", text: "only the last partition can have the rest; give this one a size" });
    }
    if (size !== null && (size < MIB || size % MIB !== 0)) {
      faults.push({ index, key: "size", text: `${size} bytes are no whole number of MiB; partitions begin and end at one` });
    }
    return faults;
  });
}

/** What a partition is for, and its device reference. */
export interface Needed {
  what: string;
  key: "slots" | "data" | "boot-record";
  /** The slot's name; null for the others. */
  slot: string | null;
  device: string;
}

/** What has to be on a blank disk. */
export function neededPartitions({ slots, data, bootRecord }: Pick<ControlFile, "slots" | "data" | "bootRecord">): Needed[] {
  return [
    ...(bootRecord.device === null
      ? []
      : [{ what: "the boot record", key: "boot-record" as const, slot: null, device: bootRecord.device }]),
    ...slots.flatMap((slot): Needed[] =>
      "device" in slot ? [{ what: `slot ${slot.name}`, key: "slots", slot: slot.name, device: slot.device }] : [],
    ),
    ...(data === null ? [] : [{ what: "the data filesystem", key: "data" as const, slot: null, device: data.device }]),
  ];
}

/** Why a layout does not make what `needed` names; null where it does. */
export function missingPartition(needed: Needed, partitions: readonly LayoutPartition[]): string | null {
  const { what, device } = needed;
  if (!device.startsWith("PARTLABEL=")) {
    return `${what} is ${device}, which a disk that is made anew does not have; write PARTLABEL=, and the label in "layout"`;
  }
  const label = device.slice("PARTLABEL=".length);
  const partition = partitions.find((candidate) => candidate.label === label);
  if (partition === undefined) return `${what} is PARTLABEL=${label}, and "layout" has no such partition; add it there`;
  if (needed.key !== "boot-record" || partition.size === null || partition.size >= LEAST_BOOT_RECORD) return null;
  return `${what} needs 4M, and partition ${label} of "layout" has ${partition.size} bytes; make it larger`;
}
