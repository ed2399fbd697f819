import type { ControlFile } from "../../state-ops/control.ts";
import type { ControlInstall } from "../../state-ops/recovery.ts";
import { deviceUnderRecord } from "../../state-ops/slot-file.ts";
import { guidFrom } from "./blank-disk.ts";
import { layoutBlank, type NewPartition } from "./gpt-plans.ts";
import type { GptTable } from "./gpt-table.ts";
import { type DeviceReference, parseReference } from "./reference.ts";
import { UNFINISHED } from "./unfinished.ts";

type Control = Pick<ControlFile, "slots" | "bootRecord" | "data">;

/** No-auto, of the Discoverable Partitions Specification: what is in the control file's hands nobody else mounts. */
const NO_AUTO = 1n << 63n;

/** What the control file wants on the disk, by what it is for. */
function wanted(control: Control): { what: string; reference: DeviceReference }[] {
  const slots = control.slots.flatMap((slot) => ("device" in slot ? [{ what: `slot ${slot.name}`, device: slot.device }] : []));
  const data = control.data === null ? [] : [{ what: "the data filesystem", device: control.data.device }];
  const { device } = control.bootRecord;
  const record = device === null ? [] : [{ what: "the boot record", device }];
  return [...record, ...slots, ...data].map(({ what, device }) => ({
    what,
    reference: parseReference(device),
  }));
}

/** Why a layout gives the machine no disk that it boots from; null: it does. */
export function layoutFault(control: Control, install: ControlInstall): string | null {
  const labels = new Set(install.partitions.map(({ label }) => label));
  for (const { what, reference } of wanted(control)) {
    if (reference.by !== "partlabel") return `${what} is not named by PARTLABEL=, which alone a new table can fulfil`;
    if (!labels.has(reference.value)) return `its layout has no partition ${reference.value} for ${what}`;
  }
  return null;
}

/** The label of the partition that the boot record is, or lies on. */
export function recordLabel(control: Control): string {
  return parseReference(deviceUnderRecord(control)).value;
}

/** The table of a blank disk, the same for the same seed. The data partition's filesystem is said to be missing. */
export function planBlank(
  control: Control,
  install: ControlInstall,
  disk: { sizeBytes: bigint; sectorSize: number; seed: Uint8Array },
): GptTable | string {
  const own = new Set(wanted(control).map(({ reference }) => reference.value));
  const data = control.data === null ? null : parseReference(control.data.device).value;
  const partitions = install.partitions.map(
    (partition, index): NewPartition => ({
      ...partition,
      unique: guidFrom(disk.seed, `partition ${index + 1}`),
      attributes: (own.has(partition.label) ? NO_AUTO : 0n) | (partition.label === data ? UNFINISHED : 0n),
    }),
  );
  return layoutBlank(partitions, { ...disk, guid: guidFrom(disk.seed, "disk") });
}
