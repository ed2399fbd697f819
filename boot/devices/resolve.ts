/** Which device a reference means: pure decisions over a list of what the machine has. */

import type { BlockDevice } from "./block-device.ts";
import { type DeviceReference, printReference } from "./reference.ts";

/**
 * `missing`: nothing there matches yet, so that waiting may help. `ambiguous`: more than one does, which waiting cannot
 * cure. Both texts are whole sentences for an error, without a full stop.
 */
export type Resolution = { found: BlockDevice } | { missing: string } | { ambiguous: string };

/** What reading a partition that may hold the boot record showed. */
export type RecordCondition = "valid" | "empty" | "unreadable";

/** Whether `device` is what `reference` says. UUIDs are compared without case. */
export function matches(device: BlockDevice, reference: DeviceReference): boolean {
  switch (reference.by) {
    case "partlabel":
      return device.partlabel === reference.value;
    case "partuuid":
      return device.partuuid?.toLowerCase() === reference.value.toLowerCase();
    case "label":
      return device.superblock?.label === reference.value;
    case "uuid":
      return device.superblock?.uuid?.toLowerCase() === reference.value.toLowerCase();
    case "path":
      return device.path === reference.value;
  }
}

/** All devices that `reference` could mean, whatever disk they lie on: those whose boot record is worth reading. */
export function matching(devices: readonly BlockDevice[], reference: DeviceReference): BlockDevice[] {
  return devices.filter((device) => matches(device, reference));
}

/**
 * The disk on which labels are resolved: the control file's `disk:` where it has one, else the disk that holds a valid boot
 * record, else the only one with a partition that `recordReference` names. `disk:` may name a partition and means the disk
 * it lies on, since names like /dev/sda differ from boot to boot.
 *
 * @param recordConditions by device name, for every device of {@link matching}(devices, recordReference)
 * @param waitedSeconds how long was waited, for the text of the error; null: not at all
 */
export function chooseDisk(
  devices: readonly BlockDevice[],
  disk: DeviceReference | null,
  recordReference: DeviceReference,
  recordConditions: ReadonlyMap<string, RecordCondition>,
  waitedSeconds: number | null = null,
): Resolution {
  if (disk) {
    const disks = diskOf(devices, matching(devices, disk));
    return only(disks, `the disk ${printReference(disk)}`, devices, waitedSeconds, disk);
  }
  const candidates = matching(devices, recordReference);
  const valid = candidates.filter((device) => recordConditions.get(device.name) === "valid");
  const chosen = diskOf(devices, valid.length > 0 ? valid : candidates);
  if (chosen.length > 1) {
    const holders = (valid.length > 0 ? valid : candidates).map((device) => device.name).join(" and ");
    const what =
      valid.length > 0 ? "hold a valid boot record" : `are ${describe(recordReference)}, none with a valid boot record`;
    const names = chosen.map((device) => device.path).join(" and ");
    return { ambiguous: `${holders} ${what}, on the disks ${names}; unplug one, or name the disk with disk: in system.yaml` };
  }
  return only(chosen, describe(recordReference), devices, waitedSeconds, recordReference);
}

/**
 * The device that `reference` means on `disk` (the disk itself, or a partition of it). A path is taken as it is, on any disk.
 *
 * @param waitedSeconds how long was waited, for the text of the error; null: not at all
 */
export function resolve(
  devices: readonly BlockDevice[],
  disk: BlockDevice,
  reference: DeviceReference,
  waitedSeconds: number | null = null,
): Resolution {
  const anywhere = matching(devices, reference);
  const here = reference.by === "path" ? anywhere : anywhere.filter((device) => (device.disk ?? device.name) === disk.name);
  const elsewhere = anywhere.filter((device) => !here.includes(device)).map((device) => device.name);
  const seen = reference.by === "path" ? devices : devices.filter((device) => (device.disk ?? device.name) === disk.name);
  const result = only(here, describe(reference), seen, waitedSeconds, reference);
  if (!("missing" in result) || elsewhere.length === 0) return result;
  return { missing: `${result.missing}; ${elsewhere.join(" and ")} matches, but does not lie on the disk ${disk.path}` };
}

/** The one device that `reference` means, on whatever disk. */
export function resolveAnywhere(devices: readonly BlockDevice[], reference: DeviceReference): Resolution {
  return only(matching(devices, reference), describe(reference), devices, null, reference);
}

