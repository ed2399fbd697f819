/**
 * A blank disk becomes the machine's: `install: blank`. What is decided is in boot/devices: plan-blank.ts and blank-disk.ts.
 *
 * The power may go at any instant. The mark goes first, one sector: from then on what the layout itself writes does not make the
 * disk one that has something on it, and all of it follows from the mark's seed, so that a second beginning writes the same.
 */
import {
  encodeMark,
  firstNonZero,
  guidFrom,
  MARK_BYTES,
  MARK_OFFSET,
  readMark,
  stretchesToRead,
  writtenByLayout,
} from "../../boot/devices/blank-disk.ts";
import type { BlockDevice } from "../../boot/devices/block-device.ts";
import { readEntries } from "../../boot/devices/gpt.ts";
import { smallestDisk } from "../../boot/devices/gpt-plans.ts";
import { readGptPair, rewriteTable } from "../../boot/devices/gpt-table.ts";
import { layoutFault, planBlank, recordLabel } from "../../boot/devices/plan-blank.ts";
import { parseReference } from "../../boot/devices/reference.ts";
import { matches } from "../../boot/devices/resolve.ts";
import { signaturesOn } from "../../boot/devices/signatures.ts";
import type { ControlInstall } from "../../state-ops/recovery.ts";
import { deviceUnder, deviceUnderRecord } from "../../state-ops/slot-file.ts";
import { list, needsOf, scanBlockDevices } from "../devices/scan.ts";
import { O } from "../kernel/constants.ts";
import { readTextIfThere, withOpen } from "../kernel/files.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";
import type { Launch } from "../sequence/launch.ts";
import { rereadTable, sectorSizeOf, writeTable } from "./disk-table.ts";
import { missingDataMaker } from "./make-data.ts";

/** A disk that may be laid out, and what its GUIDs follow from. */
interface BlankDisk {
  device: BlockDevice;
  sectorSize: number;
  /** Of the mark that an interrupted layout left; null: nothing is on the disk at all. */
  seed: Uint8Array | null;
}

/**
 * Gives the machine's table to the only disk that has nothing on it. To be called only when neither boot record nor slot was found;
 * looks itself once more. Null, with the reason as a warning and nothing written, where no disk may be touched.
 */
export async function installBlank(boot: Launch): Promise<BlockDevice | null> {
  const { install } = boot.control;
  if (install === null) return null;
  try {
    const chosen = await choose(boot, install);
    if (typeof chosen !== "string") return layOut(boot, install, chosen);
    boot.warn(`install: blank: no disk is touched: ${chosen}`);
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    boot.warn(`install: blank: ${error.message}; the next boot goes on`);
  }
  return null;
}

async function choose(boot: Launch, install: ControlInstall): Promise<BlankDisk | string> {
  const { control, kernel } = boot;
  const fault = layoutFault(control, install) ?? missingDataMaker(boot);
  if (fault !== null) return fault;
  const references = [deviceUnderRecord(control), ...control.slots.map((slot) => deviceUnder(slot, control.data))].map(
    parseReference,
  );
  const { devices } = scanBlockDevices(kernel, needsOf(references));
  const there = devices.find((device) => references.some((reference) => matches(device, reference)));
  if (there !== undefined) return `${there.path} is one of this machine's partitions already`;
  const named = control.disk === null ? null : parseReference(control.disk);
  if (named !== null && named.by !== "path") return `disk: ${control.disk} names no disk that has nothing on it; name its path`;
  const disks = devices.filter((device) => device.disk === null && (named === null || device.path === named.value));
  if (disks.length === 0) return named === null ? "there is none" : `there is no ${named.value}`;
  const found: BlankDisk[] = [];
  const refused: string[] = [];
  for (const device of disks) {
    const judged = whyUnsuitable(kernel, devices, device, install, named !== null) ?? (await lookAt(boot, device, install));
    if (typeof judged === "string") refused.push(`${device.path} ${judged}`);
    else found.push(judged);
  }
  const [first, ...others] = found;
  if (first === undefined) return refused.join("; ");
  if (others.length > 0) {
    return `${found.map(({ device }) => device.path).join(" and ")} have nothing on them; name one with disk: in system.yaml`;
  }
  return first;
}

