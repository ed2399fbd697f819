/** What a boot makes of damaged tables and of disks that grew, on a machine in memory. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { restoreBackup } from "../../boot/devices/gpt-plans.ts";
import { UNFINISHED } from "../../boot/devices/unfinished.ts";
import { BlockDevice } from "../../init/kernel/recording/memory-devices.ts";
import { RecordingKernel } from "../../init/kernel/recording/recording.ts";
import { allParts, cutFinds, Desk, type DeskOptions, MiB, part, systemParts, tableFor } from "./disk-desk.ts";
import { ext4 } from "./golden-machine.ts";

const NO_AUTO = 1n << 63n;
const data = { device: "PARTLABEL=sys-data", filesystem: "ext4", whenReplaced: "refuse" } as const;
const wishing = (wish: { grow?: boolean; create?: boolean }): NonNullable<DeskOptions["control"]> => ({
  data: { ...data, grow: false, create: false, ...wish },
});

async function same(desk: Desk, options: { warned?: RegExp } = {}): Promise<void> {
  const before = desk.bytes;
  const { warnings, notes, end } = await desk.find();
  assert.is(end, null);
  assert.equal(notes, []);
  if (options.warned) assert.match(warnings.join("\n"), options.warned);
  else assert.equal(warnings, []);
  assert.is(Buffer.compare(desk.bytes, before), 0, "not a byte of the disk is another");
}

test("an ordinary boot writes nothing, whatever may be done to its disk", async () => {
  for (const control of [{}, wishing({ grow: true, create: true }), wishing({ grow: true })]) {
    const desk = new Desk({ control });
    desk.write(21 * MiB, ext4(0xda));
    await same(desk);
  }
});

test("the primary is lost: restored from the backup, found without a wait for the time limit, and told", async () => {
  for (const [length, lost] of [
    [MiB, "no GPT signature"],
    [1024, "no GPT signature"],
  ] as const) {
    const desk = new Desk();
    const whole = desk.bytes;
    desk.write(0, new Uint8Array(length));
    const { record, notes, warnings, kernel } = await desk.find();
    assert.is(record?.path, "/dev/vda1");
    assert.equal(notes, [`the partition table of /dev/vda is restored: its primary copy is lost (${lost})`]);
    assert.equal(warnings, []);
    assert.is(Buffer.compare(desk.bytes, whole), 0);
    assert.ok(kernel.clocks.bootMs < 20_000, `${kernel.clocks.bootMs} ms`);
    await same(desk);
  }
});

test("only the MBR is gone, only the entries are damaged", async () => {
  const mbr = new Desk();
  const whole = mbr.bytes;
  mbr.write(0, new Uint8Array(512));
  assert.match((await mbr.find()).notes[0] ?? "", "its protective MBR is lost");
  assert.is(Buffer.compare(mbr.bytes, whole), 0);
  const entries = new Desk();
  entries.write(1024 + 7, Uint8Array.of(0xff));
  assert.match((await entries.find()).notes[0] ?? "", "checksum of the entries is wrong");
  assert.is(Buffer.compare(entries.bytes, whole), 0);
});

test("a board's loader behind the first sectors outlives the header's loss: entries farther on are found, or put there", async () => {
  const loader = Buffer.from("loader".repeat(2000));
  for (const lost of [512, 512 + 16384]) {
    const desk = new Desk();
    desk.writeTable({ ...tableFor(64, allParts), primaryEntriesLba: 2000n, firstUsableLba: 2032n });
    desk.write(8192, loader);
    const whole = desk.bytes;
    desk.write(512, new Uint8Array(512));
    if (lost > 512) desk.write(2000 * 512, new Uint8Array(16384));
    assert.match((await desk.find()).notes[0] ?? "", "is restored");
    assert.is(Buffer.compare(desk.bytes, whole), 0);
  }
});

test("the power goes at any instant of that: the next boot finds its record, and the table is whole", async () => {
  const desk = new Desk();
  const whole = desk.bytes;
  desk.write(0, new Uint8Array(MiB));
  const cuts = await cutFinds(desk, async (text) => {
    assert.is((await desk.find()).record?.path, "/dev/vda1", text);
    assert.is(Buffer.compare(desk.bytes, whole), 0, text);
  });
  assert.ok(cuts >= 15, `${cuts}`);
});

test("the damaged backup is restored from the primary, one that is another too", async () => {
  const desk = new Desk();
  const whole = desk.bytes;
  desk.write(64 * MiB - 512, new Uint8Array(512));
  assert.match((await desk.find()).notes[0] ?? "", "its backup copy was damaged (no GPT signature)");
  assert.is(Buffer.compare(desk.bytes, whole), 0);
  desk.writeTable(tableFor(64, systemParts));
  desk.write(0, whole.subarray(0, MiB));
  assert.match((await desk.find()).notes[0] ?? "", "its backup copy was another one");
  assert.is(Buffer.compare(desk.bytes, whole), 0);
});

test("a disk that is not ours is not touched: other labels, an MBR, a filesystem over the table, a named disk", async () => {
  const others = new Desk({ made: { mebibytes: 64, parts: [part("EFI", 8, 1), part("windows", null, 2)] } });
  others.write(0, new Uint8Array(MiB));
  await same(others, { warned: /no partition labelled boot-record after 30 s/ });
  const half = new Desk({ made: { mebibytes: 64, parts: systemParts.slice(0, 2) } });
  half.write(0, new Uint8Array(MiB));
  await same(half, { warned: /no partition labelled boot-record/ });
  const mbr = new Desk();
  mbr.write(0, new Uint8Array(MiB));
  mbr.write(446, Uint8Array.of(0x80, 0, 2, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 0, 1, 0));
  mbr.write(510, Uint8Array.of(0x55, 0xaa));
  await same(mbr, { warned: /not restored: the first sector holds an MBR with partitions of its own/ });
  const whole = new Desk();
  whole.write(0, new Uint8Array(MiB));
  whole.write(0, ext4(1));
  await same(whole, { warned: /not restored: the whole disk holds an ext4 filesystem/ });
  for (const [at, text, name] of [
    [0, "LUKS\xba\xbe", "a LUKS volume"],
    [512, "LABELONE", "an LVM physical volume"],
    [4096, "\xfc\x4e\x2b\xa9", "a member of a RAID"],
    [4086, "SWAPSPACE2", "swap space"],
  ] as const) {
    const reused = new Desk();
    reused.write(0, new Uint8Array(MiB));
    reused.write(at, Buffer.from(text, "latin1"));
    await same(reused, { warned: new RegExp(`not restored: the whole disk holds ${name}`) });
  }
  const named = new Desk({ control: { disk: "/dev/vdb" } });
  named.write(0, new Uint8Array(MiB));
  await same(named, { warned: /no disk \/dev\/vdb/ });
});

/** A former disk of the same machine whose first MiB somebody emptied, as /dev/vdb. */
function emptiedTwin(of: Desk): BlockDevice {
  const twin = new BlockDevice({ path: "/dev/vdb", number: { major: 254, minor: 16 }, size: of.disk.storage.size });
  twin.storage.below.write(MiB, of.bytes.subarray(MiB));
  return twin;
}

