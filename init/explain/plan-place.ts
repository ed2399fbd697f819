/** Where a planned slot's image is: its partition, or its file, for which the data filesystem is mounted. */
import { SlotFailure } from "../../boot/selection/attempt.ts";
import type { FileSlot, PartitionSlot } from "../../state-ops/control.ts";
import { LAYOUT } from "../../state-ops/layout.ts";
import { slotFileName } from "../../state-ops/slot-file.ts";
import { MS } from "../kernel/constants.ts";
import type { DeviceNumber } from "../kernel/kernel.ts";
import { DATA_PLACE } from "../sequence/data.ts";
import { outOfReach, SLOT_FILES_PLACE } from "../sequence/file-slot.ts";
import { fileKey } from "./facts.ts";
import type { Effect, SlotPlan } from "./plan-shape.ts";
import { openData } from "./plan-state.ts";
import type { FoundData, PlannedData } from "./planned-data.ts";
import type { Planning } from "./planning.ts";
import type { Search } from "./search.ts";

export interface OpenPlace {
  path: string;
  number: DeviceNumber;
  /** Of what it holds, in the facts. */
  key: string;
}

export function openPartition(search: Search, plan: SlotPlan, { name: slot, device }: PartitionSlot): OpenPlace {
  const resolution = search.find(`slot ${slot}`, device);
  if (!("found" in resolution)) {
    throw new SlotFailure("device", "missing" in resolution ? resolution.missing : resolution.ambiguous);
  }
  const { path, name, number } = resolution.found;
  plan.device = path;
  return { path, number, key: name };
}

/** The first that is free: the runtime's own image has /dev/loop0. */
const PRESUMED_LOOP = { path: "/dev/loop1", number: { major: 7, minor: 1 } };

export function openFile(planning: Planning, plan: SlotPlan, { file }: FileSlot, onData: (data: FoundData) => void): OpenPlace {
  const { found, missing } = openData(dataOrder(planning, plan.effects.image));
  if (found === null) throw new SlotFailure("device", outOfReach(file, missing));
  onData(found);
  return { ...PRESUMED_LOOP, key: fileKey(file) };
}

export function attachFile({ file }: FileSlot, device: string): Effect[] {
  const source = `${DATA_PLACE}/${LAYOUT.images}`;
  return [
    { do: "mount", source, target: SLOT_FILES_PLACE, type: "", flags: MS.BIND, data: "" },
    { do: "attach", device, file: `${SLOT_FILES_PLACE}/${slotFileName(file)}` },
  ];
}

export function dataOrder(
  { control, record, words, search, facts, warnings, stateNotes, unknown }: Planning,
  effects: Effect[],
): PlannedData {
  return {
    control,
    knownData: record.record.dataFilesystem,
    adopt: words.adoptData,
    findDevice: () => search.find("the data filesystem", control.data?.device ?? ""),
    dataOf: (name) => facts.data[name] ?? null,
    ...{ effects, warnings, stateNotes, unknown },
  };
}
