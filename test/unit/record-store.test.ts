import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { decodeFrame, encodeFrame } from "../../boot/record/frame.ts";
import { cutReason, REASON_LENGTH } from "../../boot/record/reason.ts";
import type { BootRecord } from "../../boot/record/record.ts";
import { encodeRecord, freshRecord, RECORD_LAYOUT, readRecord } from "../../boot/record/store.ts";
import { MOST_TRIED } from "../../boot/recovery/step.ts";
import { countTry, reachHandover } from "../../boot/selection/attempt.ts";

const policy = { slots: ["a", "b"], tries: { trial: 3, committed: 10 } };
const imageId = "ab".repeat(32);
const old: BootRecord = { ...freshRecord(policy), dataFilesystem: "an old record's filesystem", lastKnownUnixMs: 1 };
const fresh: BootRecord = countTry(old, "a");

function area(...parts: Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(RECORD_LAYOUT.areaSize);
  for (const part of parts) bytes.set(part);
  return bytes;
}

function blank(): Uint8Array {
  return area();
}

/** Noise that repeats. */
function noise(seed: number): Uint8Array {
  let state = seed;
  return Uint8Array.from({ length: RECORD_LAYOUT.areaSize }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  });
}

/** What a cut leaves of writing `next` over the start of `before`: its first `length` bytes. */
function torn(before: Uint8Array, next: Uint8Array, length: number): Uint8Array {
  return area(before, next.subarray(0, length));
}

/** A payload that is framed as it should be, whatever it says. */
function framed(value: unknown, sequence = 5): Uint8Array {
  return area(encodeFrame("record", sequence, new TextEncoder().encode(JSON.stringify(value))));
}

test("what is written is read, from either copy", () => {
  const bytes = encodeRecord(old, 7);
  assert.is(bytes.length, RECORD_LAYOUT.writeUnit);
  for (const copies of [[area(bytes), blank()] as const, [blank(), area(bytes)] as const]) {
    const reading = readRecord([copies[0], copies[1]]);
    assert.equal(reading, { condition: "valid", record: old, sequence: 7, nextCopy: copies[0][0] === 0 ? 0 : 1, reason: null });
  }
});

test("the frame's bytes are as documented", () => {
  const bytes = encodeFrame("record", 0x0102030405, new Uint8Array([9, 8]));
  assert.is(Buffer.from(bytes.subarray(0, 24)).toString("hex"), "736c697077617952010000000504030201000000" + "02000000");
  assert.is(
    Buffer.from(bytes.subarray(24, 56)).toString("hex"),
    new Bun.CryptoHasher("sha256").update(bytes.subarray(0, 24)).update(bytes.subarray(56)).digest("hex"),
  );
  assert.equal([...bytes.subarray(56)], [9, 8]);
});

test("a record is canonical JSON: the same record, the same bytes", () => {
  const shuffled: BootRecord = { ...Object.fromEntries(Object.entries(old).reverse()), ...old };
  assert.equal(encodeRecord({ ...shuffled, slots: { b: slot("b"), a: slot("a") } }, 1), encodeRecord(old, 1));
});

function slot(name: string) {
  const found = old.slots[name];
  if (found === undefined) throw new Error(name);
  return found;
}

test("both areas zero: empty", () => {
  assert.equal(readRecord([blank(), blank()]), { condition: "empty", record: null, sequence: 0, nextCopy: 0, reason: null });
});

test("the higher sequence wins, and the other copy is written next", () => {
  const first = readRecord([area(encodeRecord(old, 1)), area(encodeRecord(fresh, 2))]);
  assert.equal([first.record, first.sequence, first.nextCopy], [fresh, 2, 0]);
  const second = readRecord([area(encodeRecord(fresh, 3)), area(encodeRecord(old, 2))]);
  assert.equal([second.record, second.sequence, second.nextCopy], [fresh, 3, 1]);
});

test("every torn write of a copy leaves the other one's record, or the new one", () => {
  const stale = encodeRecord({ ...old, dataFilesystem: "older still" }, 1);
  for (const nextCopy of [0, 1] as const) {
    for (const under of [area(stale), blank(), noise(3)]) {
      const next = encodeRecord(fresh, 3);
      for (let length = 0; length <= next.length; length += 512) {
        const cut = torn(under, next, length);
        const kept = area(encodeRecord(old, 2));
        const reading = readRecord(nextCopy === 0 ? [cut, kept] : [kept, cut]);
        const whole = decodeFrame("record", cut).frame?.sequence === 3;
        assert.is(reading.condition, "valid");
        assert.equal(reading.record, whole ? fresh : old, `${length} bytes in copy ${nextCopy}`);
        assert.is(reading.nextCopy, whole ? 1 - nextCopy : nextCopy, "the valid copy would be overwritten");
      }
      const done = readRecord(
        nextCopy === 0
          ? [torn(under, next, next.length), area(encodeRecord(old, 2))]
          : [area(encodeRecord(old, 2)), torn(under, next, next.length)],
      );
      assert.equal(done.record, fresh);
    }
  }
});

