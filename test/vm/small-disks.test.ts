/**
 * Disks of every kind, and which of several devices is meant.
 *
 * Debian's cloud kernel has NVMe, SCSI's core and ext4 built in; virtio_pci, virtio_blk, virtio_scsi, sd_mod and erofs are
 * modules, which come by the modalias of the bus, of the controller behind it, and of the disk behind that.
 */

import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { UNPROVEN } from "../../boot/image/judge-seal.ts";
import { derivedGuid } from "../../init/builder/disk/layout.ts";
import { diskWords, throwAwayCopy } from "../../qemu/disks.ts";
import { runProgram } from "../../qemu/program.ts";
import { recordOn } from "./support/disk-file.ts";
import { readMounts } from "./support/mounts.ts";
import { commitOn, twoSlots, validRecord } from "./support/record-on-disk.ts";
import { type SmallImage, smallControl, smallSystem } from "./support/small-image.ts";
import { boot, part, smallMachine, startSmall, toEnd } from "./support/small-machine.ts";

const script = "report modules cat /proc/modules; report kept cat /home/kept; echo kept >>/home/kept; sync";

/** Whole disks are compared here, so they are small. */
const size = "96M";
const names = ["a", "b", "c"];
const three = smallSystem(names);
const policy = { ...twoSlots, slots: names };

/** SHA-256 of a disk, holes and all. */
function hashOfDisk(file: string): string {
  return createHash("sha256").update(readFileSync(file)).digest("hex");
}

/** Names in /proc/modules. */
function moduleNames(text: string): string[] {
  return text.split("\n").map((line) => line.split(" ")[0] ?? "");
}

/** An image that PID 1 mounts and then refuses, with a reason that nothing else has: it is for the system `name`. */
async function refused(name: string, image: Omit<SmallImage, "facts">): Promise<SmallImage> {
  const control = readFileSync(await smallControl(smallSystem().replace("system: small", `system: ${name}`)), "utf8");
  return { facts: name, control, ...image };
}

/** The monitor of a QEMU that connects to it as it starts. */
function monitor() {
  const directory = mkdtempSync(`${tmpdir()}/slipway-monitor-`);
  const path = `${directory}/socket`;
  const connected = new Promise<Socket>((resolve) => {
    const server = createServer((socket) => {
      server.close();
      rmSync(directory, { recursive: true, force: true });
      socket.on("error", () => {});
      socket.resume();
      resolve(socket);
    });
    server.listen(path);
  });
  const extra = ["-chardev", `socket,id=monitor,path=${path}`, "-mon", "chardev=monitor,mode=readline"];
  return { extra, type: async (line: string) => (await connected).write(`${line}\n`) };
}