/** Read from sysfs alone. `isNamed`: the control file names this very disk. */
function whyUnsuitable(
  kernel: Kernel,
  devices: readonly BlockDevice[],
  device: BlockDevice,
  { partitions }: ControlInstall,
  isNamed: boolean,
): string | null {
  const directory = `/sys/class/block/${device.name}`;
  const own = devices
    .filter(({ disk }) => disk === device.name)
    .map(({ name, partlabel }) => (partlabel ? `${name} ${partlabel}` : name));
  if (own.length > 0) return `has partitions (${own.slice(0, 6).join(", ")}${own.length > 6 ? ", …" : ""})`;
  if (/^(sr|fd|dm-|md|nbd|zd|drbd)\d|^mmcblk\d+(boot|rpmb|gp)/.test(device.name)) return "is no disk of its own";
  const holders = list(kernel, `${directory}/holders`);
  if (holders.length > 0) return `is in use by ${holders.join(", ")}`;
  if (device.readOnly) return "is write-protected";
  const smallest = smallestDisk(partitions);
  if (device.sizeBytes < smallest) return `has ${device.sizeBytes} bytes, the layout needs ${smallest}`;
  if (isNamed) return null;
  if (readTextIfThere(kernel, `${directory}/removable`)?.trim() === "1") return "is removable; disk: in system.yaml may name it";
  return isOnUsb(kernel, directory) ? "is on USB; disk: in system.yaml may name it" : null;
}

function isOnUsb(kernel: Kernel, directory: string): boolean {
  return /\/usb\d+\//.test(new TextDecoder().decode(kernel.readLink(directory)));
}

/** Reads what has to be zero. A string says what is there instead. */
async function lookAt(boot: Launch, device: BlockDevice, { partitions }: ControlInstall): Promise<BlankDisk | string> {
  const { kernel } = boot;
  const sectorSize = sectorSizeOf(kernel, device);
  let fd: Descriptor | null = null;
  try {
    fd = kernel.open(device.path, O.RDONLY);
    const disk = fd;
    const read = (offset: bigint, length: number) => kernel.read(disk, length, offset);
    const seed = readMark(read(MARK_OFFSET, MARK_BYTES));
    const pair = readGptPair(read, device.sizeBytes, sectorSize);
    const ownGuid = seed === null ? null : guidFrom(seed, "disk");
    const isOthers = [pair.primary, pair.backup].some((copy) => typeof copy !== "string" && copy.diskGuid !== ownGuid);
    const signatures = signaturesOn(read, device.sizeBytes, sectorSize).filter((name) => isOthers || name !== "a GPT");
    const except = seed === null ? [] : writtenByLayout(device.sizeBytes, sectorSize);
    for (const { offset, length } of stretchesToRead(device.sizeBytes, partitions, [recordLabel(boot.control)])) {
      await boot.breathe();
      const nonZero = firstNonZero(read(offset, length), offset, isOthers ? [] : except);
      if (nonZero === null) continue;
      return `has something on it: ${signatures.length > 0 ? `${signatures.join(", ")} (${nonZero})` : nonZero}`;
    }
    return signatures.length > 0 ? `has something on it: ${signatures.join(", ")}` : { device, sectorSize, seed };
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    return `cannot be read (${error.code})`;
  } finally {
    if (fd !== null) kernel.close(fd);
  }
}

function layOut(boot: Launch, install: ControlInstall, { device, sectorSize, seed: marked }: BlankDisk): BlockDevice | null {
  const { kernel } = boot;
  const seed = marked ?? crypto.getRandomValues(new Uint8Array(16));
  const table = planBlank(boot.control, install, { sizeBytes: device.sizeBytes, sectorSize, seed });
  const rewrite = typeof table === "string" ? table : rewriteTable(table, new Uint8Array(sectorSize));
  if (typeof table === "string" || typeof rewrite === "string") {
    boot.warn(`install: blank: no disk is touched: ${rewrite}`);
    return null;
  }
  boot.note(
    marked === null
      ? `install: blank: ${device.path} has nothing on it and becomes this machine's disk`
      : `install: blank: the layout of ${device.path}, which was interrupted, goes on`,
  );
  if (marked === null) writeMark(kernel, device, encodeMark(seed));
  writeTable(kernel, device, rewrite);
  const unread = rereadTable(kernel, device, readEntries(table), sectorSize);
  if (unread !== null) boot.warn(unread);
  writeMark(kernel, device, new Uint8Array(MARK_BYTES));
  return device;
}

/** One sector, on the disk when this returns. */
function writeMark(kernel: Kernel, device: BlockDevice, mark: Uint8Array): void {
  withOpen(kernel, device.path, O.RDWR, (fd) => {
    kernel.write(fd, mark, MARK_OFFSET);
    kernel.sync(fd);
  });
}