test("every torn first write is empty, unreadable, or the new record", () => {
  const next = encodeRecord(old, 1);
  for (let length = 0; length <= next.length; length += 1) {
    const reading = readRecord([torn(blank(), next, length), blank()]);
    const payloadEnd = Buffer.from(next).lastIndexOf(0x0a) + 1;
    assert.is(reading.condition, length === 0 ? "empty" : length < payloadEnd ? "unreadable" : "valid", `${length} bytes`);
    if (reading.condition === "unreadable") assert.match(reading.reason ?? "", /^copy 0: /);
    if (reading.condition === "valid") assert.equal(reading.record, old);
  }
});

test("every flipped byte of a frame is noticed", () => {
  const good = encodeFrame("record", 4, new TextEncoder().encode('{"schema":1}'));
  for (let index = 0; index < good.length; index += 1) {
    const bad = good.slice();
    bad[index] = (bad[index] ?? 0) ^ 0x40;
    const { frame, reason } = decodeFrame("record", bad);
    assert.is(frame, null, `byte ${index}`);
    assert.type(reason, "string");
  }
});

test("garbage in either copy leaves the other one, in both it is unreadable and says why", () => {
  const good = area(encodeRecord(old, 2));
  assert.equal(readRecord([noise(1), good]).record, old);
  assert.is(readRecord([noise(1), good]).nextCopy, 0);
  assert.equal(readRecord([good, noise(1)]).record, old);
  assert.is(readRecord([good, noise(1)]).nextCopy, 1);
  const both = readRecord([noise(1), noise(2)]);
  assert.equal([both.condition, both.record, both.nextCopy], ["unreadable", null, 0]);
  assert.match(both.reason ?? "", /copy 0: begins with .*; copy 1: begins with /);
});

test("any bytes at all are read without a throw", () => {
  const bytes = fc.uint8Array({ maxLength: 300 });
  const head = encodeFrame("record", 1, new Uint8Array(0)).subarray(0, 20);
  const shaped = bytes.map((rest) => Uint8Array.from([...head, ...rest]));
  fc.assert(
    fc.property(fc.oneof(bytes, shaped), bytes, (first, second) => {
      const reading = readRecord([first, second]);
      assert.is.not(reading.condition, "valid");
    }),
  );
});

test("a payload of another shape is unreadable and says which key", () => {
  const plain: unknown = JSON.parse(JSON.stringify(old));
  const cases: [unknown, RegExp][] = [
    [{ ...old, schema: 2 }, /schema/],
    [{ ...old, surprise: 1 }, /surprise/],
    [{ ...old, uncleanEnds: undefined }, /uncleanEnds/],
    [{ ...old, uncleanEnds: -1 }, /uncleanEnds/],
    [{ ...old, slots: [] }, /slots/],
    [{ ...old, slots: { a: { ...slot("a"), tries: "3" } } }, /slots\.a\.tries/],
    [{ ...old, slots: { a: { ...slot("a"), state: "good" } } }, /slots\.a\.state/],
    [{ ...old, slots: { a: { ...slot("a"), imageId: "AB".repeat(32) } } }, /slots\.a\.imageId/],
    [{ ...old, attempt: { number: 1 } }, /attempt\.slot/],
    [{ ...old, quarantined: [{ imageId, reason: "r", attempt: 1.5 }] }, /quarantined\[0\]\.attempt/],
    [{ ...old, lastCommitted: { slot: "a", imageId: null } }, /lastCommitted\.imageId/],
    [{ ...old, lastCommitted: { slot: "a", imageId, attempt: -1 } }, /lastCommitted\.attempt/],
    [{ ...old, lastCommitted: { slot: "a", imageId, attempt: null } }, /lastCommitted\.attempt/],
    ["a text", /object/],
    [null, /object/],
  ];
  const { attempt } = fresh;
  for (const degraded of [false, null, "yes", 1])
    cases.push([{ ...fresh, attempt: { ...attempt, degraded } }, /attempt\.degraded/]);
  assert.is(readRecord([framed(plain), blank()]).condition, "valid");
  for (const [value, key] of cases) {
    const reading = readRecord([framed(value), blank()]);
    assert.is(reading.condition, "unreadable", JSON.stringify(value));
    assert.match(reading.reason ?? "", key);
    assert.is(reading.sequence, 5, "the next write has to go beyond it");
    assert.equal(readRecord([framed(value, 9), area(encodeRecord(old, 2))]).record, old);
  }
  const notJson = area(encodeFrame("record", 1, new Uint8Array([0xff, 0x7b])));
  assert.is(readRecord([notJson, blank()]).condition, "unreadable");
});

