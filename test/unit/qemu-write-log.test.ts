import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  applyEntries,
  applyLater,
  type CrashPoint,
  describePoint,
  flushBoundaries,
  reorderings,
  SECTOR,
} from "../../qemu/crash-points.ts";
import { type LogEntry, readWriteLog } from "../../qemu/write-log.ts";
import { randomNumbers } from "../samples/random.ts";

interface Entry {
  /** In sectors. */
  sector?: number;
  data?: Uint8Array;
  count?: number;
  flags?: number;
  dataLength?: number;
}

const flush: Entry = { flags: 1 };
const write = (sector: number, letter: string, sectors = 1): Entry => ({ sector, data: Buffer.alloc(sectors * SECTOR, letter) });

/** A log as QEMU writes it. */
function logOf(entries: Entry[], change: (bytes: Buffer) => void = () => {}): Buffer {
  const superblock = Buffer.alloc(SECTOR);
  superblock.writeBigUInt64LE(0x6a736677736872n, 0);
  superblock.writeBigUInt64LE(1n, 8);
  superblock.writeBigUInt64LE(BigInt(entries.length), 16);
  superblock.writeUInt32LE(SECTOR, 24);
  const pieces = entries.map(({ sector = 0, data = new Uint8Array(0), count, flags = 0, dataLength = 0 }) => {
    const header = Buffer.alloc(SECTOR);
    header.writeBigUInt64LE(BigInt(sector), 0);
    header.writeBigUInt64LE(BigInt(count ?? data.length / SECTOR), 8);
    header.writeBigUInt64LE(BigInt(flags), 16);
    header.writeBigUInt64LE(BigInt(dataLength), 24);
    return Buffer.concat([header, data]);
  });
  const log = Buffer.concat([superblock, ...pieces]);
  change(log);
  return log;
}

/** A disk of letters, one for each sector; "." is one of zeros. */
function letters(size = 8) {
  const bytes = Buffer.alloc(size * SECTOR);
  return {
    write: (offset: number, data: Uint8Array) => void bytes.set(data, offset),
    discard: (offset: number, length: number) => void bytes.fill(0, offset, offset + length),
    toString: () => Array.from({ length: size }, (_, index) => String.fromCharCode(bytes[index * SECTOR] || 46)).join(""),
  };
}

const log = logOf([write(0, "a", 2), write(4, "b"), flush, flush, write(0, "c"), write(1, "d", 3), flush, write(7, "e")]);
const entries = readWriteLog(log);

test("entries are read in their order, with the place of their data", () => {
  assert.equal(entries.slice(0, 4), [
    { kind: "write", offset: 0, length: 1024, dataAt: 1024, durable: false },
    { kind: "write", offset: 2048, length: 512, dataAt: 2560, durable: false },
    { kind: "flush" },
    { kind: "flush" },
  ]);
  assert.is(entries.length, 8);
});

test("discards have no data, marks are left out, FUA is durable, a flush may come with a write", () => {
  const more = [
    { sector: 3, count: 9, flags: 4 },
    { flags: 8, data: Buffer.alloc(SECTOR, "mark"), count: 0, dataLength: 4 },
    { ...write(1, "f"), flags: 2 },
    { ...write(2, "g"), flags: 1 },
  ];
  assert.equal(readWriteLog(logOf(more)), [
    { kind: "discard", offset: 1536, length: 4608 },
    { kind: "write", offset: 512, length: 512, dataAt: 2560, durable: true },
    { kind: "flush" },
    { kind: "write", offset: 1024, length: 512, dataAt: 3584, durable: false },
  ]);
});

test("only as many entries are read as the log counts: what QEMU wrote after the last flush may be half there", () => {
  assert.is(readWriteLog(logOf([write(0, "a"), flush, write(1, "b")], (bytes) => bytes.writeBigUInt64LE(2n, 16))).length, 2);
  assert.equal(readWriteLog(logOf([])), []);
});

