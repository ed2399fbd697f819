import { test } from "uvu";
import * as assert from "uvu/assert";
import type { BlockDevice } from "../../boot/devices/block-device.ts";
import { parseReference } from "../../boot/devices/reference.ts";
import { chooseDisk, type RecordCondition, type Resolution, resolve } from "../../boot/devices/resolve.ts";

function disk(name: string, facts: Partial<BlockDevice> = {}): BlockDevice {
  const none = { disk: null, partition: null, partlabel: null, partuuid: null, superblock: null };
  return {
    name,
    path: `/dev/${name}`,
    number: { major: 254, minor: 0 },
    sizeBytes: 1n << 30n,
    readOnly: false,
    ...none,
    ...facts,
  };
}

function partitions(of: string, labels: string[]): BlockDevice[] {
  return [
    disk(of),
    ...labels.map((partlabel, index) =>
      disk(`${of}${index + 1}`, { disk: of, partition: index + 1, partlabel, partuuid: `0000000${index}-${of}` }),
    ),
  ];
}

const labels = ["boot-record", "root-a", "root-b", "sys-data"];
const record = parseReference("PARTLABEL=boot-record");
const vda = partitions("vda", labels);
const vdb = partitions("vdb", labels);

function name(resolution: Resolution): string {
  assert.ok(
    "found" in resolution,
    JSON.stringify(resolution, (_, value) => (typeof value === "bigint" ? `${value}` : value)),
  );
  return resolution.found.name;
}

function missing(resolution: Resolution): string {
  assert.ok("missing" in resolution);
  return resolution.missing;
}

function ambiguous(resolution: Resolution): string {
  assert.ok("ambiguous" in resolution);
  return resolution.ambiguous;
}

function conditions(entries: Record<string, RecordCondition>): Map<string, RecordCondition> {
  return new Map(Object.entries(entries));
}

test("the only disk with the boot record's label, whatever the record's condition", () => {
  for (const condition of ["valid", "empty", "unreadable"] as const) {
    assert.is(name(chooseDisk([...vda, disk("sda")], null, record, conditions({ vda1: condition }))), "vda");
  }
});

test("of two disks with the label, the one whose record is valid", () => {
  const devices = [...vda, ...vdb];
  assert.is(name(chooseDisk(devices, null, record, conditions({ vda1: "empty", vdb1: "valid" }))), "vdb");
  assert.is(name(chooseDisk(devices, null, record, conditions({ vda1: "valid", vdb1: "unreadable" }))), "vda");
});

test("two disks with a valid record, or none of two: an error that names both", () => {
  for (const condition of ["valid", "empty"] as const) {
    const text = ambiguous(chooseDisk([...vda, ...vdb], null, record, conditions({ vda1: condition, vdb1: condition })));
    for (const word of ["vda1", "vdb1", "/dev/vda", "/dev/vdb", "disk: in system.yaml"]) assert.match(text, word);
  }
});

test("the control file's disk is taken even where another holds a valid record", () => {
  const devices = [...vda, ...vdb];
  const valid = conditions({ vda1: "valid", vdb1: "valid" });
  assert.is(name(chooseDisk(devices, parseReference("/dev/vdb"), record, valid)), "vdb");
  assert.is(name(chooseDisk(devices, { by: "partuuid", value: "00000001-VDB" }, record, valid)), "vdb");
});

test("a disk that is not there yet", () => {
  assert.match(
    missing(chooseDisk(vda, parseReference("/dev/vdc"), record, conditions({}), 30)),
    /^no disk \/dev\/vdc after 30 s; saw /,
  );
  assert.is(
    missing(chooseDisk([], null, record, conditions({}), 30)),
    "no partition labelled boot-record after 30 s; saw no block device; " +
      "is the disk's driver (virtio_blk, nvme, sd_mod with its controller, mmc_block) in the initrd?",
  );
});

test("labels are resolved on the disk, never on another", () => {
  const devices = [...vda, ...vdb];
  for (const of of [vda, vdb]) {
    const [whole] = of;
    assert.ok(whole);
    assert.is(name(resolve(devices, whole, parseReference("PARTLABEL=root-a"))), `${whole.name}2`);
  }
  assert.is(name(resolve(devices, disk("vda"), parseReference("/dev/vdb3"))), "vdb3");
});

test("two partitions with the label on the disk: an error that names both", () => {
  const devices = partitions("vda", ["boot-record", "root-a", "root-a"]);
  const text = ambiguous(resolve(devices, disk("vda"), parseReference("PARTLABEL=root-a")));
  assert.is(text, "2 devices match PARTLABEL=root-a: /dev/vda2 and /dev/vda3; rename or unplug all but one");
});

test("a missing partition: what was awaited, how long, what was seen, a remedy", () => {
  const devices = partitions("vda", ["boot-record", "root-b"]);
  assert.is(
    missing(resolve(devices, disk("vda"), parseReference("PARTLABEL=root-a"), 30)),
    "no partition labelled root-a after 30 s; saw vda1 boot-record, vda2 root-b; is the module of its disk in the initrd?",
  );
  assert.match(
    missing(resolve([...devices, ...vdb], disk("vda"), parseReference("PARTLABEL=root-a"), 30)),
    "vdb2 matches, but does not lie on the disk /dev/vda",
  );
});

test("filesystems by UUID without case, and by label; a whole disk counts as its own disk", () => {
  const superblock = { type: "ext4", uuid: "ABCD-ef", label: "data", size: null } as const;
  const devices = [...vda, disk("vdb", { superblock }), disk("vda5", { disk: "vda", partition: 5, superblock })];
  assert.is(name(resolve(devices, disk("vda"), parseReference("UUID=abcd-EF"))), "vda5");
  assert.is(name(resolve(devices, disk("vda"), parseReference("LABEL=data"))), "vda5");
  assert.is(name(resolve(devices, disk("vdb"), parseReference("LABEL=data"))), "vdb");
  assert.match(
    missing(resolve(vda, disk("vda"), parseReference("LABEL=data"), 1)),
    "no filesystem labelled data after 1 s; saw vda1",
  );
});

test("a long list of devices is cut", () => {
  const many = partitions(
    "sda",
    Array.from({ length: 60 }, (_, index) => `p${index}`),
  );
  assert.match(missing(resolve(many, disk("sda"), parseReference("PARTLABEL=x"))), "sda24 p23, and 36 more;");
});

test("what was seen is listed by disk and partition number, however sysfs gives it", () => {
  const many = partitions(
    "vda",
    [...Array(11).keys()].map((index) => `part-${index + 1}`),
  ).sort((left, right) => (left.name < right.name ? -1 : 1));
  const [vda] = many;
  assert.ok(vda);
  const result = resolve(many, vda, parseReference("PARTLABEL=root-a"));
  const said = "missing" in result ? result.missing : "";
  assert.match(said, /saw vda1 part-1, vda2 part-2, .*vda9 part-9, vda10 part-10, vda11 part-11;/);
});

test.run();
