/** What slipway writes as a partition table, held against sgdisk and sfdisk, and torn at every sector. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Gpt, type ReadAt, readGpt } from "../../boot/devices/gpt.ts";
import {
  appendPartition,
  growLast,
  layoutBlank,
  moveBackup,
  type NewPartition,
  restoreBackup,
  restorePrimary,
  smallestDisk,
} from "../../boot/devices/gpt-plans.ts";
import {
  type GptTable,
  guidBytes,
  readGptPair,
  rewriteTable,
  type TableRewrite,
  tableFrom,
  withPartition,
} from "../../boot/devices/gpt-table.ts";
import { mbrKind, protectiveMbr } from "../../boot/devices/protective-mbr.ts";

const MiB = 1024 * 1024;

/** Random parts of each stage that is torn. */
const rounds = process.env.SLIPWAY_TIER === "long" ? 1000 : 40;
const directory = mkdtempSync(join(tmpdir(), "slipway-gpt-write-"));
test.after(() => rmSync(directory, { recursive: true, force: true }));
const file = join(directory, "disk");
const env = { ...process.env, PATH: `/usr/sbin:/sbin:${process.env.PATH}`, LC_ALL: "C" };

const LINUX = "0fc63daf-8483-4772-8e79-3d69d8477de4";
const guid = (tag: number): string => `${tag.toString(16).padStart(8, "0")}-0000-4000-8000-000000000000`;

function part(label: string, mebibytes: number | null, tag: number): NewPartition {
  return { label, size: mebibytes === null ? null : mebibytes * MiB, type: LINUX, unique: guid(tag), attributes: 0n };
}

const parts = [part("boot-record", 4, 1), part("root-a", 8, 2), part("sys-data", null, 3)];

function known<Result>(result: Result | string | null): Result {
  if (typeof result === "string" || result === null) throw new Error(`refused: ${result}`);
  return result;
}

/** Refused, and why. */
function refused(result: unknown, why: string): void {
  assert.type(result, "string");
  assert.match(String(result), why);
}

const reader =
  (bytes: Uint8Array): ReadAt =>
  (offset, length) =>
    bytes.subarray(Number(offset), Math.min(bytes.length, Number(offset) + length));

const pairOf = (bytes: Uint8Array, sectorSize = 512) => readGptPair(reader(bytes), BigInt(bytes.length), sectorSize);

function read(bytes: Uint8Array, sectorSize = 512): Gpt | string {
  return readGpt(reader(bytes), BigInt(bytes.length), sectorSize);
}

function carryOut(bytes: Uint8Array, rewrite: TableRewrite): void {
  for (const { offset, bytes: written } of rewrite.flat()) bytes.set(written, Number(offset));
}

function write(bytes: Uint8Array, table: GptTable, sectorSize = 512): void {
  carryOut(bytes, known(rewriteTable(table, bytes.slice(0, sectorSize))));
}

function blank(mebibytes = 64, sectorSize = 512, partitions = parts): Uint8Array {
  const bytes = new Uint8Array(mebibytes * MiB);
  write(bytes, known(layoutBlank(partitions, { sizeBytes: BigInt(bytes.length), sectorSize, guid: guid(0xd) })), sectorSize);
  return bytes;
}

function host(program: string, words: string[], input = ""): string {
  const { status, stdout, stderr } = spawnSync(program, words, { env, input, encoding: "utf8" });
  assert.is(status, 0, `${program} ${words.join(" ")}: ${stdout}${stderr}`);
  return stdout + stderr;
}

/** sgdisk finds nothing wrong, and sees the same partitions. */
function verified(bytes: Uint8Array, words: string[] = []): void {
  writeFileSync(file, bytes);
  const said = host("sgdisk", [...words, "--verify", file]);
  assert.match(said, "No problems found", said);
  assert.not.match(said, /caution|warning|invalid|corrupt/i, said);
}

