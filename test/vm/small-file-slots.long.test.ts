/**
 * A machine with four slots, two partitions and two files on the data filesystem: each of them boots, each kind is the other's
 * fallback, and what the files lie on is as whole after a shutdown as ever.
 */

import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Policy, policyOf } from "../../boot/selection/policy.ts";
import { activate, commitSlot } from "../../boot/selection/running.ts";
import { raised } from "../../boot/selection/slots.ts";
import type { StateList } from "../../init/commands/state/list-facts.ts";
import type { Status } from "../../init/commands/status-shape.ts";
import { writeInto } from "../../qemu/disk-partitions.ts";
import { trustLine } from "../../qemu/seal.ts";
import { readControl } from "../../state-ops/read-control.ts";
import { onData } from "./support/data-on-disk.ts";
import { checkData, dataFeatures, inspectData } from "./support/disk-file.ts";
import { readMounts, shadowed } from "./support/mounts.ts";
import { changeRecord, validRecord } from "./support/record-on-disk.ts";
import { manifestIn, type SmallImage, smallControl, smallImage, smallSystem } from "./support/small-image.ts";
import { boot, part, smallMachine, type Told } from "./support/small-machine.ts";

const trust = await trustLine(["release"]);
const system = smallSystem(["a", "b"], "ext4", "", trust).replace(
  "data:",
  "  c: { file: images/c.img, size: 24M }\n  d: { file: images/d.img, size: 24M }\ndata:",
);
const control = await smallControl(system);
const policy: Policy = { ...policyOf(readControl(readFileSync(control, "utf8"))) };
const script = `report kept cat /home/kept; echo $(cat /etc/small-root/facts) >>/home/kept
report loops cat /sys/block/loop1/loop/backing_file /sys/block/loop1/ro /sys/block/loop1/loop/dio
report no-write sh -c 'echo x | dd of=/dev/loop1 bs=512 count=1 conv=fsync'
`;
const installing = `${script}if [ -b /dev/vdb ]; then
  report install slipway install --slot d --json /dev/vdb
  report status slipway status --json
  report list slipway state list --json
fi
`;
const seal = { keys: ["release"] };
const images: Record<string, SmallImage> = {
  a: { facts: "root a", script: installing, seal, slipway: true },
  // Its image keeps nothing, so that it boots without a data filesystem.
  b: { facts: "root b", script: "report kept true\n", control: null, seal },
  c: { facts: "root c", script, seal },
  d: { facts: "root d", script, seal, filesystem: "squashfs" },
};
const fileOf = (slot: string): Promise<string> => smallImage(images[slot] ?? { facts: slot }, control);
const { d: _, ...built } = images;
const machine = await smallMachine({
  system,
  slots: built,
  size: "640M",
  slotSize: "144M",
  initrd: { extra: { "/usr/sbin/e2fsck": "/usr/sbin/e2fsck" } },
});
const { disk } = machine;

/** The id of the image that was made for the slot. */
async function idOf(slot: string): Promise<string> {
  return manifestIn(readFileSync(await fileOf(slot))).rootHash;
}

async function activateSlot(slot: string, running: string): Promise<void> {
  const imageId = await idOf(slot);
  changeRecord(disk, policy, (record) => activate(record, slot, imageId, running, policy));
}

async function commit(slot: string): Promise<void> {
  const imageId = await idOf(slot);
  changeRecord(disk, policy, (record) => commitSlot(record, slot, imageId, policy, Date.now()));
}

