import { join } from "node:path";
import { type Gpt, readGpt } from "../../../boot/devices/gpt.ts";
import { emptyTable, rewriteTable, type TableRewrite, withPartition } from "../../../boot/devices/gpt-table.ts";
import type { DataFilesystem } from "../../../state-ops/control.ts";
import { O } from "../../kernel/constants.ts";
import { withOpen } from "../../kernel/files.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { replaceFile } from "../output.ts";
import { runHostProgram } from "../program.ts";
import { copySparse } from "./copy-sparse.ts";
import { type FileImage, fillOptions, makeFileTree, ownByRoot } from "./fill-data.ts";
import { type DiskPlan, NO_AUTO_BIT } from "./layout.ts";

/** Bytes of a sector of the disks that are made. */
const SECTOR = 512;

export interface DiskContents {
  /** Image files by the slot's name. */
  images: ReadonlyMap<string, string>;
  /** Image files of other partitions, by label. */
  others: ReadonlyMap<string, string>;
  /** Null: no data partition. */
  data: { filesystem: DataFilesystem; uuid: string } | null;
  /** Images for slots that are files on the data filesystem. */
  files: readonly FileImage[];
}

/**
 * Writes the disk to `output`, which is the old or the new whatever happens. Needs neither root nor loop devices: the data
 * filesystem is made in a file of its own and copied to its place.
 */
export async function writeDisk(kernel: Kernel, plan: DiskPlan, contents: DiskContents, output: string): Promise<void> {
  await replaceFile(output, async (disk, scratch) => {
    createSparse(kernel, disk, plan.size);
    withOpen(kernel, disk, O.WRONLY, (fd) => {
      for (const { offset, bytes } of encodeTable(plan).flat()) kernel.write(fd, bytes, offset);
    });
    for (const { role, slot, label, start, size } of plan.partitions) {
      const image = slot === null ? contents.others.get(label) : contents.images.get(slot);
      if (role === "slot" || role === "other") {
        if (image !== undefined) withOpen(kernel, disk, O.WRONLY, (fd) => copySparse(kernel, image, fd, start));
      } else if (role === "data" && contents.data) {
        const { filesystem, uuid } = contents.data;
        const file = join(scratch, "data");
        createSparse(kernel, file, size);
        const filled = contents.files.length === 0 ? null : makeFileTree(kernel, join(scratch, "tree"), contents.files);
        const options = [...filesystemOptions(filesystem, uuid), ...(filled === null ? [] : fillOptions(filesystem, filled))];
        await runHostProgram(`mkfs.${filesystem}`, [...options, file], fixedTime);
        if (filled !== null && filesystem === "ext4") await ownByRoot(file, contents.files, scratch, fixedTime);
        withOpen(kernel, disk, O.WRONLY, (fd) => copySparse(kernel, file, fd, start));
      }
    }
    checkTable(kernel, disk, plan);
  });
}

function createSparse(kernel: Kernel, path: string, size: bigint): void {
  withOpen(kernel, path, O.WRONLY | O.CREAT | O.EXCL, (fd) => kernel.truncate(fd, size), { mode: 0o644 });
}

function encodeTable(plan: DiskPlan): TableRewrite {
  const sector = BigInt(SECTOR);
  const table = plan.partitions.reduce(
    (before, { number, role, label, type, guid, start, size }) =>
      withPartition(before, {
        ...{ number, label, unique: guid, type, attributes: role === "other" ? 0n : 1n << BigInt(NO_AUTO_BIT) },
        ...{ firstLba: start / sector, lastLba: (start + size) / sector - 1n },
      }),
    emptyTable(plan.size / sector - 1n, SECTOR, plan.guid),
  );
  const rewrite = rewriteTable(table, new Uint8Array(SECTOR));
  if (typeof rewrite === "string") throw new Error(`the planned partition table is wrong: ${rewrite}`);
  return rewrite;
}

/**
 * The time that mkfs.ext4 writes into the filesystem, before and since its version 1.47.1. mkfs.xfs and mkfs.btrfs of
 * Debian 12 write times and random numbers of their own.
 */
const fixedTime = { E2FSPROGS_FAKE_TIME: "1", SOURCE_DATE_EPOCH: "1" };

function filesystemOptions(filesystem: DataFilesystem, uuid: string): string[] {
  switch (filesystem) {
    case "ext4":
      return ["-q", "-F", "-U", uuid, "-E", `hash_seed=${uuid},root_owner=0:0`];
    case "xfs":
      return ["-q", "-m", `uuid=${uuid}`];
    case "btrfs":
      return ["-q", "-U", uuid];
  }
}

/** What was planned is what PID 1 will read. */
function checkTable(kernel: Kernel, disk: string, plan: DiskPlan): void {
  const table: Gpt | string = withOpen(kernel, disk, O.RDONLY, (fd) =>
    readGpt((offset, length) => kernel.read(fd, length, offset), plan.size, SECTOR),
  );
  if (typeof table === "string") throw new Error(`the partition table that was written cannot be read: ${table}`);
  const written = table.partitions.map(({ label, firstLba, lastLba }) => `${label} ${firstLba}-${lastLba}`).join(", ");
  const planned = plan.partitions
    .map(({ label, start, size }) => `${label} ${start / 512n}-${(start + size) / 512n - 1n}`)
    .join(", ");
  if (written !== planned) throw new Error(`the partition table has "${written}" instead of "${planned}"`);
}