/** Name and place of every partition as sfdisk sees them. */
function asSfdisk(bytes: Uint8Array): string[] {
  writeFileSync(file, bytes);
  const seen: {
    partitiontable: { partitions: { start: number; size: number; name: string; uuid: string; attrs?: string }[] };
  } = JSON.parse(host("sfdisk", ["--json", file]));
  return seen.partitiontable.partitions.map(
    ({ start, size, name, uuid, attrs }) => `${name} ${start}+${size} ${uuid.toLowerCase()}${attrs ? ` ${attrs}` : ""}`,
  );
}

/** As sfdisk makes it: with a partition that is no neighbour of the last one's number, and with attributes. */
function bySfdisk(mebibytes: number, script: string): Uint8Array {
  writeFileSync(file, new Uint8Array(mebibytes * MiB));
  host("sfdisk", ["-q", file], script);
  return new Uint8Array(readFileSync(file));
}

function grown(bytes: Uint8Array, mebibytes: number): Uint8Array {
  const larger = new Uint8Array(mebibytes * MiB);
  larger.set(bytes);
  return larger;
}

test("a blank disk's table, as sgdisk and sfdisk see it", () => {
  const bytes = blank();
  verified(bytes);
  assert.equal(asSfdisk(bytes), [
    `boot-record 2048+8192 ${guid(1)}`,
    `root-a 10240+16384 ${guid(2)}`,
    `sys-data 26624+${(63 - 13) * 2048} ${guid(3)}`,
  ]);
  const pair = pairOf(bytes);
  assert.is(mbrKind(pair.mbr), "protective");
  assert.is(restoreBackup(pair), null);
  assert.is(restorePrimary(pair), null);
});

test("the same table as sgdisk's own, byte by byte", () => {
  const ours = blank(64, 512, parts.slice(0, 2));
  writeFileSync(file, new Uint8Array(64 * MiB));
  const words = parts.slice(0, 2).flatMap(({ label, unique }, index) => {
    const [start, end] = index === 0 ? [2048, 10239] : [10240, 26623];
    const number = index + 1;
    return [`--new=${number}:${start}:${end}`, `--partition-guid=${number}:${unique}`, `--change-name=${number}:${label}`];
  });
  host("sgdisk", ["--clear", `--disk-guid=${guid(0xd)}`, ...words, file]);
  const theirs = new Uint8Array(readFileSync(file));
  // Of the MBR's entry the two differ in how they write that the disk has no cylinders.
  for (const bytes of [ours, theirs]) bytes.fill(0, 446, 454);
  assert.ok(Buffer.from(ours).equals(theirs));
});

test("sectors of 4096 bytes", () => {
  const bytes = blank(64, 4096);
  const table = known<Gpt>(read(bytes, 4096));
  assert.equal(table.notes, []);
  assert.equal(
    table.partitions.map(({ label, firstLba, lastLba }) => [label, firstLba, lastLba]),
    [
      ["boot-record", 256n, 1279n],
      ["root-a", 1280n, 3327n],
      ["sys-data", 3328n, 63n * 256n - 1n],
    ],
  );
  assert.is(table.firstUsableLba, 6n);
  assert.is(table.lastUsableLba, 64n * 256n - 6n);
});

test("GUIDs go in as they come out, and nothing else is taken for one", () => {
  assert.is(Buffer.from(guidBytes("0fc63daf-8483-4772-8e79-3d69d8477de4")).toString("hex"), "af3dc60f838472478e793d69d8477de4");
  for (const wrong of ["", "0FC63DAF-8483-4772-8E79-3D69D8477DE4", "0fc63daf84834772-8e79-3d69d8477de4", `${LINUX}0`]) {
    assert.throws(() => guidBytes(wrong), "is no GUID");
  }
});

