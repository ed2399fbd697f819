/** Boot attributes in a partition table, held against cgpt and sgdisk, and torn at every sector. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { readEntries, readGpt } from "../../boot/devices/gpt.ts";
import type { TableRewrite } from "../../boot/devices/gpt-table.ts";
import {
  type BootBits,
  bitsOf,
  bootBits,
  type GptSlot,
  type GptTables,
  gptReading,
  readGptTables,
  withBootBits,
  writeView,
} from "../../boot/stores/gpt-attributes.ts";
import type { LoaderSlot, StoreView } from "../../boot/stores/view.ts";
import { chosenEntry, countedEntry } from "../samples/gpt-loaders.ts";

const directory = mkdtempSync(join(tmpdir(), "slipway-gpt-attributes-"));
test.after(() => rmSync(directory, { recursive: true, force: true }));
const file = join(directory, "disk");
const env = { ...process.env, PATH: `/usr/sbin:/sbin:${process.env.PATH}`, LC_ALL: "C" };

function run(program: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: "utf8", env });
  if (status !== 0) throw new Error(`${program} ${args.join(" ")}: ${stdout}${stderr}`);
  return stdout;
}

const KERNEL = "fe3a2a5d-4f32-41a7-b725-accc3285a309";
const slots: GptSlot[] = [
  { name: "a", bootname: "a", number: 1 },
  { name: "b", bootname: "b", number: 2 },
];

/** A disk of 8 MiB as sgdisk makes it, with bits of others in both entries. */
function newDisk(sectors = 16384): Uint8Array {
  writeFileSync(file, new Uint8Array(sectors * 512));
  const parts = [1, 2].flatMap((n) => [`-n${n}:${2048 * n}:${2048 * n + 2047}`, `-t${n}:${KERNEL}`, `-c${n}:KERN-${n}`]);
  run("sgdisk", "-o", ...parts, "-n3:6144:8191", "-A1:set:60", "-A2:set:63", "-A2:set:0", "-A2:set:57", file);
  return new Uint8Array(readFileSync(file));
}

const tablesOf = (bytes: Uint8Array): GptTables =>
  readGptTables((offset, length) => bytes.slice(Number(offset), Number(offset) + length), BigInt(bytes.length), 512);

function applied(bytes: Uint8Array, rewrite: TableRewrite | string): Uint8Array {
  if (typeof rewrite === "string") throw new Error(rewrite);
  const after = bytes.slice();
  for (const { offset, bytes: piece } of rewrite.flat()) after.set(piece, Number(offset));
  return after;
}

function viewIn(bytes: Uint8Array): StoreView {
  const reading = gptReading(tablesOf(bytes), slots);
  if (reading.view === null) throw new Error(reading.reason);
  return reading.view;
}

const write = (bytes: Uint8Array, view: StoreView) => applied(bytes, writeView(tablesOf(bytes), view, slots));

const trialOfB: StoreView = {
  slots: { a: { priority: 1, tries: null, good: true }, b: { priority: 2, tries: 3, good: null } },
  nonce: null,
};
const committedB: StoreView = {
  slots: { a: { priority: 1, tries: null, good: true }, b: { priority: 2, tries: null, good: true } },
  nonce: null,
};

interface Vector {
  name: string;
  bits: BootBits[];
  entries: Uint8Array[];
}

const vectors = readFileSync(join(import.meta.dirname, "../vectors/gpt/attributes.txt"), "utf8")
  .split("\n== ")
  .slice(1)
  .map((text): Vector => {
    const lines = text.split("\n");
    const bits = [...text.matchAll(/^cgpt add -i \d -P (\d+) -T (\d+) -S (\d)$/gm)].map(([, priority, tries, successful]) => ({
      priority: Number(priority),
      tries: Number(tries),
      successful: successful === "1",
    }));
    const entries = [...text.matchAll(/^entry \d: ([0-9a-f]+)$/gm)].map(([, hex]) => Uint8Array.fromHex(hex ?? ""));
    return { name: lines[0] ?? "", bits, entries };
  });

