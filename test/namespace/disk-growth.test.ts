/** Tables, partitions and filesystems of real disks: loop devices of this test's own, the kernel's BLKPG, mkfs and growth. */
import { createHash } from "node:crypto";
import { readFileSync, truncateSync, writeFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { BlockDevice } from "../../boot/devices/block-device.ts";
import { type GptPartition, readEntries } from "../../boot/devices/gpt.ts";
import { layoutBlank, type NewPartition } from "../../boot/devices/gpt-plans.ts";
import { rewriteTable } from "../../boot/devices/gpt-table.ts";
import { scanBlockDevices } from "../../init/devices/scan.ts";
import { placeOf, readTable, sectorSizeOf } from "../../init/disk/disk-table.ts";
import { growFilesystem } from "../../init/disk/grow-filesystem.ts";
import { repairTables } from "../../init/disk/repair-tables.ts";
import { tendDisk } from "../../init/disk/tend-disk.ts";
import { IOCTL, O } from "../../init/kernel/constants.ts";
import { withOpen } from "../../init/kernel/files.ts";
import { KernelError } from "../../init/kernel/kernel.ts";
import { closeData, openDataIfPossible } from "../../init/sequence/data.ts";
import type { Launch } from "../../init/sequence/launch.ts";
import { mountDataFilesystem } from "../../init/state/data-filesystem.ts";
import type { DataFilesystem } from "../../state-ops/control.ts";
import { MAKERS } from "../../state-ops/data-make.ts";
import { launchWith } from "./boot-kernel.ts";
import { attach, cleanUp, detach, filesystems, kernel, mountTmpfs, program, scratch } from "./state-machine.ts";

test.after(cleanUp);
mountTmpfs("/run");

const MiB = 1024 * 1024;
const LINUX = "0fc63daf-8483-4772-8e79-3d69d8477de4";
const guid = (tag: number): string => `${tag.toString(16).padStart(8, "0")}-0000-4000-8000-000000000000`;

function part(label: string, mebibytes: number | null, tag: number): NewPartition {
  return { label, size: mebibytes === null ? null : mebibytes * MiB, type: LINUX, unique: guid(tag), attributes: 0n };
}

const system = [part("boot-record", 4, 1), part("root-a", 8, 2), part("root-b", 8, 3)];
const withData = [...system, part("sys-data", null, 4)];

/** Without CAP_SYS_RESOURCE, bit 24, the kernel refuses to make an ext4 larger; PID 1 has it, and the VM test shows it grow. */
const mayGrowExt4 = (() => {
  const hex = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0";
  return ((BigInt(`0x${hex}`) >> 24n) & 1n) === 1n;
})();

let files = 0;

/** A disk image of `mebibytes` with a table, in a file that is then made larger. */
function diskFile(parts: NewPartition[], mebibytes: number, larger: number): string {
  const file = `${scratch}/disk-${files++}`;
  writeFileSync(file, "");
  truncateSync(file, mebibytes * MiB);
  const table = layoutBlank(parts, { sizeBytes: BigInt(mebibytes * MiB), sectorSize: 512, guid: guid(0xd) });
  const rewrite = typeof table === "string" ? table : rewriteTable(table, new Uint8Array(512));
  if (typeof rewrite === "string") throw new Error(rewrite);
  withOpen(kernel, file, O.WRONLY, (fd) => {
    for (const { offset, bytes } of rewrite.flat()) kernel.write(fd, bytes, offset);
  });
  truncateSync(file, larger * MiB);
  return file;
}

function tableOf(loop: string): GptPartition[] {
  const disk = scanBlockDevices(kernel, { loops: true }).devices.find(({ path }) => path === loop);
  if (disk === undefined) throw new Error(`no ${loop}`);
  const { primary } = readTable(kernel, disk);
  return typeof primary === "string" ? [] : readEntries(primary);
}

/**
 * The loop device and its partitions, as the scan of a boot sees them. Not every kernel that tests run on reads GPTs, or tells
 * labels: those are the table's.
 */
function devicesOf(loop: string): { disk: BlockDevice; parts: BlockDevice[]; all: BlockDevice[] } {
  const name = loop.replace("/dev/", "");
  const table = tableOf(loop);
  const all = scanBlockDevices(kernel, { loops: true })
    .devices.filter((device) => (device.disk ?? device.name) === name)
    .map((device) => ({ ...device, partlabel: table.find(({ number }) => number === device.partition)?.label ?? null }));
  const disk = all.find((device) => device.disk === null);
  if (disk === undefined) throw new Error(`no ${loop}`);
  return { disk, parts: all.filter((device) => device.disk !== null), all };
}

/** Attaches a disk with its partitions. The first one is held open, as a boot's record is, so that none of them goes. */
async function withDisk(file: string, use: (loop: string) => Promise<void>, ...options: string[]): Promise<void> {
  const loop = attach(file, "--partscan", ...options);
  try {
    // What another program set on the device when it was its own stays.
    program("blockdev", "--setrw", loop);
    const { disk, parts } = devicesOf(loop);
    const sectorSize = sectorSizeOf(kernel, disk);
    withOpen(kernel, loop, O.RDWR, (fd) => {
      for (const partition of tableOf(loop)) {
        if (parts.some((part) => part.partition === partition.number)) continue;
        kernel.changePartition(fd, { how: "add", number: partition.number, ...placeOf(partition, sectorSize) });
      }
    });
    const first = tableOf(loop).length === 0 ? null : kernel.open(`${loop}p1`, O.RDONLY);
    try {
      await use(loop);
    } finally {
      if (first !== null) kernel.close(first);
    }
  } finally {
    detach(loop);
  }
}

const KNOWN_LATER = /knows the labels of the partitions on \/dev\/loop\d+ from the next boot on \(EBUSY\)/;

const places = (parts: BlockDevice[]): [string | null, number][] =>
  parts.map(({ partlabel, sizeBytes }) => [partlabel, Number(sizeBytes) / MiB]);

async function tend(launch: Launch, loop: string): Promise<void> {
  const { disk, parts, all } = devicesOf(loop);
  const record = parts.find(({ partlabel }) => partlabel === "boot-record");
  if (record === undefined) throw new Error("no boot record");
  await tendDisk(launch, disk, record, all);
}

const check: Record<DataFilesystem, (device: string) => void> = {
  ext4: (device) => void program("e2fsck", "-f", "-n", device),
  xfs: (device) => void program("xfs_repair", "-n", device),
  btrfs: (device) => void program("btrfs", "check", "--readonly", device),
};

const dataOf = (filesystem: DataFilesystem, wish: { grow?: boolean; create?: boolean }) => ({
  data: { device: "PARTLABEL=sys-data", filesystem, whenReplaced: "refuse", grow: false, create: false, ...wish } as const,
});

for (const filesystem of filesystems) {
  test(`${filesystem}: a larger disk's data partition and its filesystem grow, and are clean afterwards`, async () => {
    const launch = launchWith(dataOf(filesystem, { grow: true }));
    await withDisk(diskFile(withData, 400, 900), async (loop) => {
      const device = `${loop}p4`;
      program(`mkfs.${filesystem}`, ...MAKERS[filesystem].words(device));
      await tend(launch, loop);
      assert.equal(launch.warnings, []);
      const parts = devicesOf(loop).parts;
      const record = parts[0];
      if (record === undefined) throw new Error("no partitions");
      assert.equal(places(parts), [
        ["boot-record", 4],
        ["root-a", 8],
        ["root-b", 8],
        ["sys-data", 900 - 22],
      ]);
      assert.match(program("sgdisk", "--verify", loop), "No problems found");
      const request = { knownData: null, opened: null, checked: null };
      const opened = await openDataIfPossible(launch, {
        ...request,
        findDevice: async () => parts.find(({ path }) => path === device) ?? record,
      });
      if (opened.data === null) throw new Error(opened.missing);
      const { blocks, blockSize } = kernel.filesystemStatus(opened.data.root);
      const bytes = Number(blocks) * blockSize;
      if (filesystem === "ext4" && !mayGrowExt4) {
        const why = `the data filesystem on ${device} is not made larger (EPERM): it has 378 MiB, its device 878 MiB`;
        assert.equal([launch.warnings, launch.stateNotes.length, bytes < 380 * MiB], [[why], 1, true]);
      } else {
        assert.equal(launch.warnings, []);
        assert.is(launch.stateNotes[1], `the data filesystem on ${device} has grown from 378 MiB to 878 MiB`);
        assert.ok(bytes > 780 * MiB, `${bytes} bytes`);
      }
      closeData(kernel, opened.data);
      check[filesystem](device);
      // Nothing more to do: not a sector of the table is written, and no filesystem is asked.
      const digest = () =>
        createHash("sha256")
          .update(withOpen(kernel, loop, O.RDONLY, (fd) => kernel.read(fd, MiB, 0n)))
          .digest("hex");
      const before = digest();
      const again = launchWith(dataOf(filesystem, { grow: true }));
      await tend(again, loop);
      const reopened = await openDataIfPossible(again, {
        ...request,
        findDevice: async () => devicesOf(loop).parts[3] ?? record,
      });
      if (reopened.data !== null) closeData(kernel, reopened.data);
      assert.equal([again.warnings, again.stateNotes, digest()], [filesystem === "ext4" ? launch.warnings : [], [], before]);
    });
  });

  test(`${filesystem}: create makes partition and filesystem behind the last one, and it can be used`, async () => {
    const launch = launchWith(dataOf(filesystem, { create: true }));
    await withDisk(diskFile(system, 64, 400), async (loop) => {
      await tend(launch, loop);
      assert.is(launch.warnings.length, 1);
      assert.match(launch.warnings[0] ?? "", KNOWN_LATER);
      assert.is(launch.stateNotes.at(-1), `the data filesystem is made: ${filesystem} on ${loop}p4`);
      const data = devicesOf(loop).parts.find(({ partlabel }) => partlabel === "sys-data");
      assert.is(data?.sizeBytes, BigInt((400 - 22) * MiB));
      check[filesystem](`${loop}p4`);
      const root = mountDataFilesystem(kernel, `${loop}p4`, filesystem, `${scratch}/made`);
      assert.equal(kernel.status(root).owner, 0);
      kernel.close(root);
      kernel.unmount(`${scratch}/made`, 0);
      const again = launchWith(dataOf(filesystem, { create: true, grow: true }));
      await tend(again, loop);
      assert.equal([again.warnings, again.stateNotes], [[], []]);
    });
  });

  test(`${filesystem}: a filesystem that is as large as its device is asked in vain, and harmed by nothing`, async () => {
    await withDisk(diskFile(withData, 400, 400), async (loop) => {
      const device = `${loop}p4`;
      program(`mkfs.${filesystem}`, ...MAKERS[filesystem].words(device));
      const root = mountDataFilesystem(kernel, device, filesystem, `${scratch}/full`);
      const { blocks } = kernel.filesystemStatus(root);
      try {
        growFilesystem(kernel, root, filesystem, { fromBytes: BigInt(378 * MiB), deviceBytes: BigInt(378 * MiB) }, () => {});
      } catch (error) {
        assert.instance(error, KernelError);
      }
      assert.is(kernel.filesystemStatus(root).blocks, blocks);
      kernel.close(root);
      kernel.unmount(`${scratch}/full`, 0);
      check[filesystem](device);
    });
  });
}

test("a partition in use grows all the same, and one that is added beside it is known, if without a label", async () => {
  const file = diskFile([...system, part("sys-data", 128, 4)], 200, 400);
  await withDisk(file, async (loop) => {
    const { disk } = devicesOf(loop);
    program("mkfs.btrfs", "-q", "-f", `${loop}p4`);
    const root = mountDataFilesystem(kernel, `${loop}p4`, "btrfs", `${scratch}/busy`);
    withOpen(kernel, loop, O.RDWR, (fd) => {
      assert.throws(
        () => kernel.ioctl(fd, IOCTL.BLKRRPART, 0),
        (error: unknown) => error instanceof KernelError && error.code === "EBUSY",
      );
      const start = BigInt(21 * MiB);
      kernel.changePartition(fd, { how: "resize", number: 4, start, length: BigInt(300 * MiB) });
      assert.is(devicesOf(loop).parts[3]?.sizeBytes, BigInt(300 * MiB));
      growFilesystem(kernel, root, "btrfs", { fromBytes: BigInt(128 * MiB), deviceBytes: BigInt(300 * MiB) }, () => {});
      assert.is(Number(kernel.filesystemStatus(root).blocks) * kernel.filesystemStatus(root).blockSize, 300 * MiB);
      kernel.changePartition(fd, { how: "add", number: 5, start: BigInt(330 * MiB), length: BigInt(20 * MiB) });
      const added = devicesOf(loop).parts[4];
      assert.equal([added?.partition, added?.partlabel, added?.sizeBytes], [5, null, BigInt(20 * MiB)]);
      // What overlaps, is there already, or is not there, is refused, and names the disk.
      for (const [how, number, from, length] of [
        ["add", 6, 340, 20],
        ["add", 5, 380, 1],
        ["resize", 9, 21, 64],
        ["resize", 4, 21, 320],
      ] as const) {
        const change = { how, number, start: BigInt(from * MiB), length: BigInt(length * MiB) };
        assert.throws(
          () => kernel.changePartition(fd, change),
          (error: unknown) => error instanceof KernelError && /BLKPG/.test(error.message) && /^(EBUSY|ENXIO)$/.test(error.code),
        );
      }
    });
    assert.is(disk.path, loop);
    kernel.close(root);
    kernel.unmount(`${scratch}/busy`, 0);
    check.btrfs(`${loop}p4`);
  });
});

test("a lost primary is restored: the file is as it was, byte for byte", async () => {
  const file = diskFile(withData, 64, 64);
  const whole = createHash("sha256").update(readFileSync(file)).digest("hex");
  await withDisk(file, async (loop) => {
    withOpen(kernel, loop, O.RDWR, (fd) => {
      kernel.write(fd, new Uint8Array(MiB), 0n);
      kernel.sync(fd);
    });
    const launch = launchWith({});
    const { disk } = devicesOf(loop);
    assert.is(repairTables(launch, [disk]).length, 1, launch.warnings.join("\n"));
    assert.equal(repairTables(launch, [disk]), []);
  });
  assert.is(createHash("sha256").update(readFileSync(file)).digest("hex"), whole);
});

test("sectors of 4096 bytes: restored, grown and read by the real kernel and by sgdisk", async () => {
  const file = `${scratch}/large-sectors`;
  writeFileSync(file, "");
  truncateSync(file, 64 * MiB);
  const table = layoutBlank(withData, { sizeBytes: BigInt(64 * MiB), sectorSize: 4096, guid: guid(0xd) });
  const rewrite = typeof table === "string" ? table : rewriteTable(table, new Uint8Array(4096));
  if (typeof rewrite === "string") throw new Error(rewrite);
  withOpen(kernel, file, O.WRONLY, (fd) => {
    for (const { offset, bytes } of rewrite.flat()) kernel.write(fd, bytes, offset);
    kernel.write(fd, new Uint8Array(64 * 1024), 0n);
  });
  await withDisk(
    file,
    async (loop) => {
      const launch = launchWith(dataOf("ext4", { grow: true }));
      assert.is(repairTables(launch, [devicesOf(loop).disk]).length, 1, launch.warnings.join("\n"));
      assert.match(program("sgdisk", "--verify", loop), "No problems found");
    },
    "--sector-size=4096",
  );
  truncateSync(file, 128 * MiB);
  await withDisk(
    file,
    async (loop) => {
      const launch = launchWith(dataOf("ext4", { grow: true }));
      await tend(launch, loop);
      assert.equal(launch.warnings, []);
      assert.is(devicesOf(loop).parts[3]?.sizeBytes, BigInt(106 * MiB));
      assert.match(program("sgdisk", "--verify", loop), "No problems found");
      const pair = readTable(kernel, devicesOf(loop).disk);
      assert.not.type(pair.primary, "string");
      assert.not.type(pair.backup, "string");
    },
    "--sector-size=4096",
  );
});

test.run();