test("all that is not known is kept: foreign bits, header bytes, entries beyond the last, boot code", () => {
  const bytes = bySfdisk(
    32,
    'label: gpt\n5: size=2MiB, name="Größe", attrs="LegacyBIOSBootable,GUID:60"\n7: size=4MiB, name=last\n',
  );
  bytes.fill(0xb0, 0, 440);
  const before = pairOf(bytes);
  const primary = known(before.primary);
  // A header of 100 bytes, the last eight of which nobody knows, and bytes of a reserved field.
  const header = primary.header.slice();
  new DataView(header.buffer).setUint32(12, 100, true);
  header.set([1, 2, 3, 4, 5, 6, 7, 8], 92);
  header.set([9, 9, 9, 9], 20);
  const table = known(moveBackup({ ...before, primary: { ...primary, header }, lastLba: 64n * 2048n - 1n }));
  const larger = grown(bytes, 64);
  write(larger, known(growLast(table, 7)));
  const after = pairOf(larger);
  for (const copy of [known(after.primary), known(after.backup)]) {
    assert.equal([...copy.header.subarray(92, 100)], [1, 2, 3, 4, 5, 6, 7, 8]);
    assert.equal([...copy.header.subarray(20, 24)], [9, 9, 9, 9]);
    const changed = [...copy.entries.keys()].filter((index) => copy.entries[index] !== primary.entries[index]);
    assert.ok(changed.length > 0);
    assert.ok(
      changed.every((index) => index >= 6 * 128 + 40 && index < 6 * 128 + 48),
      `only the end of partition 7 is another: ${changed}`,
    );
  }
  assert.ok(larger.subarray(0, 440).every((byte) => byte === 0xb0));
});

test("a disk that grew: backup moved, the last partition grown, one appended; sgdisk finds nothing wrong", () => {
  const bytes = grown(blank(), 128);
  const moved = known(moveBackup(pairOf(bytes)));
  const movedOnly = bytes.slice();
  write(movedOnly, moved);
  verified(movedOnly);
  const larger = bytes.slice();
  write(larger, known(growLast(moved, 3)));
  verified(larger);
  assert.equal(asSfdisk(larger)[2], `sys-data 26624+${(127 - 13) * 2048} ${guid(3)}`);
  const { table, added } = known(
    appendPartition(moved, { type: LINUX, unique: guid(4), label: "more", attributes: 1n << 63n }, BigInt(16 * MiB)),
  );
  assert.is(added.number, 4);
  const appended = bytes.slice();
  write(appended, table);
  verified(appended);
  assert.equal(asSfdisk(appended)[3], `more ${63 * 2048}+${64 * 2048} ${guid(4)} GUID:63`);
});

test("nothing to grow gives the same table; what cannot be done says why", () => {
  const pair = pairOf(blank());
  const table = known(moveBackup(pair));
  assert.is(growLast(table, 3), table);
  refused(growLast(table, 2), "partition 2 is not the last on the disk, number 3 is");
  refused(growLast(table, 9), "partition 9 is not the last");
  refused(appendPartition(table, { type: LINUX, unique: guid(4), label: "x", attributes: 0n }, 1n), "0 bytes are left");
  const larger = known(moveBackup(pairOf(grown(blank(), 66))));
  refused(
    appendPartition(larger, { type: LINUX, unique: guid(4), label: "x", attributes: 0n }, BigInt(16 * MiB)),
    `${2 * MiB} bytes are left behind the last partition, it needs ${16 * MiB}`,
  );
  const cut = pairOf(blank().slice(0, 60 * MiB));
  refused(moveBackup(cut), "the table is that of a larger disk: it knows its backup at LBA 131071, the last one is 122879");
  refused(moveBackup(pairOf(new Uint8Array(64 * MiB))), "no GPT signature");
  refused(moveBackup(pairOf(new Uint8Array(4096))), "too small for a GPT");
});