/** Everything that a boot looks for. */
export interface Wanted {
  /** The control file's `disk:`. */
  disk: DeviceReference | null;
  record: DeviceReference;
  /** Slots and data, by any name. */
  others: ReadonlyMap<string, DeviceReference>;
}

/** What became of {@link Wanted}. Without a disk the rest is missing for the disk's reason. */
export interface Resolved {
  disk: Resolution;
  record: Resolution;
  others: ReadonlyMap<string, Resolution>;
}

/** {@link chooseDisk}, then {@link resolve} for all that lies on it. */
export function resolveAll(
  devices: readonly BlockDevice[],
  wanted: Wanted,
  recordConditions: ReadonlyMap<string, RecordCondition>,
  waitedSeconds: number | null = null,
): Resolved {
  const disk = chooseDisk(devices, wanted.disk, wanted.record, recordConditions, waitedSeconds);
  const onDisk = (reference: DeviceReference): Resolution =>
    "found" in disk ? resolve(devices, disk.found, reference, waitedSeconds) : disk;
  const others = [...wanted.others].map(([name, reference]) => [name, onDisk(reference)] as const);
  return { disk, record: onDisk(wanted.record), others: new Map(others) };
}

/** Whether waiting for a further device could change something. */
export function isSettled({ disk, record, others }: Resolved): boolean {
  return [disk, record, ...others.values()].every((resolution) => !("missing" in resolution));
}

function only(
  found: readonly BlockDevice[],
  what: string,
  seen: readonly BlockDevice[],
  waitedSeconds: number | null,
  reference: DeviceReference,
): Resolution {
  const [first] = found;
  if (first && found.length === 1) return { found: first };
  if (found.length > 1) {
    const names = found.map((device) => device.path).join(" and ");
    return { ambiguous: `${found.length} devices match ${printReference(reference)}: ${names}; rename or unplug all but one` };
  }
  const waited = waitedSeconds === null ? "" : ` after ${waitedSeconds} s`;
  return { missing: `no ${what.replace(/^the /, "")}${waited}; saw ${list(seen, reference)}; ${remedy(seen)}` };
}

function diskOf(devices: readonly BlockDevice[], of: readonly BlockDevice[]): BlockDevice[] {
  const names = new Set(of.map((device) => device.disk ?? device.name));
  return devices.filter((device) => names.has(device.name));
}

function describe(reference: DeviceReference): string {
  switch (reference.by) {
    case "partlabel":
      return `partition labelled ${reference.value}`;
    case "partuuid":
      return `partition with PARTUUID ${reference.value}`;
    case "label":
      return `filesystem labelled ${reference.value}`;
    case "uuid":
      return `filesystem with UUID ${reference.value}`;
    case "path":
      return `device ${reference.value}`;
  }
}

/** "vda1 boot-record, vda2 root-b": names with what the reference is about; disks only where nothing is on them. */
function list(seen: readonly BlockDevice[], reference: DeviceReference): string {
  const partitioned = new Set(seen.map(({ disk }) => disk));
  const leaves = seen.filter((device) => reference.by === "path" || !partitioned.has(device.name)).sort(byPlace);
  const texts = leaves.map((device) => {
    const about = aspect(device, reference);
    return about ? `${device.name} ${about}` : device.name;
  });
  const most = 24;
  const rest = texts.length > most ? [`and ${texts.length - most} more`] : [];
  return texts.length === 0 ? "no block device" : [...texts.slice(0, most), ...rest].join(", ");
}

/** By disk, then by partition: vda2 comes before vda10. */
function byPlace(left: BlockDevice, right: BlockDevice): number {
  const [one, other] = [left.disk ?? left.name, right.disk ?? right.name];
  if (one !== other) return one < other ? -1 : 1;
  return (left.partition ?? 0) - (right.partition ?? 0);
}

function aspect(device: BlockDevice, reference: DeviceReference): string | null {
  if (reference.by === "partuuid") return device.partuuid;
  if (reference.by === "label") return device.superblock?.label ?? device.superblock?.type ?? null;
  if (reference.by === "uuid") return device.superblock?.uuid ?? device.superblock?.type ?? null;
  return device.partlabel;
}

function remedy(seen: readonly BlockDevice[]): string {
  const disks = seen.filter((device) => device.disk === null);
  if (disks.length === 0) return "is the disk's driver (virtio_blk, nvme, sd_mod with its controller, mmc_block) in the initrd?";
  const missingDriver = "is the module of its disk in the initrd?";
  return seen.some((device) => device.disk !== null) ? missingDriver : "is the disk partitioned (slipway disk build)?";
}
