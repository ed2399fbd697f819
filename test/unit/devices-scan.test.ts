import { test } from "uvu";
import * as assert from "uvu/assert";
import { parseReference } from "../../boot/devices/reference.ts";
import { SUPERBLOCK_BYTES } from "../../boot/devices/superblock.ts";
import { BlockDevices, needsOf, scanBlockDevices } from "../../init/devices/scan.ts";
import { parseUevent } from "../../init/devices/uevents.ts";
import type { BlockDevice } from "../../init/kernel/recording/memory-devices.ts";
import { RecordingKernel } from "../../init/kernel/recording/recording.ts";

const MiB = 1024 * 1024;

/** A squashfs superblock is the shortest that is recognised. */
function squashfs(): Uint8Array {
  const bytes = new Uint8Array(4096);
  bytes.set(new TextEncoder().encode("hsqs"));
  bytes[28] = 4;
  bytes[41] = 0x10;
  return bytes;
}

function machine(): { kernel: RecordingKernel; disk: BlockDevice } {
  const kernel = new RecordingKernel();
  const disk = kernel.addDevice({ path: "/dev/vda", number: { major: 254, minor: 0 }, size: 16 * MiB });
  kernel.addDevice({
    path: "/dev/vda2",
    number: { major: 254, minor: 2 },
    size: 4 * MiB,
    partition: { of: disk, number: 2, start: MiB, label: "root-a" },
    contents: squashfs(),
  });
  return { kernel, disk };
}