test("the lowest number that is free is taken, and a full table refuses", () => {
  const bytes = bySfdisk(32, "label: gpt\n1: size=1MiB\n3: size=1MiB\n");
  const table = known(moveBackup(pairOf(bytes)));
  const request = { type: LINUX, unique: guid(9), label: "new", attributes: 0n };
  assert.is(known(appendPartition(table, request, 1n)).added.number, 2);
  let full = table;
  for (let number = 1; number <= 128; number++) {
    const lba = BigInt(2048 + 8 * number);
    full = withPartition(full, { ...request, number, firstLba: lba, lastLba: lba + 7n });
  }
  refused(appendPartition(full, request, 1n), "all 128 entries of the table are used");
});

test("a layout that does not fit its disk is refused with the numbers, and the smallest that fits does", () => {
  const disk = (sizeBytes: bigint) => ({ sizeBytes, sectorSize: 512, guid: guid(1) });
  const smallest = smallestDisk(parts);
  assert.is(smallest, BigInt(30 * MiB));
  known(layoutBlank(parts, disk(smallest)));
  refused(layoutBlank(parts, disk(smallest - BigInt(MiB))), "sys-data needs at least 16777216 bytes");
  refused(layoutBlank([part("a", 40, 1)], disk(BigInt(32 * MiB))), "a needs 41943040 bytes from byte 1048576 on");
  assert.throws(() => layoutBlank([part("x".repeat(37), 1, 1)], disk(BigInt(32 * MiB))), "36");
});

for (const sectorSize of [512, 4096]) {
  test(`a lost primary is restored from the backup, with the first sector (${sectorSize} bytes a sector)`, () => {
    const whole = blank(64, sectorSize);
    for (const [name, length] of [
      ["first sector", sectorSize],
      ["primary", 34 * sectorSize],
      ["first MiB", MiB],
    ] as const) {
      const bytes = whole.slice();
      bytes.fill(0, 0, length);
      carryOut(bytes, known(restorePrimary(pairOf(bytes, sectorSize))));
      assert.ok(Buffer.from(bytes).equals(whole), name);
    }
    const garbage = whole.slice();
    garbage.fill(0x5a, sectorSize, 34 * sectorSize);
    carryOut(garbage, known(restorePrimary(pairOf(garbage, sectorSize))));
    assert.equal(read(garbage, sectorSize), read(whole, sectorSize));
  });

  test(`a damaged backup is restored from the primary (${sectorSize} bytes a sector)`, () => {
    const whole = blank(64, sectorSize);
    for (const at of [whole.length - sectorSize + 60, whole.length - sectorSize - 16384 + 130]) {
      const bytes = whole.slice();
      bytes[at] = (bytes[at] ?? 0) ^ 1;
      carryOut(bytes, known(restoreBackup(pairOf(bytes, sectorSize))));
      assert.ok(Buffer.from(bytes).equals(whole));
    }
  });
}

test("nothing is restored over an MBR with partitions of its own, nor from a table of another place or with overlaps", () => {
  const bytes = blank();
  const mbr = bySfdisk(64, "label: dos\nsize=8MiB, type=83\n");
  bytes.set(mbr.subarray(0, 512));
  bytes.fill(0, 512, 34 * 512);
  refused(restorePrimary(pairOf(bytes)), "MBR with partitions of its own");
  const lost = blank();
  lost.fill(0, 0, MiB);
  const pair = pairOf(lost);
  const backup = known(pair.backup);
  refused(restorePrimary({ ...pair, backup: { ...backup, otherLba: 7n } }), "another place");
  const request = { type: LINUX, unique: guid(9), label: "over", attributes: 0n };
  const overlapping = withPartition(tableFrom(backup, pair), { ...request, number: 9, firstLba: 9000n, lastLba: 9001n });
  const entries = overlapping.entries;
  refused(restorePrimary({ ...pair, backup: { ...backup, entries } }), "partitions 1 and 9 overlap");
  const outside = withPartition(tableFrom(backup, pair), { ...request, number: 9, firstLba: 9n, lastLba: 10n }).entries;
  refused(restorePrimary({ ...pair, backup: { ...backup, entries: outside } }), "partition 9, LBA 9 to 10, lies outside");
  refused(restorePrimary({ ...pair, backup: { ...backup, firstUsableLba: 20n } }), "reach into what may be used from LBA 20 on");
  const both = blank();
  both.fill(0, 0, MiB);
  both.fill(0, both.length - MiB);
  assert.is(restorePrimary(pairOf(both)), "primary: no GPT signature; backup: no GPT signature");
});