test("vectors: what cgpt wrote is what is read, and what is written again, bit for bit", () => {
  assert.is(vectors.length, 7);
  for (const { name, bits, entries } of vectors) {
    assert.is(entries.length, 2);
    for (const [index, entry] of entries.entries()) {
      const attributes = new DataView(entry.buffer).getBigUint64(48, true);
      const expected = bits[index];
      if (expected === undefined) throw new Error(name);
      assert.equal(bootBits(attributes), expected, name);
      assert.is(withBootBits(attributes, expected), attributes, name);
      const cleared = withBootBits(attributes, { priority: 0, tries: 0, successful: false });
      assert.is(cleared, index === 0 ? 1n << 60n : (1n << 63n) | (1n << 57n) | 1n, `${name}: bits of others`);
    }
  }
});

test("all bits of ours at once, and none of others", () => {
  const all = 0xffff_ffff_ffff_ffffn;
  assert.is(withBootBits(all, { priority: 0, tries: 0, successful: false }), 0xfe00_ffff_ffff_ffffn);
  assert.is(withBootBits(0n, { priority: 15, tries: 15, successful: true }), 0x01ff_0000_0000_0000n);
  assert.equal(bootBits(all), { priority: 15, tries: 15, successful: true });
});

const meanings: [BootBits, LoaderSlot][] = [
  [
    { priority: 9, tries: 0, successful: true },
    { priority: 1, tries: null, good: true },
  ],
  [
    { priority: 9, tries: 4, successful: true },
    { priority: 1, tries: null, good: true },
  ],
  [
    { priority: 9, tries: 4, successful: false },
    { priority: 1, tries: 4, good: null },
  ],
  [
    { priority: 9, tries: 0, successful: false },
    { priority: 1, tries: 0, good: null },
  ],
  [
    { priority: 0, tries: 0, successful: false },
    { priority: 0, tries: 0, good: false },
  ],
  [
    { priority: 0, tries: 1, successful: false },
    { priority: 0, tries: 1, good: false },
  ],
  [
    { priority: 0, tries: 0, successful: true },
    { priority: 0, tries: 0, good: false },
  ],
];
for (const [bits, expected] of meanings) {
  test(`P=${bits.priority} T=${bits.tries} S=${Number(bits.successful)} means ${JSON.stringify(expected)}`, () => {
    const disk = newDisk();
    run("cgpt", "add", "-i2", `-P${bits.priority}`, `-T${bits.tries}`, `-S${Number(bits.successful)}`, file);
    run("cgpt", "add", "-i1", "-P0", "-T0", "-S1", file);
    assert.equal(viewIn(new Uint8Array(readFileSync(file))).slots.b, expected);
    assert.is(disk.length, 8 * 1024 * 1024);
  });
}

const counting: ["chromeos" | "gptprio", BootBits, BootBits][] = [
  ["chromeos", { priority: 2, tries: 3, successful: false }, { priority: 2, tries: 2, successful: false }],
  ["chromeos", { priority: 2, tries: 1, successful: false }, { priority: 0, tries: 0, successful: false }],
  ["chromeos", { priority: 2, tries: 3, successful: true }, { priority: 2, tries: 3, successful: true }],
  ["gptprio", { priority: 2, tries: 3, successful: false }, { priority: 2, tries: 2, successful: false }],
  ["gptprio", { priority: 2, tries: 1, successful: false }, { priority: 2, tries: 0, successful: false }],
  ["gptprio", { priority: 2, tries: 3, successful: true }, { priority: 2, tries: 2, successful: true }],
  ["gptprio", { priority: 2, tries: 0, successful: true }, { priority: 2, tries: 0, successful: true }],
];
for (const [dialect, before, after] of counting) {
  test(`${dialect} counts ${JSON.stringify(before)}`, () => assert.equal(countedEntry(before, dialect), after));
}

