/** Whole boots of a machine whose partition table was lost, and whose data partition grows: traces, and the power cut in them. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { emptyTable, type GptTable, rewriteTable, withPartition } from "../../boot/devices/gpt-table.ts";
import type { BootReport } from "../../boot/report.ts";
import { IOCTL } from "../../init/kernel/constants.ts";
import type { RecordingKernel } from "../../init/kernel/recording/recording.ts";
import { matchesGolden } from "../golden.ts";
import { guid, LINUX } from "./disk-desk.ts";
import { controlFile, ext4, image, MiB } from "./golden-machine.ts";
import { type Boot, World, type WorldOptions } from "./golden-world.ts";

const plain = image(1, { "usr/lib/slipway/control.json": controlFile({ operators: [] }).text });
const NAMES = ["vda1", "vda2", "vda3", "vda4"];

/** The table of the world's disk as it was made for a disk of `mebibytes`. */
function tableFor(mebibytes: number): GptTable {
  const places: [string, number, number][] = [
    ["boot-record", 8, 4],
    ["root-a", 16, 4],
    ["root-b", 24, 4],
    ["sys-data", 32, 8],
  ];
  return places.reduce(
    (table, [label, start, size], index) =>
      withPartition(table, {
        ...{ number: index + 1, label, type: LINUX, unique: guid(index + 1), attributes: 0n },
        ...{ firstLba: BigInt(start * 2048), lastLba: BigInt((start + size) * 2048 - 1) },
      }),
    emptyTable(BigInt(mebibytes * 2048 - 1), 512, guid(0xd)),
  );
}

function worldWith(mebibytes: number, options: WorldOptions): World {
  const world = new World({ a: plain, ...options });
  const rewrite = rewriteTable(tableFor(mebibytes), new Uint8Array(512));
  if (typeof rewrite === "string") throw new Error(rewrite);
  for (const { offset, bytes } of rewrite.flat()) world.disk.storage.below.write(Number(offset), bytes);
  return world;
}

/** A kernel that found what the disk's table names, and nothing else. */
function started(world: World): RecordingKernel {
  const kernel = world.kernel(NAMES);
  for (const block of [world.record, world.a, world.b, world.data]) kernel.addHiddenPartition(block);
  kernel.scanPartitions(world.disk);
  kernel.beginTrace();
  return kernel;
}

function report(boot: Boot): Partial<BootReport> {
  const read: Partial<BootReport> = JSON.parse(boot.kernel.peek("/run/slipway/boot.json") ?? "{}");
  return read;
}

test("the primary table is lost: restored, read by the kernel, and the slot boots; report and journal say so", async () => {
  const world = worldWith(64, {});
  world.disk.storage.below.write(0, new Uint8Array(MiB));
  const boot = await world.boot(started(world));
  assert.is(boot.root, "/dev/vda2", boot.end);
  const note = "the partition table of /dev/vda is restored: its primary copy is lost (no GPT signature)";
  assert.equal(report(boot).stateNotes, [note]);
  assert.equal(world.journal()[0]?.notes, [note]);
  matchesGolden("boot-lost-table", boot.kernel.trace);
});

test("with whole tables a boot leaves the same trace as without any", async () => {
  const without = await new World({ a: plain }).boot();
  const world = worldWith(64, {});
  const boot = await world.boot(started(world));
  assert.is(boot.kernel.trace, without.kernel.trace);
});

/** A machine on a larger disk than its image was made for, whose data filesystem has 8 MiB: 2048 blocks. */
function largerDisk() {
  const data = { device: "PARTLABEL=sys-data", filesystem: "ext4", whenReplaced: "refuse", grow: true, create: false } as const;
  const world = worldWith(48, { a: image(1), control: { data } });
  const superblock = ext4(0xda);
  new DataView(superblock.buffer).setUint32(1024 + 4, 2048, true);
  world.data.storage.below.write(0, superblock);
  return { world, kernel: started(world) };
}

test("a raw image on a larger disk: the table is rewritten, the kernel told, the mounted filesystem grown", async () => {
  const { world, kernel } = largerDisk();
  kernel.onIoctl(IOCTL.EXT4_IOC_RESIZE_FS, (_path, argument) => {
    if (typeof argument === "number" || world.data.filesystem === null) return "EINVAL";
    const blocks = Number(new DataView(argument.buffer, argument.byteOffset).getBigUint64(0, true));
    world.data.filesystem.capacity = { bytes: blocks * 4096, inodes: 65536 };
    return 0;
  });
  const boot = await world.boot(kernel);
  assert.is(boot.root, "/dev/vda2", boot.end);
  assert.equal(report(boot).stateNotes, [
    "the data partition, number 4 on /dev/vda, has grown to 31 MiB",
    "the data filesystem on /dev/vda4 has grown from 8.0 MiB to 31 MiB",
  ]);
  assert.is(world.data.filesystem?.capacity.bytes, 31 * MiB);
  matchesGolden("boot-larger-disk", boot.kernel.trace);
});

test("a filesystem that the kernel does not grow is told, and the slot boots with its state", async () => {
  const { world, kernel } = largerDisk();
  kernel.onIoctl(IOCTL.EXT4_IOC_RESIZE_FS, () => "EPERM");
  const boot = await world.boot(kernel);
  assert.is(boot.root, "/dev/vda2", boot.end);
  assert.is(report(boot).generation, "000001");
  const told = report(boot).warnings?.join("\n") ?? "";
  assert.match(told, "the data filesystem on /dev/vda4 is not made larger (EPERM): it has 8.0 MiB, its device 31 MiB");
});

test("the power goes anywhere in the boot that restores the table: the next one boots, with the table whole", async () => {
  const world = worldWith(64, {});
  const whole = world.disk.storage.read(0, MiB);
  world.disk.storage.below.write(0, new Uint8Array(MiB));
  const back = world.checkpoint();
  const total = (await world.boot(started(world))).kernel.effects;
  for (const unsynced of ["kept", "lost", "mixed"] as const) {
    for (let effects = 0; effects < Math.min(total, 24); effects++) {
      back();
      const kernel = started(world);
      kernel.crashAfter(effects, 512, unsynced);
      assert.is((await world.boot(kernel)).end, "power cut");
      const text = `cut after ${effects} of ${total} effects, unsynced ${unsynced}`;
      assert.is((await world.boot(started(world))).root, "/dev/vda2", text);
      assert.is(Buffer.compare(world.disk.storage.read(0, MiB), whole), 0, text);
    }
  }
});

test.run();
