/** Partition tables that are lost, disks that are larger than what was written to them, and disks with nothing on them. */

import { createHash } from "node:crypto";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, truncateSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { UNPROVEN } from "../../boot/image/judge-seal.ts";
import { partition, readAt } from "../../qemu/disk-partitions.ts";
import { guestKernel } from "../../qemu/kernel.ts";
import { runProgram } from "../../qemu/program.ts";
import { checkData, recordOn } from "./support/disk-file.ts";
import { smallSystem } from "./support/small-image.ts";
import { boot, part, smallInitrd, smallMachine, startSmall } from "./support/small-machine.ts";

const MiB = 1024 * 1024;
const scratch = mkdtempSync(`${tmpdir()}/slipway-disks-`);
test.after(() => rmSync(scratch, { recursive: true, force: true }));

const script = `report size cat /sys/class/block/vda4/size
report room df -P -k /home
report kept cat /home/kept
echo kept >>/home/kept
sync
`;
const slots = { a: { facts: "v1", script }, b: { facts: "v2", script } };
const mkfs = { extra: { "/usr/sbin/mkfs.ext4": "/usr/sbin/mkfs.ext4" } };
const wishing = (wish: string): string => smallSystem().replace("filesystem: ext4 }", `filesystem: ext4, ${wish} }`);

function hashOf(file: string): string {
  return createHash("sha256").update(readFileSync(file)).digest("hex");
}

function write(file: string, offset: number, bytes: Uint8Array): void {
  const fd = openSync(file, "r+");
  try {
    writeSync(fd, bytes, 0, bytes.length, offset);
  } finally {
    closeSync(fd);
  }
}

/** sgdisk finds nothing wrong. `disk` may be a path that only this process knows. */
async function verified(disk: string): Promise<void> {
  assert.match(await runProgram("sgdisk", ["--verify", disk]), "No problems found");
}

/** What `df` says the filesystem has, KiB. */
const roomOf = (text: string): number => Number(/^\S+ +(\d+) /m.exec(text.split("\n").slice(1).join("\n"))?.[1]);

test("a lost primary table: the machine boots at once, the table is restored and told; the next boot has nothing to tell", async () => {
  const machine = await smallMachine({ slots, size: "256M" });
  const table = readAt(machine.disk, 0, 34 * 512);
  write(machine.disk, 0, new Uint8Array(MiB));
  const told = await boot(machine);
  assert.is(told.root, "v1");
  const note = "the partition table of /dev/vda is restored: its primary copy is lost (no GPT signature)";
  assert.equal(told.report.stateNotes, [note]);
  assert.equal(told.report.warnings, [UNPROVEN]);
  assert.match(told.console, `slipway: ${note}`);
  assert.equal(recordOn(machine.disk).journal[0]?.notes, [note]);
  await verified(machine.disk);
  const restored = readAt(machine.disk, 0, 34 * 512);
  // Of the MBR's entry the cylinders may be written in several ways.
  assert.is(Buffer.compare(restored.subarray(512), table.subarray(512)), 0);
  // Now the backup.
  write(machine.disk, 256 * MiB - 512, new Uint8Array(512));
  const again = await boot(machine);
  assert.match(again.report.stateNotes.join("\n"), /^the partition table of \/dev\/vda is restored: its backup copy was damaged/);
  assert.is(part(again, "kept"), "kept", "the state is there");
  await verified(machine.disk);
  assert.equal((await boot(machine)).report.stateNotes, []);
});

test("a raw image on a disk twice its size: backup moved, data partition and its filesystem grown in one boot, state kept", async () => {
  const machine = await smallMachine({ system: wishing("grow: true"), diskSystem: smallSystem(), slots, size: "256M" });
  const before = await boot(machine);
  assert.equal(before.report.stateNotes, []);
  truncateSync(machine.disk, 512 * MiB);
  const told = await boot(machine);
  assert.equal(told.report.warnings, [UNPROVEN]);
  assert.is(part(told, "kept"), "kept");
  const grown = Number(part(told, "size")) - Number(part(before, "size"));
  assert.is(grown * 512, 256 * MiB, "the partition in the guest");
  const room = roomOf(part(told, "room")) - roomOf(part(before, "room"));
  assert.ok(room > 220 * 1024 && room < 262 * 1024, `${room} KiB more in the guest`);
  assert.match(
    told.report.stateNotes.join("\n"),
    /^the data partition, number 4 on \/dev\/vda, has grown to .*\nthe data filesystem on \/dev\/vda4 has grown from /,
  );
  await verified(machine.disk);
  const again = await boot(machine);
  assert.equal([again.report.stateNotes, again.report.warnings], [[], [UNPROVEN]]);
  assert.is(part(again, "kept"), "kept\nkept");
});