for (const dialect of ["chromeos", "gptprio"] as const) {
  test(`a ${dialect} loader boots what a view says, as often as it says, and leaves it then`, () => {
    const boots: (number | null)[] = [];
    let entries = [trialOfB.slots.a, trialOfB.slots.b].map((slot) => bitsOf(slot ?? { priority: 0, tries: 0, good: false }));
    for (let boot = 0; boot < 5; boot++) {
      const chosen = chosenEntry(entries);
      boots.push(chosen);
      entries = entries.map((bits, index) => (index === chosen ? countedEntry(bits, dialect) : bits));
    }
    assert.equal(boots, [1, 1, 1, 0, 0]);
    const good = [committedB.slots.a, committedB.slots.b].map((slot) => bitsOf(slot ?? { priority: 0, tries: 0, good: false }));
    assert.is(chosenEntry(good), 1);
    assert.equal(
      countedEntry(good[1] ?? { priority: 0, tries: 0, successful: false }, dialect),
      good[1],
      "nothing is written for a good slot",
    );
  });
}

test("of two equal priorities the first partition ranks higher", () => {
  newDisk();
  for (const number of [1, 2]) run("cgpt", "add", `-i${number}`, "-P7", "-T1", file);
  const view = viewIn(new Uint8Array(readFileSync(file)));
  assert.equal([view.slots.a?.priority, view.slots.b?.priority], [2, 1]);
});

test("a table on which nobody wrote attributes is empty, one without our partition says nothing of that slot", () => {
  const disk = newDisk();
  assert.is(gptReading(tablesOf(disk), slots).condition, "empty");
  run("cgpt", "add", "-i1", "-P7", "-S1", file);
  const written = tablesOf(new Uint8Array(readFileSync(file)));
  const other: GptSlot[] = [...slots, { name: "c", bootname: "c", number: 9 }];
  assert.equal(Object.keys(gptReading(written, other).view?.slots ?? {}), ["a", "b"]);
  assert.is(gptReading(tablesOf(new Uint8Array(1024 * 1024)), slots).condition, "unreadable");
});

test("views that are written are read again, and cgpt and sgdisk read the same", () => {
  const bad: StoreView = { slots: { ...committedB.slots, a: { priority: 0, tries: 0, good: false } }, nonce: null };
  let disk = newDisk();
  for (const [view, a, b] of [
    [trialOfB, "priority=1 tries=0 successful=1", "priority=2 tries=3 successful=0 required=1"],
    [committedB, "priority=1 tries=0 successful=1", "priority=2 tries=0 successful=1 required=1"],
    [bad, "priority=0 tries=0 successful=0", "priority=2 tries=0 successful=1 required=1"],
  ] as const) {
    disk = write(disk, view);
    const read = viewIn(disk).slots;
    assert.equal([read.a?.good, read.b?.good], [view.slots.a?.good, view.slots.b?.good]);
    writeFileSync(file, disk);
    const shown = run("cgpt", "show", file);
    assert.equal(
      [...shown.matchAll(/Attr: (.*\S)/g)].map(([, text]) => text),
      [a, b],
    );
    assert.not.match(shown, /INVALID|ERROR/i);
    assert.match(run("sgdisk", "-v", file), /No problems found/);
    const entries = readEntries(known(tablesOf(disk)));
    assert.is((entries[1]?.attributes ?? 0n) & ~(0x1ffn << 48n), (1n << 63n) | (1n << 57n) | 1n);
    assert.equal(writeView(tablesOf(disk), view, slots), [], "the same view needs no write");
  }
});

function known({ table }: GptTables) {
  if (typeof table === "string") throw new Error(table);
  return table;
}

test("cgpt's change is seen, and kept where the next write is not about it", () => {
  const disk = write(newDisk(), trialOfB);
  writeFileSync(file, disk);
  run("cgpt", "add", "-i3", "-P9", "-T9", file);
  const after = write(new Uint8Array(readFileSync(file)), committedB);
  writeFileSync(file, after);
  assert.match(run("cgpt", "show", "-i3", "-A", file), /0x99/);
});

/** Every part of a stage may have reached the disk when the power goes: of more than six sectors every prefix and every single one. */
function* torn(bytes: Uint8Array, rewrite: TableRewrite): Generator<Uint8Array> {
  let before = bytes;
  for (const stage of rewrite) {
    const many = stage.length <= 6 ? 2 ** stage.length : 2 * stage.length;
    for (let part = 0; part < many; part++) {
      const isIn = (index: number) => {
        if (stage.length <= 6) return ((part >> index) & 1) === 1;
        return part < stage.length ? index < part : index === part - stage.length;
      };
      const after = before.slice();
      for (const [index, { offset, bytes: piece }] of stage.entries()) if (isIn(index)) after.set(piece, Number(offset));
      yield after;
    }
    before = applied(before, [stage]);
  }
  yield before;
}