test("disks and partitions as sysfs tells them, without reading the devices", () => {
  const { kernel } = machine();
  kernel.recordReads();
  const { devices, notes } = scanBlockDevices(kernel);
  assert.equal(notes, []);
  const nothing = { partuuid: null, superblock: null, readOnly: false };
  assert.equal(devices, [
    {
      name: "vda",
      path: "/dev/vda",
      number: { major: 254, minor: 0 },
      sizeBytes: BigInt(16 * MiB),
      disk: null,
      partition: null,
      partlabel: null,
      ...nothing,
    },
    {
      name: "vda2",
      path: "/dev/vda2",
      number: { major: 254, minor: 2 },
      sizeBytes: BigInt(4 * MiB),
      disk: "vda",
      partition: 2,
      partlabel: "root-a",
      ...nothing,
    },
  ]);
  assert.not.match(kernel.trace, /open\("\/dev\//);
});

test("loop and memory disks, and devices without a medium, are left out", () => {
  const { kernel } = machine();
  kernel.addDevice({ path: "/dev/loop0", number: { major: 7, minor: 0 }, size: MiB });
  kernel.addDevice({ path: "/dev/zram0", number: { major: 252, minor: 0 }, size: MiB });
  kernel.addDevice({ path: "/dev/sr0", number: { major: 11, minor: 0 }, size: 0 });
  assert.equal(
    scanBlockDevices(kernel).devices.map((device) => device.name),
    ["vda", "vda2"],
  );
  assert.equal(
    scanBlockDevices(kernel, { loops: true }).devices.map((device) => device.name),
    ["loop0", "vda", "vda2"],
  );
});

test("superblocks where they are asked for; a device that cannot be read is noted and stays", () => {
  const { kernel } = machine();
  const scan = scanBlockDevices(kernel, { superblocks: true });
  assert.is(scan.devices[1]?.superblock?.type, "squashfs");
  kernel.failOn({ call: "read", match: /"\/dev\/vda2"/, code: "EIO" });
  const broken = scanBlockDevices(kernel, { superblocks: true });
  assert.is(broken.devices[1]?.superblock, null);
  assert.match(broken.notes.join(), "/dev/vda2 cannot be read: ");
  assert.match(broken.notes.join(), "EIO");
  assert.ok(SUPERBLOCK_BYTES < 4 * MiB);
});

test("a partition table that is none is noted; an MBR gives PARTUUIDs", () => {
  const { kernel, disk } = machine();
  const none = scanBlockDevices(kernel, { partuuids: true });
  assert.is(none.devices[1]?.partuuid, null);
  assert.match(none.notes.join(), "/dev/vda has no readable partition table");
  disk.storage.write(440, new Uint8Array([0x0f, 0xbe, 0xad, 0xde]));
  disk.storage.write(510, new Uint8Array([0x55, 0xaa]));
  assert.is(scanBlockDevices(kernel, { partuuids: true }).devices[1]?.partuuid, "deadbe0f-02");
});

/** A uevent as the kernel sends it for a block device. */
const uevent = (action: string, devpath: string, subsystem = "block") => ({
  ...{ action, devpath, subsystem, modalias: null, devname: null },
});

test("what changed is looked at again, and nothing else", () => {
  const { kernel, disk } = machine();
  const blocks = new BlockDevices(kernel, { superblocks: true });
  const names = (scan: { devices: { name: string }[] }) => scan.devices.map(({ name }) => name);
  assert.equal(names(blocks.scan()), ["vda", "vda2"]);
  kernel.addDevice({
    path: "/dev/vda3",
    number: { major: 254, minor: 3 },
    size: MiB,
    partition: { of: disk, number: 3, start: 5 * MiB, label: "root-b" },
  });
  kernel.recordReads();
  kernel.beginTrace();
  const { devices } = blocks.changed([uevent("add", "/devices/platform/block/vda/vda3")]);
  assert.is(devices.find(({ name }) => name === "vda3")?.partlabel, "root-b");
  assert.is(devices.find(({ name }) => name === "vda2")?.superblock?.type, "squashfs", "known from before");
  assert.not.match(kernel.trace, /vda2/);
  kernel.beginTrace();
  assert.equal(names(blocks.changed([uevent("add", "/devices/vda2", "net")])), ["vda", "vda2", "vda3"]);
  assert.is(kernel.trace, "", "another subsystem's device may have any name");
});

test("a device that went is forgotten, and a disk that changed is looked at with its partitions", () => {
  const { kernel, disk } = machine();
  const blocks = new BlockDevices(kernel, { partuuids: true, superblocks: true });
  const before = blocks.scan();
  assert.match(before.notes.join(), "/dev/vda has no readable partition table");
  disk.storage.write(440, new Uint8Array([0x0f, 0xbe, 0xad, 0xde]));
  disk.storage.write(510, new Uint8Array([0x55, 0xaa]));
  const after = blocks.changed([uevent("change", "/devices/platform/block/vda")]);
  assert.is(after.devices.find(({ name }) => name === "vda2")?.partuuid, "deadbe0f-02");
  assert.equal(after.notes, [], "what was wrong before is told no more");
  assert.is(before.devices.find(({ name }) => name === "vda2")?.partuuid, null, "what was seen stays as it was seen");
  kernel.failOn({ call: "open", match: /class\/block\/vda2/, code: "ENOENT" });
  const gone = blocks.changed([uevent("remove", "/devices/platform/block/vda/vda2")]);
  assert.equal(
    gone.devices.map(({ name }) => name),
    ["vda"],
  );
});

test("a scan leaves no descriptor open", () => {
  const { kernel } = machine();
  const before = kernel.openDescriptors();
  kernel.failOn({ call: "read", match: /vda2/, code: "EIO" });
  scanBlockDevices(kernel, { partuuids: true, superblocks: true });
  assert.equal(kernel.openDescriptors(), before);
});

test("what has to be read follows from the references", () => {
  const needs = (...texts: string[]) => needsOf(texts.map(parseReference));
  assert.equal(needs("PARTLABEL=a", "/dev/vda"), {});
  assert.equal(needs("PARTUUID=ab-01", "UUID=ab"), { partuuids: true, superblocks: true });
});

test("uevents of the kernel; udev's and noise are none", () => {
  const encode = (text: string) => new TextEncoder().encode(text);
  assert.equal(
    parseUevent(
      encode("add@/devices/x/virtio0\0ACTION=add\0DEVPATH=/devices/x/virtio0\0SUBSYSTEM=virtio\0MODALIAS=virtio:d2=v1\0"),
    ),
    { action: "add", devpath: "/devices/x/virtio0", subsystem: "virtio", modalias: "virtio:d2=v1", devname: null },
  );
  assert.equal(parseUevent(encode("remove@/devices/y")), {
    action: "remove",
    devpath: "/devices/y",
    subsystem: "",
    modalias: null,
    devname: null,
  });
  for (const text of ["", "libudev\0\u00fe", "@/x", "no at"]) assert.is(parseUevent(encode(text)), null, text);
});

test.run();