test("virtio-scsi, whose disk appears while it is waited for, and every kind of reference in one boot", async () => {
  const slots: Record<string, SmallImage> = {
    partuuid: await refused("of-partuuid", {}),
    label: await refused("of-label", { filesystem: "ext4", options: { label: "Root L" } }),
    uuid: await refused("of-uuid", { options: { uuid: "0a1b2c3d-0405-4607-8809-0a0b0c0d0e0f" } }),
    ext4: await refused("of-ext4", { filesystem: "ext4", options: { uuid: "1a1b2c3d-0405-4607-8809-0a0b0c0d0e0f" } }),
    path: { facts: "by path", script },
  };
  const partuuid = (label: string) => derivedGuid("small", `partition ${label}`);
  const system = `system: small
slots:
  partuuid: { device: PARTUUID=${partuuid("root-partuuid").toUpperCase()} }
  label: { device: LABEL=Root L }
  uuid: { device: UUID=0A1B2C3D-0405-4607-8809-0a0b0c0d0e0f }
  ext4: { device: UUID=1a1b2c3d-0405-4607-8809-0a0b0c0d0e0f }
  path: { device: /dev/sda6 }
data: { device: UUID=${derivedGuid("small", "data filesystem")}, filesystem: ext4 }
boot-record: { store: record, device: PARTUUID=${partuuid("boot-record")} }
device-timeout: 60s
trust: unsigned
`;
  const machine = await smallMachine({ system, diskSystem: smallSystem(Object.keys(slots)), slots });
  const words = diskWords([{ file: machine.disk, interface: "virtio-scsi" }]);
  const place = words.findIndex((word) => word.startsWith("scsi-hd,"));
  const [, disk = ""] = words.splice(place - 1, 2);
  const { extra, type } = monitor();
  const run = await startSmall(machine, { disks: [], extra: [...words, ...extra], append: "loglevel=8" });
  await run.expect("Run /init as init process");
  await run.expect(/scsi host\d+: Virtio SCSI HBA/);
  await new Promise((resolve) => setTimeout(resolve, 4000));
  const added = run.ms;
  await type(`device_add ${disk}`);
  const told = await toEnd(run);
  assert.ok(run.ms - added < 40_000, "the wait ends with the disk, not with its time");
  assert.is(told.root, "by path");
  const { report } = told;
  assert.is(report.slotDevice, "/dev/sda6");
  assert.is(report.record.device, "/dev/sda1");
  assert.equal(report.degraded, []);
  assert.equal(report.warnings, [UNPROVEN]);
  const waited = report.timeline.find(({ name }) => name === "devices")?.lengthMs ?? 0;
  assert.ok(waited > 1500 && waited < 30_000, `${waited} ms`);
  assert.equal(
    report.skipped.map(({ slot, reason }) => [slot, /^the image is for the system (\S+),/.exec(reason)?.[1]]),
    ["partuuid", "label", "uuid", "ext4"].map((name) => [name, `of-${name}`]),
  );
  const modules = moduleNames(part(told, "modules"));
  for (const name of ["virtio_pci", "virtio_scsi", "sd_mod", "erofs"]) assert.ok(modules.includes(name), name);
  for (const name of ["virtio_blk", "xfs", "btrfs"]) assert.not.ok(modules.includes(name), `${name}, which nothing asks for`);
  const home = readMounts(part(told, "mounts")).find(({ path }) => path === "/home");
  assert.is(home?.source, "/dev/sda7");
  assert.is(validRecord(machine.disk).slots.path?.tries, 2);
});

test("nvme, and a disk named by the control file, with a second one of the same labels on virtio-blk", async () => {
  const slots = { a: { facts: "v1", script }, b: { facts: "v2" } };
  const machine = await smallMachine({
    system: smallSystem(["a", "b"], "ext4", "disk: /dev/nvme0n1\n"),
    diskSystem: smallSystem(),
    slots,
    size,
  });
  const other = throwAwayCopy(machine.disk);
  commitOn(other, "b");
  const before = hashOfDisk(other);
  const told = await boot(machine, { disks: [{ file: machine.disk, interface: "nvme" }, { file: other }] });
  assert.is(told.root, "v1");
  assert.is(told.report.slotDevice, "/dev/nvme0n1p2");
  assert.equal(told.report.record, { condition: "empty", writable: true, device: "/dev/nvme0n1p1" });
  assert.equal(told.report.degraded, []);
  assert.is(validRecord(machine.disk).slots.a?.tries, 2);
  assert.is(hashOfDisk(other), before, "the other disk is not written to");
});

