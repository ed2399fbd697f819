import { test } from "uvu";
import * as assert from "uvu/assert";
import { encodeFrame } from "../../boot/record/frame.ts";
import { type JournalEntry, placeJournalEntry, readJournal } from "../../boot/record/journal.ts";
import { RECORD_LAYOUT } from "../../boot/record/store.ts";

function entry(attempt: number, change: Partial<JournalEntry> = {}): JournalEntry {
  return {
    attempt,
    slot: attempt % 2 === 0 ? "b" : "a",
    imageId: "cd".repeat(32),
    trial: false,
    stage: "counted",
    outcome: "running",
    reason: null,
    startedUnixMs: attempt * 1000,
    ...change,
  };
}

function blank(): Uint8Array {
  return new Uint8Array(RECORD_LAYOUT.journalSize);
}

function write(journal: Uint8Array, written: JournalEntry): void {
  const placed = placeJournalEntry(journal, written);
  journal.set(placed.bytes, placed.offset);
}

/** Three updates of each attempt from 1 to `last`. */
function filled(last: number): Uint8Array {
  const journal = blank();
  for (let attempt = 1; attempt <= last; attempt += 1) {
    write(journal, entry(attempt));
    write(journal, entry(attempt, { stage: "handover" }));
    write(journal, entry(attempt, { stage: "good", outcome: "good" }));
  }
  return journal;
}

test("a blank journal has no entries", () => {
  assert.equal(readJournal(blank()), []);
  assert.equal(readJournal(new Uint8Array(0)), []);
});

test("entries come back as they were written, newest first", () => {
  const journal = filled(3);
  assert.equal(
    readJournal(journal),
    [3, 2, 1].map((attempt) => entry(attempt, { stage: "good", outcome: "good" })),
  );
});

test("the last 32 attempts are kept", () => {
  const attempts = readJournal(filled(70)).map(({ attempt }) => attempt);
  assert.equal(
    attempts,
    Array.from({ length: 32 }, (_, index) => 70 - index),
  );
});

test("an entry is one aligned frame of the attempt's pair", () => {
  const journal = filled(40);
  for (const attempt of [40, 41, 63, 64, 96]) {
    const { offset, bytes } = placeJournalEntry(journal, entry(attempt));
    assert.is(bytes.length, RECORD_LAYOUT.journalEntrySize);
    assert.is(offset % RECORD_LAYOUT.journalEntrySize, 0);
    assert.is(Math.floor(offset / RECORD_LAYOUT.journalEntrySize / 2), attempt % 32);
  }
});

test("updates alternate between the two frames of the pair", () => {
  const journal = blank();
  const offsets = [1, 2, 3, 4].map(() => {
    const placed = placeJournalEntry(journal, entry(5));
    journal.set(placed.bytes, placed.offset);
    return placed.offset;
  });
  assert.is(new Set(offsets).size, 2);
  assert.ok(offsets.every((offset, index) => index === 0 || offset !== offsets[index - 1]));
});

test("every torn update leaves the former entry, or the new one; and all other attempts", () => {
  const starts: [string, Uint8Array, JournalEntry][] = [
    ["an update", filled(40), entry(40, { outcome: "failed", reason: "x".repeat(150) })],
    ["a new attempt over an old one", filled(40), entry(41, { reason: "y".repeat(150) })],
    ["the first of all", blank(), entry(1)],
  ];
  for (const [name, journal, next] of starts) {
    const before = readJournal(journal);
    const placed = placeJournalEntry(journal, next);
    const whole = journal.slice();
    whole.set(placed.bytes, placed.offset);
    const after = readJournal(whole);
    assert.equal(after[0], next);
    for (let length = 0; length <= placed.bytes.length; length += 64) {
      const cut = journal.slice();
      cut.set(placed.bytes.subarray(0, length), placed.offset);
      const seen = JSON.stringify(readJournal(cut));
      const expected = [JSON.stringify(before), JSON.stringify(after)];
      assert.ok(expected.includes(seen), `${name}, ${length} bytes`);
    }
    const garbage = journal.slice();
    garbage.fill(0xa5, placed.offset, placed.offset + placed.bytes.length);
    assert.equal(readJournal(garbage), before, `${name}, garbage`);
  }
});