test("a backup is not restored on a disk of another size, nor from a damaged primary", () => {
  refused(restoreBackup(pairOf(grown(blank(), 66))), "the table is that of a smaller disk");
  const lost = blank();
  lost.fill(0, 0, MiB);
  refused(restoreBackup(pairOf(lost)), "primary: no GPT signature");
});

test("the primary's entries stay where its header says, for boards with a loader behind the first sectors", () => {
  const bytes = blank(64, 512, [part("far", 8, 1)]);
  writeFileSync(file, bytes);
  host("sgdisk", ["--move-main-table=1000", file]);
  const moved = new Uint8Array(readFileSync(file));
  moved.fill(0x10, 1024, 1000 * 512);
  const loader = moved.slice(1024, 1000 * 512);
  // Its entries are damaged, its header is not.
  moved[1000 * 512 + 4] = 0xff;
  carryOut(moved, known(restorePrimary(pairOf(moved))));
  assert.equal(moved.slice(1024, 1000 * 512), loader);
  assert.is(known<Gpt>(read(moved)).from, "primary");
  writeFileSync(file, moved);
  assert.match(host("sgdisk", ["--verify", file]), "No problems found");
});

test("a hybrid MBR is kept as it is, boot code of an MBR without partitions too", () => {
  const sector = new Uint8Array(512).fill(0xb0, 0, 440);
  sector.set([0x55, 0xaa], 510);
  const made = known(protectiveMbr(sector, 131072n));
  assert.is(mbrKind(made), "protective");
  assert.ok(made.subarray(0, 440).every((byte) => byte === 0xb0));
  assert.is(new DataView(made.buffer).getUint32(446 + 12, true), 131071);
  const hybrid = made.slice();
  hybrid.set([0x80, 0, 0, 0, 0x0c, 0, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0], 462);
  assert.is(mbrKind(hybrid), "hybrid");
  assert.equal(protectiveMbr(hybrid, 999999n), hybrid);
  assert.is(new DataView(known(protectiveMbr(new Uint8Array(512), 1n << 40n)).buffer).getUint32(458, true), 0xffffffff);
});

/** Every sector of a stage by itself, and random halves of them: what a disk may have written when the power goes. */
function* torn(stage: TableRewrite[number], sectorSize: number): Generator<(bytes: Uint8Array) => void> {
  const sectors = stage.flatMap(({ offset, bytes }) =>
    Array.from({ length: bytes.length / sectorSize }, (_, index) => ({
      at: Number(offset) + index * sectorSize,
      bytes: bytes.subarray(index * sectorSize, (index + 1) * sectorSize),
    })),
  );
  const writeThose = (isKept: (index: number) => boolean) => (disk: Uint8Array) => {
    for (const [index, { at, bytes }] of sectors.entries()) if (isKept(index)) disk.set(bytes, at);
  };
  for (let count = 0; count <= sectors.length; count++) {
    yield writeThose((index) => index < count);
    yield writeThose((index) => index >= count);
    yield writeThose((index) => index === count);
    yield writeThose((index) => index !== count);
  }
  let seed = 12345;
  for (let round = 0; round < rounds; round++) {
    const kept = sectors.map(() => {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
      return (seed & 0x10000) !== 0;
    });
    yield writeThose((index) => kept[index] === true);
  }
}

/** Makes the parts of `disk` that hold a table as they were. */
function bringBack(disk: Uint8Array, before: Uint8Array): void {
  disk.set(before.subarray(0, MiB));
  disk.set(before.subarray(before.length - MiB), before.length - MiB);
}