test("virtio-blk: a slot that is missing and one that is there twice are named, and the next one boots", async () => {
  const slots = { lost: { facts: "v1" }, b: { facts: "v2" }, twin: { facts: "v3" }, c: { facts: "v4", script } };
  const machine = await smallMachine({ system: three, diskSystem: smallSystem(Object.keys(slots)), slots, size });
  await runProgram("sgdisk", ["--change-name=4:root-b", machine.disk]);
  const told = await boot(machine);
  assert.is(told.root, "v4");
  assert.is(told.report.slotDevice, "/dev/vda5");
  const seen = "saw vda1 boot-record, vda2 root-lost, vda3 root-b, vda4 root-b, vda5 root-c, vda6 sys-data";
  const missing = `no partition labelled root-a after N s; ${seen}; is the module of its disk in the initrd?`;
  const twice = "2 devices match PARTLABEL=root-b: /dev/vda3 and /dev/vda4; rename or unplug all but one";
  const skipped = told.report.skipped.map(({ slot, reason }) => ({ slot, reason: reason.replace(/after \d+ s/, "after N s") }));
  assert.equal(skipped, [
    { slot: "a", reason: missing },
    { slot: "b", reason: twice },
  ]);
  const waited = /slot a failed: no partition labelled root-a after (\d+) s/.exec(told.console)?.[1];
  assert.ok(Number(waited) >= 2 && Number(waited) <= 3, `waited ${waited} s, device-timeout is 3 s`);
  assert.match(told.console, `slot b failed: ${twice}`);
  const record = validRecord(machine.disk);
  assert.equal([record.slots.a?.state, record.slots.b?.state, record.slots.c?.state], ["trial", "trial", "trial"]);
  assert.equal(record.quarantined, [], "what a device does says nothing of an image");
  assert.equal(
    recordOn(machine.disk).journal.map(({ slot, outcome }) => [slot, outcome]),
    [
      ["c", "running"],
      ["b", "failed"],
      ["a", "failed"],
    ],
  );
});

const two = await smallMachine({ system: three, slots: { a: { facts: "v1", script }, b: { facts: "v2" } }, size });

test("of two disks with the same labels the one with a valid boot record wins, though it appears later", async () => {
  const disk = throwAwayCopy(two.disk);
  commitOn(disk, "a", policy);
  const empty = throwAwayCopy(two.disk);
  const before = hashOfDisk(empty);
  const told = await boot(two, {
    disks: [
      { file: empty, interface: "nvme" },
      { file: disk, interface: "virtio-scsi" },
    ],
  });
  assert.is(told.root, "v1");
  assert.is(told.report.slotDevice, "/dev/sda2");
  assert.is(told.report.record.device, "/dev/sda1");
  assert.is(told.report.trial, false);
  assert.equal(
    told.report.warnings.filter((warning) => warning !== UNPROVEN).map((warning) => /has no generation/.test(warning)),
    [true],
  );
  assert.is(validRecord(disk).slots.a?.tries, 9);
  assert.is(hashOfDisk(empty), before, "the empty one is not written to");
});

test("two disks with a valid boot record each are an error that names both, and neither is written to", async () => {
  const disks = [throwAwayCopy(two.disk), throwAwayCopy(two.disk)];
  for (const disk of disks) commitOn(disk, "a", policy);
  const before = disks.map(hashOfDisk);
  const [first = "", second = ""] = disks;
  const machine = await startSmall(two, { disks: [{ file: first }, { file: second }] });
  await machine.expect("slipway: no slot boots\n");
  const [, reason] = await machine.expect(/\n {4}(\S.*)\n/);
  await machine.expect(/The machine restarts in 60 s, and all slots are looked at again\./);
  await machine.cutPower();
  assert.is(
    reason,
    "vda1 and vdb1 hold a valid boot record, on the disks /dev/vda and /dev/vdb; unplug one, or name the disk with disk: in system.yaml",
  );
  assert.is(machine.results.text, "", "no system ran");
  assert.equal(disks.map(hashOfDisk), before);
});

test("a machine without a disk says so for each slot", async () => {
  const machine = await startSmall(two, { disks: [] });
  await machine.expect("slipway: no slot boots\n");
  const [screen] = await machine.expect(/[\s\S]*The machine restarts in \d+ s/);
  await machine.cutPower();
  const said = /no partition labelled boot-record after \d+ s; saw no block device; is the disk's driver \(.*\) in the initrd\?/;
  for (const slot of ["a", "b"]) assert.match(screen, new RegExp(`\n {4}${slot} +${said.source}`));
});

test.run();