test("garbage in any frame costs that frame alone", () => {
  const journal = filled(64);
  for (let offset = 0; offset < journal.length; offset += RECORD_LAYOUT.journalEntrySize) {
    const bad = journal.slice();
    bad.fill(0x5a, offset, offset + RECORD_LAYOUT.journalEntrySize);
    const entries = readJournal(bad);
    assert.is(entries.length, 32);
    assert.ok(entries.filter(({ outcome }) => outcome !== "good").length <= 1);
  }
});

test("after a lost record attempts begin anew and are still the newest", () => {
  const journal = filled(50);
  write(journal, entry(1, { outcome: "unclean" }));
  write(journal, entry(2));
  assert.equal(
    readJournal(journal)
      .slice(0, 3)
      .map(({ attempt }) => attempt),
    [2, 1, 50],
  );
});

test("reasons are cut", () => {
  const journal = blank();
  write(journal, entry(1, { outcome: "failed", reason: `${"x".repeat(158)}😀 and more` }));
  assert.is(readJournal(journal)[0]?.reason, `${"x".repeat(158)}…`);
});

test("notes come back, cut and five at most; entries without them are as they always were", () => {
  const journal = blank();
  const told = (attempt: number) => readJournal(journal).find((found) => found.attempt === attempt)?.notes;
  write(journal, entry(1));
  assert.not.ok("notes" in (readJournal(journal)[0] ?? {}));
  write(journal, entry(1, { notes: [] }));
  assert.is(told(1), undefined);
  write(journal, entry(1, { notes: ["degraded: /etc: no disk", "state\nwas lost"] }));
  assert.equal(told(1), ["degraded: /etc: no disk", "state was lost"]);
  write(journal, entry(2, { notes: Array.from({ length: 9 }, (_, number) => `note ${number}`) }));
  assert.equal(told(2), ["note 0", "note 1", "note 2", "note 3", "and 5 more notes, which /run/slipway/boot.json held"]);
  const widest = '€"'.repeat(200);
  write(journal, entry(3, { reason: widest, notes: [widest, widest, widest, widest, widest] }));
  assert.equal(
    told(3)?.map((note) => note.length),
    [160, 160, 160, 160, 160],
  );
});

test("an entry whose notes are none is left out", () => {
  for (const notes of ["x", [1], ["x".repeat(161)], Array.from({ length: 6 }, () => "x"), null]) {
    const journal = blank();
    const payload = new TextEncoder().encode(JSON.stringify({ ...entry(1), notes }));
    journal.set(encodeFrame("journal", 1, payload));
    assert.equal(readJournal(journal), [], JSON.stringify(notes));
  }
});

test("the kernel's boot id is kept, is no other text, and is not asked of entries that were written without", () => {
  const journal = blank();
  const bootId = "0123456789abcdef".repeat(2);
  write(journal, entry(1));
  write(journal, entry(2, { bootId }));
  assert.equal(readJournal(journal), [entry(2, { bootId }), entry(1)]);
  assert.not("bootId" in (readJournal(journal)[1] ?? {}));
  for (const wrong of ["", "0123", `${bootId}0`, bootId.toUpperCase(), "../../etc/passwd"]) {
    write(journal, entry(3, { bootId: wrong }));
    assert.equal(readJournal(journal), [entry(2, { bootId }), entry(1)], `"${wrong}" makes no entry`);
  }
});

test("the longest entry fits into its frame", () => {
  const long = "\u0800".repeat(160);
  const whole = entry(Number.MAX_SAFE_INTEGER - 1, {
    slot: "s".repeat(64),
    reason: long,
    notes: Array(5).fill(long),
    bootId: "f".repeat(32),
    startedUnixMs: Number.MAX_SAFE_INTEGER,
  });
  const journal = blank();
  write(journal, whole);
  assert.equal(readJournal(journal), [whole]);
});

test.run();