test("how often the bootloader named what cannot boot is a whole number, and absent in other records", () => {
  assert.is(readRecord([framed({ ...fresh, spentNamed: 3 }), blank()]).record?.spentNamed, 3);
  assert.is("spentNamed" in (readRecord([framed(fresh), blank()]).record ?? {}), false);
  for (const spentNamed of [-1, 1.5, "3", null]) {
    assert.match(readRecord([framed({ ...fresh, spentNamed }), blank()]).reason ?? "", /spentNamed must be/);
  }
});

test("what a recovery left in the record is read strictly, and within bounds", () => {
  const step = { rung: "safe-mode", slot: "a", imageId };
  const recovery = { asked: "ladder", tried: [step, { ...step, imageId: null }], current: { ...step, rung: "repair" } };
  assert.equal(readRecord([framed({ ...fresh, recovery }), blank()]).record?.recovery, recovery);
  const nothing = { asked: null, tried: [], current: null };
  assert.equal(readRecord([framed({ ...fresh, recovery: nothing }), blank()]).record?.recovery, nothing);
  assert.is("recovery" in (readRecord([framed(fresh), blank()]).record ?? {}), false, "none in records of other versions");
  const cases: [unknown, RegExp][] = [
    [null, /recovery must be an object, is null/],
    [{ ...recovery, since: 1 }, /recovery\.since is not known/],
    [{ ...recovery, asked: undefined }, /recovery\.asked is missing/],
    [{ ...recovery, asked: "reboot" }, /recovery\.asked must be "previous-generation" or .* or "ladder", is "reboot"/],
    [{ ...recovery, tried: {} }, /recovery\.tried must be a list/],
    [{ ...recovery, tried: [{ ...step, rung: "ladder" }] }, /recovery\.tried\[0\]\.rung must be/],
    [{ ...recovery, tried: [{ ...step, slot: "" }] }, /recovery\.tried\[0\]\.slot must be/],
    [{ ...recovery, tried: [{ ...step, slot: "x".repeat(65) }] }, /recovery\.tried\[0\]\.slot must be a text of at most 64/],
    [{ ...recovery, tried: [{ ...step, imageId: "AB".repeat(32) }] }, /recovery\.tried\[0\]\.imageId must be 64 hex digits/],
    [{ ...recovery, tried: [{ ...step, ok: true }] }, /recovery\.tried\[0\]\.ok is not known/],
    [{ ...recovery, tried: Array.from({ length: MOST_TRIED + 1 }, () => step) }, /recovery\.tried must be a list of at most 24/],
    [{ ...recovery, current: "repair" }, /recovery\.current must be an object/],
    [{ ...recovery, current: { slot: "a", imageId } }, /recovery\.current\.rung is missing/],
  ];
  for (const [wrong, reason] of cases) {
    const reading = readRecord([framed({ ...fresh, recovery: wrong }), blank()]);
    assert.is(reading.condition, "unreadable", JSON.stringify(wrong));
    assert.match(reading.reason ?? "", reason);
  }
});

test("a record of a version that knew no degraded attempts is read as one without", () => {
  const text = new TextDecoder().decode(encodeRecord(fresh, 1));
  assert.not.match(text, "degraded", "and that version reads what is written where nothing is degraded");
  assert.is(readRecord([framed(fresh), blank()]).record?.attempt?.degraded, undefined);
  const degraded = reachHandover(fresh, true);
  assert.is(readRecord([area(encodeRecord(degraded, 1)), blank()]).record?.attempt?.degraded, true);
});

test("a journal's frame is no record", () => {
  const foreign = area(encodeFrame("journal", 1, new TextEncoder().encode(JSON.stringify(old))));
  assert.is(readRecord([foreign, blank()]).condition, "unreadable");
});