/** Carries out `rewrite` up to every cut; the table read is then the old one or the new one. Returns how many cuts. */
function tearEverywhere(before: Uint8Array, rewrite: TableRewrite, sectorSize = 512): number {
  const old = read(before, sectorSize);
  const after = before.slice();
  carryOut(after, rewrite);
  const fresh = known<Gpt>(read(after, sectorSize));
  const allowed = [old, fresh].map((table) => (typeof table === "string" ? table : partitionsText(table)));
  const disk = before.slice();
  let cuts = 0;
  for (const [done, stage] of rewrite.entries()) {
    for (const tear of torn(stage, sectorSize)) {
      bringBack(disk, before);
      for (const { offset, bytes } of rewrite.slice(0, done).flat()) disk.set(bytes, Number(offset));
      tear(disk);
      const seen = known<Gpt>(read(disk, sectorSize));
      assert.ok(allowed.includes(partitionsText(seen)), `stage ${done}: ${partitionsText(seen)}`);
      cuts++;
    }
  }
  return cuts;
}

const partitionsText = (table: Gpt): string =>
  table.partitions.map((one) => `${one.number} ${one.firstLba}-${one.lastLba}`).join();

test("whatever part of a rewrite reached the disk, the old table or the new one is read", () => {
  const request = { type: LINUX, unique: guid(4), label: "more", attributes: 0n };
  for (const sectorSize of [512, 4096]) {
    const larger = grown(blank(32, sectorSize), 40);
    const pair = pairOf(larger, sectorSize);
    const moved = known(moveBackup(pair));
    const rewrites = [
      known(rewriteTable(moved, pair.mbr)),
      known(rewriteTable(known(growLast(moved, 3)), pair.mbr)),
      known(rewriteTable(known(appendPartition(moved, request, 1n)).table, pair.mbr)),
    ];
    for (const rewrite of rewrites) assert.ok(tearEverywhere(larger, rewrite, sectorSize) > 60);
    // A disk that holds both copies at their places.
    const whole = blank(32, sectorSize);
    const own = pairOf(whole, sectorSize);
    const changed = withPartition(known(moveBackup(own)), { ...request, number: 2, firstLba: 9000n, lastLba: 9001n });
    if (sectorSize === 512) refused(rewriteTable(changed, own.mbr), "overlap");
    const lost = whole.slice();
    lost.fill(0, 0, MiB);
    assert.ok(tearEverywhere(lost, known(restorePrimary(pairOf(lost, sectorSize))), sectorSize) > 60);
    const damaged = whole.slice();
    damaged.fill(0xff, damaged.length - 4096);
    assert.ok(tearEverywhere(damaged, known(restoreBackup(pairOf(damaged, sectorSize))), sectorSize) > 60);
  }
});

test("after every cut of a rewrite the next boot's repair ends in both copies whole", () => {
  const larger = grown(blank(32), 40);
  const pair = pairOf(larger);
  const rewrite = known(rewriteTable(known(growLast(known(moveBackup(pair)), 3)), pair.mbr));
  const finished = larger.slice();
  carryOut(finished, rewrite);
  const disk = larger.slice();
  for (const [done, stage] of rewrite.entries()) {
    for (const tear of torn(stage, 512)) {
      bringBack(disk, larger);
      for (const { offset, bytes } of rewrite.slice(0, done).flat()) disk.set(bytes, Number(offset));
      tear(disk);
      const restore = restorePrimary(pairOf(disk));
      if (restore !== null) carryOut(disk, known(restore));
      const again = pairOf(disk);
      carryOut(disk, known(rewriteTable(known(growLast(known(moveBackup(again)), 3)), again.mbr)));
      assert.is(Buffer.compare(disk, finished), 0, "the next boot ends where this one would have");
    }
  }
});

test.run();
