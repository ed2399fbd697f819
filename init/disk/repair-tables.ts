import type { BlockDevice } from "../../boot/devices/block-device.ts";
import { type GptCopy, type GptPartition, readEntries } from "../../boot/devices/gpt.ts";
import { restorePrimary } from "../../boot/devices/gpt-plans.ts";
import type { GptPair, TableRewrite } from "../../boot/devices/gpt-table.ts";
import { isOwnTable } from "../../boot/devices/own-table.ts";
import { parseReference } from "../../boot/devices/reference.ts";
import { signaturesOn } from "../../boot/devices/signatures.ts";
import { O } from "../kernel/constants.ts";
import { withOpen } from "../kernel/files.ts";
import { KernelError } from "../kernel/kernel.ts";
import type { Launch } from "../sequence/launch.ts";
import { readTable, rereadTable, writeTable } from "./disk-table.ts";

/** A disk of this machine whose partitions the kernel does not see. */
interface LostTable {
  disk: BlockDevice;
  pair: GptPair;
  partitions: GptPartition[];
  restored: TableRewrite | string;
}

/**
 * The kernel finds no partitions on a disk whose primary table is lost, whatever its backup says. Of the disk whose backup names
 * what the control file does, the primary is restored, and the kernel reads it. Returns what was done, a sentence. Throws nothing of
 * its own: what fails is a warning.
 *
 * A disk with two valid tables is left alone here, however they differ: the kernel used the primary, and so does everybody. Of two
 * disks none is touched: one of them was emptied on purpose, and nothing says which.
 */
export function repairTables(boot: Launch, devices: readonly BlockDevice[]): string[] {
  const disks = devices.filter(({ disk, name }) => disk === null && !devices.some((device) => device.disk === name));
  const lost = disks
    .filter((disk) => mayBeOurs(boot, disk))
    .flatMap((disk) => quietly(boot, disk, () => lostTable(boot, disk)) ?? []);
  const [table, ...others] = lost;
  if (table === undefined) return [];
  if (others.length > 0) {
    const names = lost.map(({ disk }) => disk.path).join(" and ");
    boot.warnOnce(`the partition tables of ${names} are lost, and none is restored: each may be this machine's; unplug one`);
    return [];
  }
  const told = quietly(boot, table.disk, () => restore(boot, table));
  return told === null ? [] : [told];
}

function mayBeOurs({ control }: Launch, disk: BlockDevice): boolean {
  const named = control.disk === null ? null : parseReference(control.disk);
  return named === null || named.by !== "path" || named.value === disk.path;
}

function quietly<Result>(boot: Launch, disk: BlockDevice, work: () => Result): Result | null {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    boot.warnOnce(`the partition table of ${disk.path} cannot be looked at or restored: ${error.message}`);
    return null;
  }
}

function lostTable(boot: Launch, disk: BlockDevice): LostTable | null {
  const pair = readTable(boot.kernel, disk);
  const copy = ownCopy(boot, pair);
  const restored = copy === null ? null : restorePrimary(pair);
  return copy === null || restored === null ? null : { disk, pair, partitions: readEntries(copy), restored };
}

function restore(boot: Launch, { disk, pair, partitions, restored }: LostTable): string | null {
  const lost = whatIsLost(pair);
  const foreign = typeof restored === "string" ? restored : whatElse(boot, disk, pair.sectorSize);
  if (typeof restored === "string" || foreign !== null) {
    boot.warnOnce(`${disk.path}: ${lost}, and is not restored: ${foreign}; its backup has the machine's partitions`);
    return null;
  }
  if (disk.readOnly) {
    boot.warnOnce(`${disk.path}: ${lost}, and cannot be restored: the disk is write-protected; unlock it`);
    return null;
  }
  writeTable(boot.kernel, disk, restored);
  const unread = rereadTable(boot.kernel, disk, partitions, pair.sectorSize);
  if (unread !== null) boot.warn(unread);
  const told = `the partition table of ${disk.path} is restored: ${lost}`;
  boot.note(told);
  return told;
}

/** The copy that rules, where it is this machine's table. */
function ownCopy({ control }: Launch, { primary, backup }: GptPair): GptCopy | null {
  const copy = typeof primary === "string" ? backup : primary;
  return typeof copy !== "string" && isOwnTable(readEntries(copy), control) ? copy : null;
}

function whatIsLost({ primary }: GptPair): string {
  return typeof primary === "string" ? `its primary copy is lost (${primary})` : "its protective MBR is lost";
}

/**
 * Somebody may have made another thing of the disk, and only the backup at its end is left of what it was: the primary would be
 * written over the head of an encrypted volume, say, and all that is in it would be lost.
 */
function whatElse({ kernel }: Launch, { path, sizeBytes }: BlockDevice, sectorSize: number): string | null {
  const signatures = withOpen(kernel, path, O.RDONLY, (fd) =>
    signaturesOn((offset, length) => kernel.read(fd, length, offset), sizeBytes, sectorSize),
  ).filter((name) => name !== "a GPT");
  return signatures.length === 0 ? null : `the whole disk holds ${signatures.join(", ")}`;
}