test("a log that is damaged is refused with the entry that is", () => {
  const damaged = (what: (bytes: Buffer) => void) => () => readWriteLog(logOf([write(0, "a", 2), flush], what));
  assert.throws(
    damaged((bytes) => bytes.writeUInt8(0, 0)),
    /no log of writes: it begins with 0x6a736677736800/,
  );
  assert.throws(
    damaged((bytes) => bytes.writeUInt8(2, 8)),
    /version 2/,
  );
  assert.throws(
    damaged((bytes) => bytes.writeUInt32LE(513, 24)),
    /sectors have 513 bytes/,
  );
  assert.throws(
    damaged((bytes) => bytes.writeUInt32LE(0, 24)),
    /sectors have 0 bytes/,
  );
  assert.throws(
    damaged((bytes) => bytes.writeUInt8(3, 16)),
    /ends at byte \d+, before entry 2 of 3/,
  );
  assert.throws(
    damaged((bytes) => bytes.writeUInt8(0x10, SECTOR + 16)),
    /entry 0 of 2 has the flags 0x10/,
  );
  assert.throws(
    damaged((bytes) => bytes.writeUInt8(9, SECTOR + 8)),
    /within the data of entry 0 of 2/,
  );
  assert.throws(
    damaged((bytes) => bytes.writeUInt8(0xff, SECTOR + 7)),
    /entry 0 of 2: its sector is \d+: the log is damaged/,
  );
  assert.throws(() => readWriteLog(new Uint8Array(20)), /has 20 bytes/);
  assert.throws(() => readWriteLog(new Uint8Array(0)), /has 0 bytes/);
});

/** What a disk holds at `point`. */
function at(point: CrashPoint, of = entries, from = log): string {
  const disk = letters();
  applyEntries(disk, from, of, 0, point.durable);
  applyLater(disk, from, of, point);
  return disk.toString();
}

test("at a flush all that was before it is there; flushes in a row are one; what comes last is an end too", () => {
  const points = flushBoundaries(entries);
  assert.equal(
    points.map((point) => point.durable),
    [2, 6, 8],
  );
  assert.equal(
    points.map((point) => at(point)),
    ["aa..b...", "cdddb...", "cdddb..e"],
  );
  assert.equal(flushBoundaries([]), []);
});

test("what came through later, in any order, torn", () => {
  const point = (later: number[], torn: number[] | null = null) => at({ durable: 4, later, torn });
  assert.is(point([5]), "adddb...");
  assert.is(point([4]), "ca..b...");
  assert.is(point([4, 5], [0, 2]), "cd.db...");
  assert.is(point([5], []), "aa..b...");
  assert.throws(() => point([99]), /another log/);
});

test("discarded sectors are zero, and the order of two writes to one place is that of the point", () => {
  const from = logOf([write(0, "a", 3), { sector: 1, count: 1, flags: 4 }, write(0, "b"), write(0, "c"), flush]);
  const of = readWriteLog(from);
  assert.is(at({ durable: 2, later: [], torn: null }, of, from), "a.a.....");
  assert.is(at({ durable: 0, later: [3, 2], torn: null }, of, from), "b.......");
  assert.is(at({ durable: 0, later: [2, 3], torn: null }, of, from), "c.......");
});

test("samples keep to one span between flushes, half of them torn, and are the same for the same seed", () => {
  const points = reorderings(entries, 400, randomNumbers(7));
  assert.equal(points, reorderings(entries, 400, randomNumbers(7)));
  const spans = new Set(points.map((point) => `${point.durable}: ${point.later.join(" ")}`));
  assert.equal([...spans].sort(), ["0: 0", "0: 0 1", "0: 1", "0: 1 0", "4: 4", "4: 4 5", "4: 5", "4: 5 4", "7: 7"]);
  const torn = points.filter((point) => point.torn !== null);
  assert.ok(torn.length > 50);
  for (const { later, torn: sectors } of torn) {
    const last = entries[later.at(-1) ?? -1];
    const count = last?.kind === "write" ? last.length / SECTOR : 0;
    assert.ok((sectors?.length ?? 0) < count && sectors?.every((sector) => sector < count));
  }
  assert.ok(torn.some(({ torn: sectors }) => sectors?.join() === "1" || sectors?.join() === "2" || sectors?.join() === "1,2"));
});

test("a durable write is always there, and never torn", () => {
  const of: LogEntry[] = [
    { kind: "write", offset: 0, length: 4096, dataAt: 0, durable: true },
    { kind: "write", offset: 4096, length: 512, dataAt: 0, durable: false },
    { kind: "flush" },
  ];
  for (const { later, torn } of reorderings(of, 200, randomNumbers(1))) {
    assert.ok(later.includes(0));
    assert.is(torn, null);
  }
});

test("a log without writes has nothing to reorder", () => {
  assert.equal(reorderings([{ kind: "flush" }], 5, randomNumbers(1)), []);
});

test("a point is described by its entries", () => {
  assert.is(describePoint({ durable: 4, later: [], torn: null }, entries), "after 4 of 8 entries");
  assert.is(
    describePoint({ durable: 4, later: [5, 4], torn: [] }, entries),
    "after 4 of 8 entries, and 5, 4 (of the last only the sectors none)",
  );
});

test.run();