test("a disk that was emptied stays so where the machine's own comes late", async () => {
  const desk = new Desk();
  desk.writeRecord(null);
  const twin = emptiedTwin(desk);
  const before = twin.storage.read(0, twin.storage.size);
  const kernel = new RecordingKernel({ stepMs: 0 });
  kernel.addDevice(twin);
  kernel.plant("/", { run: {} });
  kernel.addDevice(desk.disk, 9000);
  for (const [label, start, size] of [
    ["boot-record", 1, 4],
    ["root-a", 5, 8],
    ["root-b", 13, 8],
  ] as const) {
    const partition = { of: desk.disk, number: start, start: start * MiB, label };
    const device = { path: `/dev/vda${start}`, number: { major: 254, minor: start }, size: size * MiB, partition };
    kernel.addDevice(device, 9000);
  }
  const { record, notes } = await desk.find(kernel);
  assert.is(record?.path, "/dev/vda1");
  assert.equal(notes, []);
  assert.is(Buffer.compare(twin.storage.read(0, twin.storage.size), before), 0);
});

test("two disks have lost this machine's table: neither is touched", async () => {
  const desk = new Desk();
  const twin = emptiedTwin(desk);
  desk.others.push(twin);
  desk.write(0, new Uint8Array(MiB));
  await same(desk, { warned: /tables of \/dev\/vda and \/dev\/vdb are lost, and none is restored/ });
  assert.ok(twin.storage.read(0, MiB).every((byte) => byte === 0));
});

test("both copies lost, or a backup with overlaps: nothing is written", async () => {
  const both = new Desk();
  both.write(0, new Uint8Array(MiB));
  both.write(63 * MiB, new Uint8Array(MiB));
  await same(both, { warned: /no partition labelled boot-record/ });
});