test("create: a raw image without a data partition gets one behind the slots, labelled, with a filesystem, and keeps state on it", async () => {
  const system = wishing("create: true, grow: true");
  const machine = await smallMachine({ system, diskSystem: smallSystem(), slots, size: "256M", initrd: mkfs });
  await runProgram("sgdisk", ["--delete=4", machine.disk]);
  truncateSync(machine.disk, 400 * MiB);
  const told = await boot(machine);
  assert.is(told.root, "v1");
  assert.equal([told.report.warnings, told.report.degraded], [[UNPROVEN], []]);
  assert.match(
    told.report.stateNotes.join("\n"),
    /^the data partition is made: number 4 on \/dev\/vda, .*\nthe data filesystem is made: ext4 on \/dev\/vda4$/,
  );
  await verified(machine.disk);
  assert.is(partition(machine.disk, "sys-data").attributes, 1n << 63n);
  const again = await boot(machine);
  assert.equal([again.report.stateNotes, part(again, "kept")], [[], "kept"]);
});

/** A machine that installs itself on a blank disk, and has nothing to install from. */
const installing = smallSystem(
  ["a", "b"],
  "ext4",
  "recovery: { ladder: [reinstall], longest-pause: 60s }\n",
).concat(`install: blank
layout:
  - { label: boot-record, size: 4MiB }
  - { label: root-a, size: 32MiB }
  - { label: root-b, size: 32MiB }
  - { label: sys-data, size: rest }
`);

function diskFile(name: string, mebibytes: number): string {
  const file = `${scratch}/${name}`;
  writeFileSync(file, "");
  truncateSync(file, mebibytes * MiB);
  return file;
}

const labels = ["boot-record", "root-a", "root-b", "sys-data"];

test("install: blank: the one disk with nothing on it gets its layout and its data filesystem; a full one beside it is untouched", async () => {
  const blank = diskFile("blank", 256);
  const full = diskFile("full", 256);
  write(full, 100 * MiB, Uint8Array.of(0x42));
  const before = hashOf(full);
  const initrd = await smallInitrd(installing, mkfs);
  const { kernel } = await guestKernel();
  const running = await startSmall({ kernel, initrd, disk: blank }, { disks: [{ file: full }, { file: blank }] });
  await running.expect("slipway: install: blank: /dev/vdb has nothing on it and becomes this machine's disk");
  await running.expect("slipway: the data filesystem is made: ext4 on /dev/vdb4");
  await running.expect(/no slot boots|root-a|slot a/);
  await running.cutPower();
  await verified(blank);
  assert.equal(
    labels.map((label) => partition(blank, label).number),
    [1, 2, 3, 4],
  );
  await checkData(blank);
  assert.ok(["empty", "valid"].includes(recordOn(blank).reading.condition));
  assert.is(hashOf(full), before, "not a byte of the full disk is another");
});

test("install: blank on a machine whose only disk has something on it: refused with what is there, and not a byte is written", async () => {
  const full = diskFile("only", 256);
  await runProgram("mkfs.ext4", ["-q", "-F", full]);
  const before = hashOf(full);
  const initrd = await smallInitrd(installing, mkfs);
  const { kernel } = await guestKernel();
  const running = await startSmall({ kernel, initrd, disk: full });
  await running.expect(/install: blank: no disk is touched: \/dev\/vda has something on it: an ext4 filesystem/);
  await new Promise((resolve) => setTimeout(resolve, 3000));
  await running.cutPower();
  assert.is(hashOf(full), before);
});

if (process.env.SLIPWAY_TIER === "long") {
  test("install: blank with the power cut six times while it lays out and makes the filesystem: the disk is never given up", async () => {
    const blank = diskFile("cut", 512);
    const initrd = await smallInitrd(installing, mkfs);
    const { kernel } = await guestKernel();
    for (let cut = 0; cut < 6; cut++) {
      const running = await startSmall({ kernel, initrd, disk: blank });
      if (cut < 3) await running.expect(/becomes this machine's disk|which was interrupted, goes on|mkfs\.ext4 makes/);
      else await running.expect(/mkfs\.ext4 makes the data filesystem|no slot boots/);
      await new Promise((resolve) => setTimeout(resolve, cut * 40));
      await running.cutPower();
    }
    const last = await startSmall({ kernel, initrd, disk: blank });
    await last.expect(/no slot boots/);
    await last.cutPower();
    assert.not.match(last.console.text, /install: blank: no disk is touched/);
    await verified(blank);
    assert.is(partition(blank, "sys-data").attributes, 1n << 63n, "its filesystem is made");
    await checkData(blank);
  });
}

test.run();
