/** A disk with nothing on it becomes the machine's; one with anything on it never does. On a machine in memory. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  encodeMark,
  firstNonZero,
  guidFrom,
  MARK_BYTES,
  MARK_OFFSET,
  readMark,
  stretchesToRead,
} from "../../boot/devices/blank-disk.ts";
import { restoreBackup } from "../../boot/devices/gpt-plans.ts";
import { signaturesOn } from "../../boot/devices/signatures.ts";
import { UNFINISHED } from "../../boot/devices/unfinished.ts";
import { isZero } from "../../boot/record/frame.ts";
import { BlockDevice } from "../../init/kernel/recording/memory-devices.ts";
import { allParts, cutFinds, Desk, type DeskOptions, layout, MiB, part } from "./disk-desk.ts";
import { ext4 } from "./golden-machine.ts";

const NO_AUTO = 1n << 63n;
const install = { partitions: layout };

const laidOut = [
  ["boot-record", 1, 5, NO_AUTO],
  ["root-a", 5, 13, NO_AUTO],
  ["root-b", 13, 21, NO_AUTO],
  ["sys-data", 21, 63, NO_AUTO],
];

const blank = (options: DeskOptions = {}): Desk => new Desk({ made: null, ...options, control: { install, ...options.control } });

/** The disks are as they were, and a warning has the reason. */
async function refused(desk: Desk, reason: RegExp): Promise<void> {
  const disks = [desk.disk, ...desk.others];
  const before = disks.map(({ storage }) => storage.read(0, storage.size));
  const { record, warnings, notes, end } = await desk.find();
  assert.equal([record, end, notes], [null, null, []]);
  const told = warnings.filter((warning) => warning.startsWith("install: blank: no disk is touched: "));
  assert.is(told.length, 1, warnings.join("\n"));
  assert.match(told[0] ?? "", reason);
  for (const [index, { storage }] of disks.entries()) {
    assert.is(Buffer.compare(storage.read(0, storage.size), before[index] ?? new Uint8Array()), 0, "not a byte is another");
  }
}

test("a blank disk gets its table, and the data filesystem is made; the mark is gone", async () => {
  const desk = blank();
  const { record, notes, kernel } = await desk.find();
  assert.is(record?.path, "/dev/vda1");
  assert.equal(notes, [
    "install: blank: /dev/vda has nothing on it and becomes this machine's disk",
    "the data filesystem is made: ext4 on /dev/vda4",
  ]);
  assert.equal(desk.partitions, laidOut);
  assert.is(restoreBackup(desk.pair), null);
  assert.ok(isZero(desk.read(Number(MARK_OFFSET), MARK_BYTES)));
  assert.ok(isZero(desk.read(MiB, 20 * MiB)), "boot record and slots are empty");
  const order = kernel.trace
    .split("\n")
    .flatMap((line) => /^(write|fsync|ioctl|spawn)\("([^"]+)/.exec(line)?.slice(1, 3).join(" ") ?? []);
  const beforeTable = order.slice(0, order.indexOf("ioctl /dev/vda"));
  assert.equal(
    beforeTable.filter((step) => !step.includes("kmsg")),
    ["write", "fsync", "write", "write", "fsync", "write", "write", "write", "fsync"].map((call) => `${call} /dev/vda`),
    "mark, backup, primary, each durable before the next",
  );
  const again = await desk.find();
  assert.equal([again.record?.path, again.notes, again.warnings], ["/dev/vda1", [], []]);
});

test("every machine has GUIDs of its own", async () => {
  const guids = async () => {
    const desk = blank();
    await desk.find();
    return typeof desk.pair.primary === "string" ? "" : desk.pair.primary.diskGuid;
  };
  assert.is.not(await guids(), await guids());
});

test("the power goes at any instant: the next boot goes on, and ends with the same disk", async () => {
  for (const filesystem of [true, false]) {
    const partitions = filesystem ? layout : layout.slice(0, 3);
    const desk = blank({ control: { install: { partitions }, ...(filesystem ? {} : { data: null }) } });
    const cuts = await cutFinds(desk, async (text) => {
      const { record, warnings } = await desk.find();
      assert.is(record?.path, "/dev/vda1", `${text}: ${warnings.join("; ")}`);
      assert.equal(desk.partitions, filesystem ? laidOut : laidOut.slice(0, 3), text);
      assert.is(restoreBackup(desk.pair), null, text);
      if (filesystem) assert.equal(desk.read(21 * MiB, 4096), ext4(0xda), text);
      assert.ok(isZero(desk.read(MiB, 20 * MiB)), text);
    });
    assert.ok(cuts >= 30, `${cuts}`);
  }
});