/** The slot booted from a file, and the shutdown left nothing to replay: the journal is empty although the root lay there. */
async function assertFromFile(told: Told, slot: string): Promise<void> {
  assert.is(told.root, `root ${slot}`);
  assert.equal([told.report.slot, told.report.slotDevice], [slot, "/dev/loop1"]);
  assert.equal(
    part(told, "loops").split("\n"),
    [`/run/initramfs/slipway/${slot}.img`, "1", "1"],
    "read-only, past the page cache",
  );
  assert.match(part(told, "no-write"), /can't open|Operation not permitted|Permission denied|error writing/);
  const mounts = readMounts(part(told, "mounts"));
  assert.equal(shadowed(mounts), []);
  assert.is(mounts.find(({ path }) => path === "/")?.source, "/dev/dm-0");
  assert.is(
    mounts.filter(({ path }) => path.startsWith("/run/slipway")).length,
    0,
    "the data filesystem itself is not to be seen",
  );
  await assertClean();
}

async function assertClean(): Promise<void> {
  assert.not.ok((await dataFeatures(disk)).includes("needs_recovery"), "the data filesystem was made read-only in the end");
  await checkData(disk);
}

test("disk build puts images into the data filesystem: root's, at the start of files of the declared size", async () => {
  const stat = await inspectData(disk, "stat /images/c.img");
  assert.match(stat, /Type: regular +Mode: +0600/);
  assert.match(stat, /User: +0 +Group: +0 .*Size: 25165824/);
  assert.match(await inspectData(disk, "stat /images"), /Type: directory +Mode: +0700/);
  await checkData(disk);
});

test("a partition boots first, in the order of system.yaml", async () => {
  const told = await boot(machine);
  assert.equal([told.root, told.report.slotDevice, told.report.generation], ["root a", "/dev/vda2", "000001"]);
  assert.equal(told.report.warnings, [], told.report.warnings.join());
  await assertClean();
  await commit("a");
});

test("an install makes the file of a slot that was declared and never made, with all of its size", async () => {
  const told = await boot(machine, { disks: [{ file: disk }, { file: await fileOf("d"), readOnly: true }] });
  assert.equal([told.root, told.report.trial], ["root a", false]);
  const answer = JSON.parse(part(told, "install").split("\n").at(-1) ?? "");
  assert.equal([answer.slot, answer.changed, answer.image.imageId], ["d", true, await idOf("d")], part(told, "install"));
  const status: Status = JSON.parse(part(told, "status"));
  assert.equal([status.next.slot, status.pendingTrial], ["d", "d"]);
  assert.equal(
    status.slots.map(({ name, device, file }) => [name, device, file]),
    [
      ["a", "/dev/vda2", null],
      ["b", "/dev/vda3", null],
      ["c", null, "images/c.img"],
      ["d", null, "images/d.img"],
    ],
  );
  const list: StateList = JSON.parse(part(told, "list"));
  assert.equal(
    list.slotFiles.map(({ slot, size }) => [slot, size]),
    [
      ["c", 24 * 1024 * 1024],
      ["d", 24 * 1024 * 1024],
    ],
  );
  assert.ok((list.slotFiles[1]?.allocated ?? 0) >= 24 * 1024 * 1024, "allocated");
  assert.not.ok(told.report.warnings.some((warning) => /not left as it was/.test(warning)));
  await assertClean();
});

test("the installed file boots on trial with a clone of the state, proven by dm-verity, and shuts down cleanly", async () => {
  const told = await boot(machine);
  await assertFromFile(told, "d");
  assert.is(readMounts(part(told, "mounts")).find(({ path }) => path === "/")?.type, "squashfs");
  assert.equal([told.report.trial, told.report.generation, told.report.warnings], [true, "000002", []]);
  assert.is(part(told, "kept"), "root a\nroot a");
  await commit("d");
});

test("the file that disk build filled boots too, with the state of the slot that was committed", async () => {
  await activateSlot("c", "d");
  const told = await boot(machine);
  await assertFromFile(told, "c");
  assert.is(part(told, "kept"), "root a\nroot a\nroot d");
  await commit("c");
});

test("a spoiled partition and a file in whose place a link stands are left for the file that was committed", async () => {
  await onData(disk, 'mount "$DATA" /mnt; mv /mnt/images/d.img /mnt/images/kept; ln -s /dev/vda3 /mnt/images/d.img; umount /mnt');
  writeInto(disk, "root-a", new Uint8Array(2 * 1024 * 1024).fill(0x5a));
  changeRecord(disk, policy, (record) => raised(raised(record, "d"), "a"));
  const told = await boot(machine);
  await assertFromFile(told, "c");
  const reasons = new Map(told.report.skipped.map(({ slot, reason }) => [slot, reason]));
  assert.equal([...reasons.keys()], ["a", "d"]);
  assert.match(reasons.get("a") ?? "", /no sealed image/);
  assert.match(
    reasons.get("d") ?? "",
    /^images\/d\.img on the data filesystem cannot be opened \(ELOOP\): a link is in its place; remove it/,
  );
  const { slots, quarantined } = validRecord(disk);
  assert.equal([slots.d?.damaged, quarantined], [null, []], "a link says nothing about an image");
  assert.equal([told.report.trial, told.report.generation], [false, "000003"]);
  assert.is(part(told, "kept"), "root a\nroot a\nroot d\nroot c");
});

test("damage that shows with the root on a file: it is let go for the checker, and where that gives up a partition boots", async () => {
  await onData(disk, 'mount "$DATA" /mnt; mv /mnt/images/kept /mnt/images/d.img; umount /mnt');
  const generations = Number((await inspectData(disk, "blocks /gens")).trim().split(/\s+/)[0]);
  const blockSize = Number(/^Block size: +(\d+)$/m.exec(await inspectData(disk, "stats -h"))?.[1]);
  writeInto(disk, "sys-data", new Uint8Array(blockSize).fill(0x5a), generations * blockSize);
  changeRecord(disk, policy, (record) => raised(record, "c"));
  const told = await boot(machine);
  assert.equal([told.root, told.report.slotDevice], ["root b", "/dev/vda3"]);
  const reason = told.report.skipped.find(({ slot }) => slot === "c")?.reason ?? "";
  // e2fsck ends with 8 on a filesystem that is still in use.
  assert.match(reason, /EBADMSG.*e2fsck: errors are left that it does not repair unattended \(exit 4\)/);
  assert.match(told.console, /slipway: e2fsck looks at \/dev\/vda4/);
  assert.is(validRecord(disk).slots.c?.damaged, null);
});

test("without the data filesystem a partition boots, and says of each file why not", async () => {
  changeRecord(disk, policy, (record) => raised(raised(record, "c"), "d"));
  await onData(disk, 'wipefs -q -a "$DATA"');
  const told = await boot(machine);
  assert.equal([told.root, told.report.slotDevice], ["root b", "/dev/vda3"]);
  for (const name of ["c", "d"]) {
    assert.match(
      told.report.skipped.find(({ slot }) => slot === name)?.reason ?? "",
      new RegExp(`^images/${name}\\.img is out of reach, since there is no data filesystem: /dev/vda4 has no known filesystem`),
    );
    assert.is(validRecord(disk).slots[name]?.damaged, null);
  }
});

test.run();