test("the fullest record fits its area", () => {
  const reason = cutReason("€".repeat(200));
  const names = Array.from({ length: 16 }, (_, index) => `${index}`.padStart(64, "n"));
  const step = { rung: "previous-generation", slot: names[0] ?? "", imageId } as const;
  const full: BootRecord = {
    schema: 1,
    slots: Object.fromEntries(
      names.map((name, index) => [
        name,
        { state: "committed", priority: index + 1, tries: Number.MAX_SAFE_INTEGER, imageId, credits: 3, damaged: reason, reason },
      ]),
    ),
    attempt: {
      number: Number.MAX_SAFE_INTEGER,
      slot: names[0] ?? "",
      imageId,
      trial: false,
      stage: "handover",
      cleanEnd: false,
      degraded: true,
    },
    lastCommitted: { slot: names[0] ?? "", imageId, attempt: Number.MAX_SAFE_INTEGER },
    uncleanEnds: Number.MAX_SAFE_INTEGER,
    exhausted: Number.MAX_SAFE_INTEGER,
    quarantined: Array.from({ length: 16 }, () => ({ imageId, reason, attempt: Number.MAX_SAFE_INTEGER })),
    dataFilesystem: "€".repeat(64),
    floors: { install: Number.MAX_SAFE_INTEGER, boot: Number.MAX_SAFE_INTEGER },
    channelSerials: Object.fromEntries(names.map((name) => [name, Number.MAX_SAFE_INTEGER])),
    recovery: { asked: "previous-generation", tried: Array.from({ length: MOST_TRIED }, () => step), current: step },
    lastKnownUnixMs: Number.MAX_SAFE_INTEGER,
  };
  const readBack = (record: BootRecord) => {
    const bytes = encodeRecord(record, Number.MAX_SAFE_INTEGER);
    assert.ok(bytes.length <= RECORD_LAYOUT.areaSize && bytes.length % RECORD_LAYOUT.writeUnit === 0);
    return readRecord([area(bytes), blank()]).record;
  };
  const { recovery, ...withoutRecovery } = full;
  assert.equal(readBack(withoutRecovery), withoutRecovery);
  const english: BootRecord = JSON.parse(JSON.stringify(full).replaceAll("€", "e"));
  assert.equal(readBack(english), english);
  // Nothing makes reasons without an ASCII letter in every slot; if something did, what was tried last would be kept.
  const { recovery: kept, ...rest } = readBack(full) ?? { ...fresh };
  assert.equal(rest, withoutRecovery);
  assert.equal({ ...kept, tried: recovery?.tried }, recovery);
  const steps = kept?.tried.length ?? 0;
  assert.ok(steps >= 6 && steps < MOST_TRIED, `${steps} steps`);
});

test("of more steps than a record may hold the newest are written", () => {
  const tried = Array.from({ length: MOST_TRIED + 3 }, (_, index) => ({ rung: "repair" as const, slot: `s${index}`, imageId }));
  const record: BootRecord = { ...fresh, recovery: { asked: null, tried, current: null } };
  const read = readRecord([area(encodeRecord(record, 1)), blank()]);
  assert.is(read.condition, "valid");
  assert.equal(read.record?.recovery?.tried, tried.slice(3));
});

test("the layout holds together", () => {
  const [first, second] = RECORD_LAYOUT.copyOffsets;
  assert.ok(first + RECORD_LAYOUT.areaSize <= second && second - first >= 1024 * 1024);
  assert.ok(second + RECORD_LAYOUT.areaSize <= RECORD_LAYOUT.journalOffset);
  assert.ok(RECORD_LAYOUT.journalOffset + RECORD_LAYOUT.journalSize <= RECORD_LAYOUT.minimumPartitionSize);
});

test("a fresh record has every slot on trial, in the control file's order", () => {
  const { slots } = freshRecord({ ...policy, slots: ["x", "y", "z"] });
  assert.equal(
    Object.entries(slots).map(([name, { state, priority, tries }]) => [name, state, priority, tries]),
    [
      ["x", "trial", 3, 3],
      ["y", "trial", 2, 3],
      ["z", "trial", 1, 3],
    ],
  );
});

test("reasons are one well-formed line of at most 160 characters", () => {
  assert.is(cutReason("no init in the root"), "no init in the root");
  assert.is(cutReason("two\nlines\u0000and\ttabs "), "two lines and tabs");
  assert.is(cutReason(" \n"), "no reason was given");
  assert.is(cutReason("x".repeat(160)).length, 160);
  assert.is(cutReason("x".repeat(161)), `${"x".repeat(159)}…`);
  assert.is(cutReason(`${"x".repeat(158)}😀😀`), `${"x".repeat(158)}…`);
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 400 }), (text) => {
      const cut = cutReason(text);
      assert.ok(cut.isWellFormed() && cut.length > 0 && cut.length <= REASON_LENGTH);
      assert.is(cutReason(cut), cut);
    }),
  );
});

test.run();
