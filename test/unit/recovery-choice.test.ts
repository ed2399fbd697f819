/** Which devices are media, and which images a recovery takes: the decisions alone. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { BlockDevice } from "../../boot/devices/block-device.ts";
import { parseReference } from "../../boot/devices/reference.ts";
import { decodeSeal } from "../../boot/image/seal.ts";
import type { BootRecord } from "../../boot/record/record.ts";
import { freshRecord } from "../../boot/record/store.ts";
import { preferred, whyNotTaken, whyTooOld } from "../../boot/recovery/judge-image.ts";
import { foreignDevices, letterModules, mediumDirectories, mountOptions } from "../../boot/recovery/media.ts";
import { withSlot } from "../../boot/selection/slots.ts";
import type { ControlTrust } from "../../state-ops/control.ts";
import { layout, release, sealed } from "./sealed-world.ts";

function device(name: string, change: Partial<BlockDevice> = {}): BlockDevice {
  return {
    name,
    path: `/dev/${name}`,
    number: { major: 8, minor: 0 },
    sizeBytes: 1n << 30n,
    readOnly: false,
    disk: null,
    partition: null,
    partlabel: null,
    partuuid: null,
    superblock: null,
    ...change,
  };
}

const iso = { type: "iso9660", uuid: null, label: null, size: null } as const;
const names = (devices: BlockDevice[]) => devices.map(({ name }) => name);

test("nothing of the own disk is a medium; partitions of other disks are, and disks without any", () => {
  const devices = [
    device("sda"),
    device("sdb"),
    device("sdb1", { disk: "sdb", partition: 1 }),
    device("sdb2", { disk: "sdb", partition: 2, partlabel: "root-a" }),
    device("sr0"),
    device("vda"),
    device("vda1", { disk: "vda", partition: 1 }),
    device("vda9", { disk: "vda", partition: 9 }),
  ];
  assert.equal(names(foreignDevices(devices, { disk: "vda", references: [parseReference("PARTLABEL=root-a")] })), [
    "sda",
    "sdb1",
    "sdb2",
    "sr0",
  ]);
});

test("what a path names is the machine's own on whatever disk; a label only where no disk is known to be ours", () => {
  const devices = [device("sda"), device("sdb", { partlabel: "root-a" })];
  const byPath = [parseReference("/dev/sda")];
  assert.equal(names(foreignDevices(devices, { disk: "vda", references: byPath })), ["sdb"]);
  const byLabel = [parseReference("PARTLABEL=root-a")];
  assert.equal(names(foreignDevices(devices, { disk: null, references: byLabel })), ["sda"]);
  assert.equal(names(foreignDevices(devices, { disk: "vda", references: byLabel })), ["sda", "sdb"]);
});

test("a stick that a disc's image was written over is looked at itself, beside its partitions", () => {
  const devices = [device("sda", { superblock: iso }), device("sda1", { disk: "sda", partition: 1, superblock: iso })];
  assert.equal(names(foreignDevices(devices, { disk: "vda", references: [] })), ["sda", "sda1"]);
});

test("devices that the kernel makes over others, and an eMMC's own firmware, are no media", () => {
  const devices = ["dm-0", "nbd0", "fd0", "mmcblk0boot0", "mmcblk0rpmb", "mmcblk1"].map((name) => device(name));
  assert.equal(names(foreignDevices(devices, { disk: "vda", references: [] })), ["mmcblk1"]);
});

test("how filesystems are mounted: no journal is replayed, no superblock's wish for a panic is obeyed", () => {
  assert.is(mountOptions("media", "ext4"), "noload,errors=continue");
  assert.is(mountOptions("media", "ext2"), "errors=continue");
  assert.is(mountOptions("media", "vfat"), "");
  assert.is(mountOptions("media", "squashfs"), null);
  assert.is(mountOptions("factory", "squashfs"), "");
  assert.is(mountOptions("factory", "xfs"), null);
  assert.ok(letterModules("vfat").includes("nls_cp437"));
  assert.equal(letterModules("ext4"), []);
  assert.equal(mediumDirectories("acme"), [".", "slipway", "acme"]);
  assert.equal(mediumDirectories("slipway"), [".", "slipway"]);
});

const policy = { slots: ["a", "b"], tries: { trial: 3, committed: 10 }, trust: { mode: "unsigned" } } as const;
const trust: ControlTrust = {
  mode: "signed",
  keys: [release.key.raw.toHex()],
  threshold: 1,
  rollbackFloor: 2,
  kernelSignature: "ignored",
};

const architecture = "x86-64" as const;

function recordWith(change: Partial<BootRecord> = {}): BootRecord {
  return { ...freshRecord({ ...policy, slots: [...policy.slots] }), floors: { install: 7, boot: 3 }, ...change };
}

const [one, two, three] = ["1", "2", "3"].map((digit) => digit.repeat(64));
if (one === undefined || two === undefined || three === undefined) throw new Error("three ids");

test("what is new must not be below what was committed; what the machine has, or had, not below what boots", () => {
  const record = recordWith();
  const why = (judged: BootRecord, index: number) =>
    whyTooOld(one, index, { system: "acme", architecture, trust, record: judged });
  assert.match(why(record, 6) ?? "", /rollback index 6 is below 7/);
  assert.is(why(record, 7), null);
  const inSlot = withSlot(record, "b", { imageId: one });
  assert.is(why(inSlot, 3), null);
  assert.match(why(inSlot, 2) ?? "", /below the boot floor 3/);
  const committed = recordWith({ lastCommitted: { slot: "a", imageId: one } });
  assert.is(why(committed, 4), null);
  assert.match(why(committed, 1) ?? "", /below the boot floor 3/);
  assert.is(whyTooOld(one, 0, { system: "acme", architecture, trust: { mode: "unsigned" }, record }), null);
});

test("a seal is judged by signature, system and needs before its age", async () => {
  const seal = async (change: Parameters<typeof sealed>[1]) =>
    decodeSeal(
      (await sealed(1, change)).head
        .slice(layout.sealOffset)
        .subarray(0, -4096)
        .filter((byte) => byte !== 0),
    );
  const record = recordWith();
  const judge = { system: "acme-gateway", architecture, trust, record };
  assert.is(await whyNotTaken(await seal({ manifest: { rollbackIndex: 7 } }), judge), null);
  assert.match((await whyNotTaken(await seal({ keys: [] }), judge)) ?? "", /not signed/);
  assert.match((await whyNotTaken(await seal({ manifest: { system: "lamp" } }), judge)) ?? "", /for the system lamp/);
  assert.match((await whyNotTaken(await seal({}), judge)) ?? "", /image 1\.0 is too old: its rollback index 0 is below 7/);
});

test("the order of images: as asked for; else last committed, newest, quarantined; equal ones stay", () => {
  const offers = [
    { imageId: one, version: "1.0", at: "x" },
    { imageId: two, version: "2.0", at: "x" },
    { imageId: three, version: "3.0", at: "x" },
    { imageId: two, version: "2.0", at: "y" },
  ];
  const order = (record: BootRecord, wanted: string[] | null) =>
    preferred(offers, record, wanted).map(({ version, at }) => `${version}${at}`);
  assert.equal(order(recordWith(), null), ["3.0x", "2.0x", "2.0y", "1.0x"]);
  const record = recordWith({
    lastCommitted: { slot: "a", imageId: one },
    quarantined: [{ imageId: three, reason: "it crashed", attempt: 1 }],
  });
  assert.equal(order(record, null), ["1.0x", "2.0x", "2.0y", "3.0x"]);
  assert.equal(order(record, [three, two, one]), ["3.0x", "2.0x", "2.0y", "1.0x"]);
});

test.run();