test("a restored disk that cannot be written is told, and the boot goes on", async () => {
  const desk = new Desk();
  desk.write(0, new Uint8Array(MiB));
  const kernel = desk.kernel();
  kernel.failOn({ call: "write", match: /^write\("\/dev\/vda"/, code: "EIO" });
  const { record, warnings, end } = await desk.find(kernel);
  assert.is(end, null);
  assert.is(record, null);
  assert.match(
    warnings.join("\n"),
    "the partition table of /dev/vda cannot be looked at or restored: pwrite64 /dev/vda: EIO".slice(0, 60),
  );
});

test("a kernel that does not read the table again is told of each partition", async () => {
  const desk = new Desk();
  desk.write(0, new Uint8Array(MiB));
  const kernel = desk.kernel();
  kernel.failOn({ call: "ioctl", match: /BLKRRPART/, code: "EBUSY" });
  const { warnings } = await desk.find(kernel);
  assert.match(kernel.trace, 'blkpg("/dev/vda", add, partition 1, 4194304 bytes from 1048576 on)');
  assert.match(warnings.join("\n"), "knows the labels of the partitions on /dev/vda from the next boot on (EBUSY)");
  assert.is((await desk.find()).record?.path, "/dev/vda1");
});

const small = { mebibytes: 48, parts: allParts };

test("grow: on a larger disk the backup moves to its end, the data partition grows, and the kernel is told", async () => {
  const desk = new Desk({ made: small, control: wishing({ grow: true }) });
  desk.write(21 * MiB, ext4(0xda));
  const { kernel, notes, warnings } = await desk.find();
  assert.equal(warnings, []);
  assert.equal(notes, ["the data partition, number 4 on /dev/vda, has grown to 42 MiB"]);
  assert.match(kernel.trace, `blkpg("/dev/vda", resize, partition 4, ${42 * MiB} bytes from ${21 * MiB} on)`);
  assert.equal(desk.partitions, [
    ["boot-record", 1, 5, 0n],
    ["root-a", 5, 13, 0n],
    ["root-b", 13, 21, 0n],
    ["sys-data", 21, 63, 0n],
  ]);
  assert.is(restoreBackup(desk.pair), null);
  await same(desk);
});

test("the power goes at any instant of that: the next boot ends where this one would have", async () => {
  for (const wish of [{ grow: true }, { create: true }]) {
    const desk = new Desk({ made: wish.grow ? small : { mebibytes: 48, parts: systemParts }, control: wishing(wish) });
    if (wish.grow) desk.write(21 * MiB, ext4(0xda));
    const cuts = await cutFinds(desk, async (text) => {
      const { record, warnings } = await desk.find();
      assert.equal(warnings, [], text);
      assert.is(record?.path, "/dev/vda1", text);
      assert.equal(
        Array.isArray(desk.partitions) ? desk.partitions.at(-1) : null,
        ["sys-data", 21, 63, wish.grow ? 0n : NO_AUTO],
        text,
      );
      assert.is(restoreBackup(desk.pair), null, text);
      assert.equal(desk.read(21 * MiB, 4096), ext4(0xda), text);
    });
    assert.ok(cuts >= 20, `${cuts}`);
  }
});

test("grow, with a reason instead: a smaller disk, data that is not the last, no GPT", async () => {
  const smaller = new Desk({ mebibytes: 60, made: { mebibytes: 64, parts: allParts }, control: wishing({ grow: true }) });
  await same(smaller, {
    warned: /data: grow: \/dev\/vda: the table is that of a larger disk: it knows its backup at LBA 131071/,
  });
  const parts = [...systemParts, part("sys-data", 8, 4), part("more", 4, 5)];
  const middle = new Desk({ made: { mebibytes: 48, parts }, control: wishing({ grow: true }) });
  middle.write(21 * MiB, ext4(0xda));
  await same(middle, { warned: /partition 4 is not the last on the disk, number 5 is/ });
  const inMidst = new Desk({ made: { mebibytes: 64, parts }, control: wishing({ grow: true }) });
  inMidst.write(21 * MiB, ext4(0xda));
  await same(inMidst);
});

test("grow that fails leaves the old table or the new one, and the boot goes on", async () => {
  const desk = new Desk({ made: small, control: wishing({ grow: true }) });
  desk.write(21 * MiB, ext4(0xda));
  const kernel = desk.kernel();
  kernel.failOn({ call: "write", match: /^write\("\/dev\/vda", .* at 512\b|^write\("\/dev\/vda", .*512/, code: "EIO" });
  const { record, warnings } = await desk.find(kernel);
  assert.is(record?.path, "/dev/vda1");
  assert.match(warnings.join("\n"), /table of \/dev\/vda is left as it is: .*EIO/);
  const untold = new Desk({ made: small, control: wishing({ grow: true }) });
  const busy = untold.kernel();
  busy.failOn({ call: "changePartition", code: "EBUSY" });
  const told = await untold.find(busy);
  assert.match(told.warnings.join("\n"), "knows the new end of the data partition from the next boot on (EBUSY)");
  assert.is((await untold.find()).record?.path, "/dev/vda1");
});

test("create: the missing data partition is made behind the last one, with its filesystem", async () => {
  const desk = new Desk({ made: { mebibytes: 48, parts: systemParts }, control: wishing({ create: true }) });
  const { notes, warnings, kernel } = await desk.find();
  assert.equal(warnings, []);
  assert.equal(notes, [
    "the data partition is made: number 4 on /dev/vda, 42 MiB",
    "the data filesystem is made: ext4 on /dev/vda4",
  ]);
  assert.match(
    kernel.trace,
    /spawn\("\/usr\/sbin\/mkfs\.ext4", \["mkfs\.ext4", "-q", "-F", "-E", "root_owner=0:0", "\/dev\/vda4"\]/,
  );
  assert.equal(Array.isArray(desk.partitions) ? desk.partitions.at(-1) : null, ["sys-data", 21, 63, NO_AUTO]);
  await same(desk);
});

test("create: mkfs that fails is asked again at the next boot, whatever it left", async () => {
  const desk = new Desk({ made: { mebibytes: 48, parts: systemParts }, control: wishing({ create: true }) });
  desk.mkfs.exitCode = 1;
  const first = await desk.find();
  assert.match(first.warnings.join("\n"), "no data filesystem is made on /dev/vda4: mkfs.ext4 failed (exit 1)");
  assert.is(first.record?.path, "/dev/vda1");
  assert.is(Array.isArray(desk.partitions) ? desk.partitions.at(-1)?.[3] : null, NO_AUTO | UNFINISHED);
  desk.mkfs.exitCode = 0;
  assert.equal((await desk.find()).notes, ["the data filesystem is made: ext4 on /dev/vda4"]);
  await same(desk);
});

test("create: a partition with nothing on it gets a filesystem; one with anything on it is left alone", async () => {
  const blank = new Desk({ control: wishing({ create: true }) });
  assert.equal((await blank.find()).notes, ["the data filesystem is made: ext4 on /dev/vda4"]);
  for (const [at, bytes] of [
    [21 * MiB + 300 * 1024, Uint8Array.of(1)],
    [63 * MiB - 1, Uint8Array.of(1)],
    [21 * MiB, ext4(7)],
  ] as const) {
    const full = new Desk({ control: wishing({ create: true }) });
    full.write(at, bytes);
    await same(full);
  }
});

test("create: never where the record knows state, nor where it cannot be read, nor without mkfs or room", async () => {
  const known = new Desk({ made: { mebibytes: 48, parts: systemParts }, control: wishing({ create: true }) });
  known.writeRecord("000000da-0000-0000-0000-000000000001");
  await same(known, { warned: /partition sys-data is gone, and the boot record knows state on 000000da-/ });
  const emptied = new Desk({ control: wishing({ create: true }) });
  emptied.writeRecord("000000da-0000-0000-0000-000000000001");
  await same(emptied);
  const unreadable = new Desk({ made: { mebibytes: 48, parts: systemParts }, control: wishing({ create: true }) });
  unreadable.write(MiB, new Uint8Array(4096).fill(0x5a));
  await same(unreadable);
  const programless = new Desk({ made: { mebibytes: 48, parts: systemParts }, control: wishing({ create: true }) });
  programless.mkfs.there = false;
  await same(programless, {
    warned: /data: create: the initrd has no mkfs\.ext4 to make it: add it with slipway initrd build --extra/,
  });
  const tight = new Desk({ mebibytes: 30, made: { mebibytes: 30, parts: systemParts }, control: wishing({ create: true }) });
  await same(tight, { warned: /data: create: \/dev\/vda: 8388608 bytes are left behind the last partition, it needs 16777216/ });
});

test("another disk's tables are not looked after", async () => {
  const desk = new Desk();
  const other = new BlockDevice({ path: "/dev/vdb", number: { major: 254, minor: 16 }, size: 64 * MiB, contents: desk.bytes });
  other.storage.below.write(0, new Uint8Array(MiB));
  other.storage.below.write(64 * MiB - 512, new Uint8Array(512));
  desk.others.push(other);
  const before = other.storage.read(0, 64 * MiB);
  await same(desk);
  assert.is(Buffer.compare(other.storage.read(0, 64 * MiB), before), 0);
});

test.run();