test("power that goes again and again, each time a little later, never strands the disk", async () => {
  for (const unsynced of ["lost", "mixed"] as const) {
    const desk = blank();
    for (let effects = 1; effects < 40; effects++) {
      const kernel = desk.kernel();
      kernel.crashAfter(effects, 512, unsynced);
      if ((await desk.find(kernel)).end === null) break;
    }
    assert.is((await desk.find()).record?.path, "/dev/vda1");
    assert.equal(desk.partitions, laidOut);
  }
});

for (const [what, at, bytes, told] of [
  ["one byte in the first MiB", 700_000, Uint8Array.of(0x53), /\/dev\/vda has something on it: 0x53 at byte 700000/],
  ["one byte in the last MiB", 64 * MiB - 1, Uint8Array.of(1), /0x01 at byte 67108863/],
  ["one byte where the boot record will be", 3 * MiB + 77, Uint8Array.of(9), /0x09 at byte 3145805/],
  ["the start of a partition of a lost table", 17 * MiB, Uint8Array.of(7), /0x07 at byte 17825792/],
  ["an ext4 filesystem", 0, ext4(1), /an ext4 filesystem \(0x00 at byte|an ext4 filesystem \(0x10 at byte 1029/],
  ["LUKS", 0, new TextEncoder().encode("LUKS\u00ba"), /has something on it/],
  ["swap space", 4086, new TextEncoder().encode("SWAPSPACE2"), /swap space \(0x53 at byte 4086\)/],
  ["a RAID's superblock at the end", 64 * MiB - 8192, Uint8Array.of(0xfc, 0x4e, 0x2b, 0xa9), /a member of a RAID/],
  ["an LVM physical volume", 512, new TextEncoder().encode("LABELONE"), /an LVM physical volume/],
  ["only a boot signature", 510, Uint8Array.of(0x55, 0xaa), /0x55 at byte 510/],
] as const) {
  test(`not touched: ${what}`, async () => {
    const desk = blank();
    desk.write(at, bytes);
    await refused(desk, told);
  });
}

test("not touched: a disk with a table, of another machine or with one copy left", async () => {
  const other = { mebibytes: 64, parts: [part("EFI", 8, 1), part("windows", null, 2)] };
  await refused(blank({ made: other }), /\/dev\/vda has partitions \(vda1 EFI, vda2 windows\)/);
  const backupOnly = blank({ made: other });
  backupOnly.write(0, new Uint8Array(MiB));
  await refused(backupOnly, /something on it: a GPT \(0x\w\w at byte/);
});

test("a mark on a disk that was used since counts for nothing", async () => {
  const seed = new Uint8Array(16).fill(3);
  const used = blank();
  used.write(Number(MARK_OFFSET), encodeMark(seed));
  used.write(30 * MiB, ext4(5));
  await refused(used, /has something on it: 0x\w\w at byte 31458309|has something on it/);
  // Somebody made a table since, and nothing more.
  const tabled = blank({ made: { mebibytes: 64, parts: [part("theirs", 8, 1)] } });
  tabled.write(Number(MARK_OFFSET), encodeMark(seed));
  await refused(tabled, /has partitions/);
  tabled.write(0, new Uint8Array(34 * 512));
  await refused(tabled, /has something on it: a GPT/);
  const torn = blank();
  torn.write(Number(MARK_OFFSET), encodeMark(seed).fill(0, 200, 300).fill(1, 300, 301));
  await refused(torn, /0x73 at byte 1044480/);
});

test("the only one that qualifies is taken, whatever else there is; two are refused", async () => {
  const second = (size: number, contents = new Uint8Array()) =>
    new BlockDevice({ path: "/dev/vdb", number: { major: 254, minor: 16 }, size, contents });
  const withFull = blank();
  withFull.others.push(second(64 * MiB, Uint8Array.of(1)));
  assert.is((await withFull.find()).record?.path, "/dev/vda1");
  const withSmall = blank();
  withSmall.others.push(second(16 * MiB));
  assert.is((await withSmall.find()).record?.path, "/dev/vda1");
  const two = blank();
  two.others.push(second(64 * MiB));
  await refused(two, /\/dev\/vda and \/dev\/vdb have nothing on them; name one with disk: in system\.yaml/);
  const named = blank({ control: { disk: "/dev/vda" } });
  named.others.push(second(64 * MiB));
  assert.is((await named.find()).record?.path, "/dev/vda1");
});

test("refused before anything is read or written: too small, removable, write-protected, in use, by a name that nothing has yet", async () => {
  await refused(blank({ mebibytes: 32 }), /\/dev\/vda has 33554432 bytes, the layout needs 39845888/);
  const removable = blank();
  removable.system = { "devices/platform/block/vda/removable": "1\n" };
  await refused(removable, /\/dev\/vda is removable; disk: in system\.yaml may name it/);
  const named = blank({ control: { disk: "/dev/vda" } });
  named.system = removable.system;
  assert.is((await named.find()).record?.path, "/dev/vda1", "named, it is taken");
  const locked = blank();
  locked.system = { "devices/platform/block/vda/ro": "1\n" };
  await refused(locked, /is write-protected/);
  const held = blank();
  held.system = { "devices/platform/block/vda/holders/dm-0": "" };
  await refused(held, /is in use by dm-0/);
  await refused(blank({ control: { disk: "PARTLABEL=x" } }), /disk: PARTLABEL=x names no disk that has nothing on it/);
  await refused(blank({ control: { disk: "/dev/sdz" } }), /there is no \/dev\/sdz/);
});

test("refused: a layout that the machine could not boot from, and an initrd without mkfs", async () => {
  await refused(blank({ control: { install: { partitions: layout.slice(1) } } }), /no partition boot-record for the boot record/);
  await refused(blank({ control: { install: { partitions: layout.slice(0, 2) } } }), /no partition root-b for slot b/);
  await refused(
    blank({ control: { install: { partitions: layout.slice(0, 3) } } }),
    /no partition sys-data for the data filesystem/,
  );
  const slots = [{ name: "a", device: "LABEL=a" }];
  await refused(blank({ control: { slots } }), /slot a is not named by PARTLABEL=/);
  const programless = blank();
  programless.mkfs.there = false;
  await refused(programless, /the initrd has no mkfs\.ext4/);
});

test("a disk that cannot be read is not blank; one that cannot be written is told, and the next boot goes on", async () => {
  const desk = blank();
  const kernel = desk.kernel();
  kernel.failOn({ call: "read", match: /^read\("\/dev\/vda"/, code: "EIO", after: 30 });
  assert.match((await desk.find(kernel)).warnings.join("\n"), "/dev/vda cannot be read (EIO)");
  assert.ok(isZero(desk.bytes));
  const failing = desk.kernel();
  failing.failOn({ call: "write", match: /^write\("\/dev\/vda"/, code: "EIO", after: 3 });
  const { record, warnings, end } = await desk.find(failing);
  assert.equal([record, end], [null, null]);
  assert.match(warnings.join("\n"), /install: blank: .*EIO; the next boot goes on/);
  assert.is((await desk.find()).record?.path, "/dev/vda1");
});

test("mkfs that fails: the table stays, and the next boot makes the filesystem", async () => {
  const desk = blank();
  desk.mkfs.exitCode = 1;
  assert.match((await desk.find()).warnings.join("\n"), "mkfs.ext4 failed (exit 1)");
  assert.is(Array.isArray(desk.partitions) ? desk.partitions.at(-1)?.[3] : null, NO_AUTO | UNFINISHED);
  desk.mkfs.exitCode = 0;
  assert.equal((await desk.find()).notes, ["the data filesystem is made: ext4 on /dev/vda4"]);
  assert.equal(desk.partitions, laidOut);
});

test("a machine whose disk is merely slow, or whose slots are there, is no blank machine", async () => {
  const desk = blank();
  const slot = new Desk({ made: { mebibytes: 64, parts: allParts.slice(1, 2) } });
  const other = new BlockDevice({ path: "/dev/vdb", number: { major: 254, minor: 16 }, size: 64 * MiB, contents: slot.bytes });
  desk.others.push(other);
  const kernel = desk.kernel();
  kernel.scanPartitions(other);
  const { record, warnings } = await desk.find(kernel);
  assert.is(record, null);
  assert.match(warnings.join("\n"), "no disk is touched: /dev/vdb1 is one of this machine's partitions already");
  const late = blank();
  const late2 = new BlockDevice({
    path: "/dev/vdb",
    number: { major: 254, minor: 16 },
    size: 64 * MiB,
    contents: new Desk().bytes,
  });
  const slow = late.kernel();
  slow.at(20_000, () => {
    slow.addDevice(late2);
    slow.scanPartitions(late2);
  });
  slow.addDevice(late2, 20_001);
  assert.is((await late.find(slow)).record?.path, "/dev/vdb1");
  assert.ok(isZero(late.bytes));
});

test("without install: blank nothing is looked at", async () => {
  const desk = new Desk({ made: null });
  const { record, warnings } = await desk.find();
  assert.is(record, null);
  assert.not.match(warnings.join("\n"), "install:");
  assert.ok(isZero(desk.bytes));
});

test("the mark is read as it was written, and nothing else is taken for one", () => {
  const seed = new Uint8Array(16).map((_, index) => index * 7);
  const mark = encodeMark(seed);
  assert.is(mark.length, MARK_BYTES);
  assert.equal(readMark(mark), seed);
  for (let at = 0; at < mark.length; at++) {
    const other = mark.slice();
    other[at] = (other[at] ?? 0) ^ 1;
    assert.is(readMark(other), null, `byte ${at}`);
  }
  assert.is(readMark(mark.subarray(0, 511)), null);
  assert.match(guidFrom(seed, "disk"), /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.is.not(guidFrom(seed, "disk"), guidFrom(seed, "partition 1"));
});

test("what is read of a large disk: both ends, the boot record whole, partitions' ends, and many places between", () => {
  const size = 1024n ** 4n;
  const stretches = stretchesToRead(size, layout, ["boot-record"]);
  const covers = (at: bigint) => stretches.some(({ offset, length }) => offset <= at && at < offset + BigInt(length));
  for (const at of [
    0n,
    1048575n,
    size - 1n,
    size - 1048576n,
    3n * 1048576n,
    5n * 1048576n,
    13n * 1048576n - 1n,
    128n * 1048576n,
  ]) {
    assert.ok(covers(at), `${at}`);
  }
  assert.ok(stretches.length > 500 && stretches.length < 600, `${stretches.length}`);
  assert.ok(stretches.every(({ offset, length }) => offset >= 0n && offset + BigInt(length) <= size));
  assert.ok(
    stretchesToRead(BigInt(40 * MiB), layout, []).every(({ offset, length }) => offset + BigInt(length) <= 40n * 1048576n),
  );
});

test("bytes that are excepted do not count, whatever of them is read", () => {
  const bytes = new Uint8Array(100).fill(1, 10, 20);
  assert.is(firstNonZero(bytes, 1000n, [{ offset: 1010n, length: 10 }]), null);
  assert.is(firstNonZero(bytes, 1000n, [{ offset: 1010n, length: 9 }]), "0x01 at byte 1019");
  assert.is(firstNonZero(bytes, 1000n, [{ offset: 900n, length: 115 }]), "0x01 at byte 1015");
  assert.is(
    firstNonZero(bytes, 1000n, [
      { offset: 1100n, length: 10 },
      { offset: 990n, length: 10 },
    ]),
    "0x01 at byte 1010",
  );
  assert.is(bytes[10], 1, "what was read is not changed");
});

test("signatures are named, and a disk with none has none", () => {
  const disk = new Uint8Array(4 * MiB);
  const on = (at: number, bytes: Uint8Array) => {
    const with_ = disk.slice();
    with_.set(bytes, at);
    return signaturesOn((offset, length) => with_.subarray(Number(offset), Number(offset) + length), BigInt(with_.length), 512);
  };
  assert.equal(on(0, new Uint8Array()), []);
  assert.equal(on(0x8001, new TextEncoder().encode("CD001")), ["an iso9660 filesystem"]);
  assert.equal(on(0, Buffer.from("LUKS\xba\xbe", "latin1")), ["a LUKS volume"]);
  assert.equal(on(3, new TextEncoder().encode("NTFS    ")), ["an ntfs filesystem"]);
});

test.run();