/** At every cut there is a table with all partitions, which says the old view or the new one, and can be written again. */
function survives(before: Uint8Array, view: StoreView, old: StoreView | null): number {
  const rewrite = writeView(tablesOf(before), view, slots);
  if (typeof rewrite === "string") throw new Error(rewrite);
  let cuts = 0;
  for (const disk of torn(before, rewrite)) {
    const table = readGpt((offset, length) => disk.slice(Number(offset), Number(offset) + length), BigInt(disk.length), 512);
    if (typeof table === "string") throw new Error(table);
    assert.is(table.partitions.length, 3);
    const seen = gptReading(tablesOf(disk), slots).view;
    const allowed = [JSON.stringify(view), JSON.stringify(old)];
    assert.ok(allowed.includes(JSON.stringify(seen)), `a cut shows ${JSON.stringify(seen)}`);
    const again = write(disk, view);
    assert.equal(viewIn(again), view);
    cuts++;
  }
  return cuts;
}

test("a cut at any sector leaves one valid table, the old or the new", () => {
  const first = newDisk();
  assert.ok(survives(first, trialOfB, null) >= 8);
  assert.ok(survives(write(first, trialOfB), committedB, trialOfB) >= 8);
});

test("a damaged copy is written first, whole, and the other one stays valid meanwhile", () => {
  const disk = write(newDisk(), trialOfB);
  for (const [name, offset] of [
    ["primary header", 512 + 16],
    ["primary entries", 1024 + 7],
    ["backup header", disk.length - 512 + 16],
    ["backup entries", disk.length - 33 * 512 + 7],
  ] as const) {
    const damaged = disk.slice();
    damaged[offset] = (damaged[offset] ?? 0) ^ 0xff;
    assert.match(gptReading(tablesOf(damaged), slots).reason ?? "", /table is damaged/, name);
    assert.equal(viewIn(damaged), trialOfB, name);
    assert.ok(survives(damaged, committedB, trialOfB) > 30, name);
    writeFileSync(file, write(damaged, committedB));
    assert.match(run("sgdisk", "-v", file), /No problems found/, name);
  }
});

test("a backup where a smaller disk ended is accepted, said, and written where it is", () => {
  const small = write(newDisk(), trialOfB);
  const disk = new Uint8Array(small.length + 1024 * 1024);
  disk.set(small);
  const { reason, view } = gptReading(tablesOf(disk), slots);
  assert.equal(view, trialOfB);
  assert.match(reason ?? "", /^the backup table is at LBA 16383, not at the last, 18431; "sgdisk -e" moves it$/);
  assert.ok(survives(disk, committedB, trialOfB) >= 8);
  const after = write(disk, committedB);
  assert.is(known(tablesOf(after)).otherLba, 16383n);
  writeFileSync(file, after);
  run("sgdisk", "-e", file);
  assert.equal(viewIn(new Uint8Array(readFileSync(file))), committedB);
});

test("where something lies at the end of a disk that grew, the table is read and not written", () => {
  const small = write(newDisk(), trialOfB);
  const disk = new Uint8Array(small.length + 1024 * 1024);
  disk.set(small);
  disk[disk.length - 4000] = 7;
  assert.equal(viewIn(disk), trialOfB);
  assert.match(
    String(writeView(tablesOf(disk), committedB, slots)),
    /no room for a backup of the table at LBA 18431, where the kernel/,
  );
});

test("a table of a larger disk is read and not written: it has no backup", () => {
  const disk = write(newDisk(), trialOfB).slice(0, 7 * 1024 * 1024);
  assert.equal(viewIn(disk), trialOfB);
  assert.match(String(writeView(tablesOf(disk), committedB, slots)), /no room for a backup .* "sgdisk -e" makes one/);
});

test.run();
