/** The data partition grown or made at a boot, as the control file asks: `data: { grow, create }`. Decided in boot/devices/plan-data.ts. */
import { firstNonZero, stretchesToRead } from "../../boot/devices/blank-disk.ts";
import type { BlockDevice } from "../../boot/devices/block-device.ts";
import type { GptPartition } from "../../boot/devices/gpt.ts";
import type { GptPair } from "../../boot/devices/gpt-table.ts";
import { type DataPlan, markUnfinished, planData } from "../../boot/devices/plan-data.ts";
import { parseReference } from "../../boot/devices/reference.ts";
import { matches } from "../../boot/devices/resolve.ts";
import { readSuperblock, SUPERBLOCK_BYTES } from "../../boot/devices/superblock.ts";
import type { RecordReading } from "../../boot/record/store.ts";
import type { ControlFile } from "../../state-ops/control.ts";
import { sizeText } from "../../state-ops/size-text.ts";
import { scanBlockDevices } from "../devices/scan.ts";
import { O } from "../kernel/constants.ts";
import { withOpen } from "../kernel/files.ts";
import type { Kernel } from "../kernel/kernel.ts";
import type { Launch } from "../sequence/launch.ts";
import { readTable, rereadTable, resizePartition, writeTable } from "./disk-table.ts";
import { makeDataFilesystem, missingDataMaker } from "./make-data.ts";

export interface DataDisk {
  disk: BlockDevice;
  pair: GptPair;
  /** All devices of the machine. */
  devices: readonly BlockDevice[];
  record: RecordReading;
}

/** Throws KernelError. What cannot be done is a warning, and the boot goes on. */
export async function prepareData(boot: Launch, { disk, pair, devices, record }: DataDisk): Promise<void> {
  const { control, kernel } = boot;
  if (control.data === null) return;
  // A record that cannot be read may know of state: nothing is made then.
  const lost = record.condition === "unreadable";
  const data = lost ? { ...control.data, create: false } : control.data;
  const known = record.record?.dataFilesystem ?? null;
  const device = devices.find((one) => one.disk === disk.name && matches(one, parseReference(data.device)));
  const installs = control.install !== null && !lost;
  const wish = { data, installs, known, seen: device?.partition ?? null, unique: crypto.randomUUID() };
  const plan = planData(pair, wish);
  if (plan.refused !== null) boot.warn(`data: ${asked(data)}: ${disk.path}: ${plan.refused}`);
  const missing = plan.make === null ? null : missingDataMaker(boot);
  // A partition that nobody can make a filesystem on would only be in the way of the initrd that can.
  if (missing !== null && plan.added !== null) return boot.warn(`data: create: ${missing}`);
  if (plan.rewrite !== null) writeTable(kernel, disk, plan.rewrite);
  tellKernel(boot, disk, pair.sectorSize, plan);
  if (plan.make !== null) await make(boot, disk, data, plan.make, missing);
}

function asked({ grow, create }: NonNullable<ControlFile["data"]>): string {
  return [...(grow ? ["grow"] : []), ...(create ? ["create"] : [])].join(", ");
}

function bytesOf({ firstLba, lastLba }: GptPartition, sectorSize: number): string {
  return sizeText(Number((lastLba - firstLba + 1n) * BigInt(sectorSize)));
}

function tellKernel(boot: Launch, disk: BlockDevice, sectorSize: number, { resized, added }: DataPlan): void {
  if (resized !== null) {
    const refused = resizePartition(boot.kernel, disk, resized, sectorSize);
    boot.note(`the data partition, number ${resized.number} on ${disk.path}, has grown to ${bytesOf(resized, sectorSize)}`);
    if (refused !== null) boot.warn(`the kernel knows the new end of the data partition from the next boot on (${refused})`);
  }
  if (added !== null) {
    const unread = rereadTable(boot.kernel, disk, [added], sectorSize);
    boot.note(`the data partition is made: number ${added.number} on ${disk.path}, ${bytesOf(added, sectorSize)}`);
    if (unread !== null) boot.warn(unread);
  }
}

async function make(
  boot: Launch,
  disk: BlockDevice,
  data: NonNullable<ControlFile["data"]>,
  { partition, when }: NonNullable<DataPlan["make"]>,
  missing: string | null,
): Promise<void> {
  const { kernel } = boot;
  const number = partition.number;
  const device = scanBlockDevices(kernel, { loops: true }).devices.find(
    (one) => one.disk === disk.name && one.partition === number,
  );
  // The kernel was not told, which was said.
  if (device === undefined) return;
  if (when === "if-blank") {
    if (!(await isBlank(boot, device))) return;
    if (missing === null) mark(kernel, disk, number, true);
  }
  const failure = missing ?? (await makeDataFilesystem(boot, data.filesystem, device.path));
  if (failure !== null) return boot.warn(`no data filesystem is made on ${device.path}: ${failure}`);
  mark(kernel, disk, number, false);
  boot.note(`the data filesystem is made: ${data.filesystem} on ${device.path}`);
}

function mark(kernel: Kernel, disk: BlockDevice, number: number, unfinished: boolean): void {
  const rewrite = markUnfinished(readTable(kernel, disk), number, unfinished);
  if (typeof rewrite === "string") throw new Error(`the table of ${disk.path} cannot be written: ${rewrite}`);
  writeTable(kernel, disk, rewrite);
}

/** Whatever a partition holds that is none of our filesystems stays: it is told where the data filesystem is opened. */
async function isBlank(boot: Launch, device: BlockDevice): Promise<boolean> {
  const { kernel } = boot;
  if (withOpen(kernel, device.path, O.RDONLY, (fd) => readSuperblock(kernel.read(fd, SUPERBLOCK_BYTES, 0n))) !== null)
    return false;
  for (const { offset, length } of stretchesToRead(device.sizeBytes, [], [])) {
    await boot.breathe();
    const bytes = withOpen(kernel, device.path, O.RDONLY, (fd) => kernel.read(fd, length, offset));
    if (firstNonZero(bytes, offset, []) !== null) return false;
  }
  return true;
}
