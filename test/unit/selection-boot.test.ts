import { test } from "uvu";
import * as assert from "uvu/assert";
import type { SlotRecord } from "../../boot/record/record.ts";
import { freshRecord } from "../../boot/record/store.ts";
import { countTry, failAttempt, identifyImage, reachHandover } from "../../boot/selection/attempt.ts";
import { beginBoot, endOfLastTry } from "../../boot/selection/begin.ts";
import { giveUp } from "../../boot/selection/give-up.ts";
import { selectSlot } from "../../boot/selection/select.ts";
import { slotOf } from "../../boot/selection/slots.ts";
import {
  attemptOf,
  committed,
  imageA,
  imageB,
  imageNew,
  policy,
  recordOf,
  standing,
  three,
  trial,
} from "./selection-fixtures.ts";

const facts = { preferred: null, failed: new Map<string, string>(), recordWritable: true };

test("a slot is chosen by priority among those that have tries, are not damaged and have not failed", () => {
  const cases: [string, Partial<SlotRecord>, Partial<SlotRecord>, Map<string, string>, string | null, string[]][] = [
    ["highest priority", {}, {}, new Map(), "a", []],
    ["priority decides, not state", { priority: 1 }, { priority: 2 }, new Map(), "b", []],
    ["no tries left", { tries: 0 }, {}, new Map(), "b", ["a: no tries left"]],
    ["given up", { tries: 0, reason: "marked bad" }, {}, new Map(), "b", ["a: marked bad"]],
    ["damaged", { damaged: "bad hash" }, {}, new Map(), "b", ["a: damaged: bad hash"]],
    ["empty", { state: "empty" }, {}, new Map(), "b", ["a: empty"]],
    ["failed in this boot", {}, {}, new Map([["a", "no init"]]), "b", ["a: no init"]],
    ["none", { tries: 0 }, {}, new Map([["b", "no init"]]), null, ["a: no tries left", "b: no init"]],
  ];
  for (const [name, a, b, failed, expected, skipped] of cases) {
    const selection = selectSlot(recordOf({ a, b }), { ...facts, failed }, policy);
    assert.is(selection.slot, expected, name);
    assert.equal(
      selection.skipped.map(({ slot, reason }) => `${slot}: ${reason}`),
      skipped,
      name,
    );
    assert.equal(selection.notes, [], name);
  }
});

test("the reason for the choice can be read", () => {
  assert.is(selectSlot(recordOf(), facts, policy).why, "first of the slots that can boot (committed, 10 of 10 tries left)");
  const asked = selectSlot(recordOf({ b: { tries: 2 } }), { ...facts, preferred: "b" }, policy);
  assert.is(asked.why, "asked for (on trial, 2 of 3 tries left)");
  assert.is(selectSlot(recordOf({ a: { tries: 0 }, b: { tries: 0 } }), facts, policy).why, "no slot can boot");
});

test("a slot that was asked for wins if it is a candidate, else a note says why not", () => {
  const ask = (preferred: string, b: Partial<SlotRecord> = {}) => selectSlot(recordOf({ b }), { ...facts, preferred }, policy);
  assert.is(ask("b").slot, "b");
  assert.is(ask("a").slot, "a");
  const used = ask("b", { tries: 0, reason: "trial used up" });
  assert.is(used.slot, "a");
  assert.equal(used.notes, ['slot "b" was asked for and is passed over: trial used up']);
  assert.equal(ask("x").notes, ['slot "x" was asked for and is passed over: there is no such slot']);
  assert.equal(ask("__proto__").slot, "a");
});

test("without a record that can be written only committed slots boot, and this is said", () => {
  const blocked = { ...facts, recordWritable: false };
  const plain = selectSlot(recordOf({ a: { priority: 1 }, b: { priority: 2 } }), blocked, policy);
  assert.is(plain.slot, "a");
  assert.equal(plain.skipped, [{ slot: "b", reason: "not committed, and the boot record cannot be written" }]);
  assert.match(plain.notes[0] ?? "", /cannot be written/);
  assert.is(selectSlot(recordOf(), { ...blocked, preferred: "b" }, policy).slot, "a");
  assert.is(selectSlot(freshRecord(policy), blocked, policy).slot, null);
});

test("without a record that can be written a committed slot is used even when its tries are used up", () => {
  const blocked = { ...facts, recordWritable: false };
  const used = recordOf({ a: { tries: 0 }, b: { state: "committed", tries: 0, damaged: "bad hash" } });
  assert.is(selectSlot(used, blocked, policy).slot, "a");
  assert.is(selectSlot({ ...used, lastCommitted: { slot: "b", imageId: imageB } }, blocked, policy).slot, "b");
  const failed = new Map([
    ["a", "no init"],
    ["b", "no init"],
  ]);
  assert.is(selectSlot(used, { ...blocked, failed }, policy).slot, null);
});

test("counting takes one try and opens an attempt", () => {
  const counted = countTry(recordOf({}, { attempt: attemptOf("a", { number: 41 }) }), "b");
  assert.is(standing(counted), "a:10 b:2");
  assert.equal(counted.attempt, { number: 42, slot: "b", imageId: imageB, trial: true, stage: "counted", cleanEnd: false });
  assert.is(countTry(recordOf(), "a").attempt?.number, 1);
  assert.is(countTry(recordOf(), "a").attempt?.trial, false);
  assert.is(slotOf(countTry(recordOf({ a: { tries: 0 } }), "a"), "a").tries, 0);
});

test("an image is identified after it was counted", () => {
  const cases: [string, Partial<SlotRecord>, string, Partial<SlotRecord>, boolean][] = [
    ["the recorded one", {}, imageA, { state: "committed", tries: 9 }, false],
    [
      "not known before",
      { state: "trial", tries: 3, imageId: null },
      imageA,
      { state: "trial", tries: 2, imageId: imageA },
      false,
    ],
    [
      "another one in a committed slot",
      { credits: 2, reason: "x", damaged: null },
      imageNew,
      { state: "trial", tries: 2, imageId: imageNew, credits: 0, reason: null },
      true,
    ],
    ["another one on trial", { state: "trial", tries: 3 }, imageNew, { state: "trial", tries: 2, imageId: imageNew }, true],
    [
      "another one on its last try",
      { state: "trial", tries: 1 },
      imageNew,
      { state: "trial", tries: 0, imageId: imageNew },
      true,
    ],
  ];
  for (const [name, a, imageId, expected, noted] of cases) {
    const { record, note } = identifyImage(countTry(recordOf({ a }), "a"), "a", imageId, policy);
    assert.equal(slotOf(record, "a"), { ...slotOf(recordOf({ a }), "a"), ...expected }, name);
    assert.is(record.attempt?.imageId, imageId, name);
    assert.is(record.attempt?.trial, expected.state === "trial", name);
    assert.is(note !== null, noted, name);
  }
});

test("an image that changes at every boot does not hold the machine", () => {
  let record = recordOf();
  let boots = 0;
  while (selectSlot(record, facts, policy).slot === "a" && boots < 50) {
    boots += 1;
    const imageId = `${boots}`.padStart(64, "0");
    record = reachHandover(identifyImage(countTry(beginBoot(record, policy).record, "a"), "a", imageId, policy).record);
  }
  assert.is(boots, 3);
});

test("a failure in PID 1 closes the attempt: no unclean end, nothing to close at the next boot", () => {
  for (const kind of ["proof", "boot", "device"] as const) {
    const failed = failAttempt(countTry(recordOf(), "a"), { kind, reason: "why\nso" });
    const { record, previous } = beginBoot(failed, policy);
    assert.is(previous, null);
    assert.is(record.uncleanEnds, 0);
    assert.is(slotOf(record, "a").damaged, kind === "proof" ? "why so" : null);
    assert.is(slotOf(record, "a").tries, 9);
  }
  assert.equal(failAttempt(recordOf(), { kind: "proof", reason: "x" }), recordOf());
  assert.equal(reachHandover(recordOf()), recordOf());
});

test("the end of the last attempt is judged at the next boot", () => {
  const cases: [string, Parameters<typeof attemptOf>[1], "clean" | "unclean", number][] = [
    ["power cut in PID 1", { stage: "counted" }, "unclean", 3],
    ["hang after the handover", { stage: "handover" }, "unclean", 3],
    ["power cut of a good system", { stage: "good" }, "unclean", 3],
    ["clean shutdown before commit", { stage: "handover", cleanEnd: true }, "clean", 2],
    ["clean shutdown of a good system", { stage: "good", cleanEnd: true }, "clean", 2],
  ];
  for (const [name, change, ended, uncleanEnds] of cases) {
    const { record, previous } = beginBoot(recordOf({}, { attempt: attemptOf("a", change), uncleanEnds: 2 }), policy);
    assert.equal(
      previous,
      { attempt: 7, slot: "a", imageId: imageA, trial: false, stage: change?.stage ?? "handover", ended },
      name,
    );
    assert.is(record.uncleanEnds, uncleanEnds, name);
    assert.is(beginBoot(record, policy).previous, null, `${name}: counted once`);
    assert.is(beginBoot(record, policy).record.uncleanEnds, uncleanEnds, `${name}: counted once`);
    assert.is(countTry(record, "a").attempt?.number, 8, name);
  }
  assert.is(beginBoot(freshRecord(policy), policy).previous, null);
});

test("a trial that used up its tries gets a reason, and quarantine only after the handover", () => {
  const end = (b: Partial<SlotRecord>, change: Parameters<typeof attemptOf>[1]) =>
    beginBoot(recordOf({ b }, { attempt: attemptOf("b", change) }), policy).record;
  const hung = end({ tries: 0 }, { stage: "handover" });
  assert.is(slotOf(hung, "b").reason, "trial used up without a commit");
  assert.equal(hung.quarantined, [{ imageId: imageB, reason: "trial used up without a commit", attempt: 7 }]);
  assert.is(end({ tries: 0 }, { stage: "handover", cleanEnd: true }).quarantined.length, 1);
  assert.equal(end({ tries: 0 }, { stage: "counted" }).quarantined, []);
  assert.is(slotOf(end({ tries: 0 }, { stage: "counted" }), "b").reason, "trial used up without a commit");
  assert.equal([end({ tries: 1 }, {}).quarantined, slotOf(end({ tries: 1 }, {}), "b").reason], [[], null]);
  assert.equal(end({ tries: 0 }, { imageId: imageNew }).quarantined, [], "another image lies there now");
  const committedOne = beginBoot(recordOf({ a: { tries: 0 } }, { attempt: attemptOf("a") }), policy).record;
  assert.equal([slotOf(committedOne, "a").reason, committedOne.quarantined], ["tries used up without a good boot", []]);
});

test("a trial that ran with degraded state is given up with that reason, and not quarantined", () => {
  const end = (b: Partial<SlotRecord>, change: Parameters<typeof attemptOf>[1]) =>
    beginBoot(recordOf({ b }, { attempt: attemptOf("b", change) }), policy).record;
  for (const cleanEnd of [true, false]) {
    const given = end({ tries: 0 }, { stage: "handover", degraded: true, cleanEnd });
    assert.is(slotOf(given, "b").reason, "trial used up without a commit; last: it ran with degraded state");
    assert.equal(given.quarantined, []);
  }
  assert.is(slotOf(end({ tries: 1 }, { degraded: true }), "b").reason, null, "it has another try");
  const later = reachHandover(countTry(end({ tries: 1 }, { degraded: true }), "b"));
  assert.is(later.attempt?.degraded, undefined, "the next try is judged for itself");
  assert.is(beginBoot(later, policy).record.quarantined.length, 1);
  const committed = reachHandover(countTry(recordOf({ a: { tries: 1 } }), "a"), true);
  assert.is(
    slotOf(beginBoot(committed, policy).record, "a").reason,
    "tries used up without a good boot; last: it ran with degraded state",
  );
});

test("a trial whose last try showed that its slot is damaged is left for that, and its image is not quarantined", () => {
  const damaged = "block 150 of the data (byte 614400) is not the image's";
  for (const cleanEnd of [true, false]) {
    const { record } = beginBoot(recordOf({ b: { tries: 0, damaged } }, { attempt: attemptOf("b", { cleanEnd }) }), policy);
    assert.equal(record.quarantined, []);
    assert.equal([slotOf(record, "b").damaged, slotOf(record, "b").reason], [damaged, null]);
  }
});

test("the handover notes whether the system runs with degraded state", () => {
  const counted = countTry(recordOf(), "b");
  assert.equal(reachHandover(counted, true).attempt, { ...counted.attempt, stage: "handover", degraded: true });
  assert.equal(reachHandover(counted, false).attempt, { ...counted.attempt, stage: "handover" });
  const again = countTry(reachHandover(counted, true), "b");
  assert.not.ok("degraded" in (again.attempt ?? {}));
});

test("failures of device, content and proof never quarantine", () => {
  for (const kind of ["proof", "boot", "device"] as const) {
    let record = recordOf();
    for (let boots = 0; boots < 3; boots += 1) {
      record = failAttempt(countTry(beginBoot(record, policy).record, "b"), { kind, reason: "no disk" });
    }
    record = beginBoot(record, policy).record;
    assert.equal(record.quarantined, []);
    assert.is(slotOf(record, "b").reason, kind === "proof" ? null : "trial used up without a commit; last: no disk");
    assert.is(slotOf(record, "b").damaged, kind === "proof" ? "no disk" : null);
  }
});

test("quarantine holds each image once, the last 16", () => {
  let record = recordOf();
  for (const number of [...Array(20).keys(), 19]) {
    const imageId = `${number}`.padStart(64, "0");
    const slots = { ...record.slots, b: { ...trial, tries: 0, imageId } };
    record = beginBoot({ ...record, slots, attempt: attemptOf("b", { imageId, number: number + 1 }) }, policy).record;
  }
  assert.equal(
    record.quarantined.map(({ imageId }) => Number(imageId)),
    Array.from({ length: 16 }, (_, index) => index + 4),
  );
});

test("the record's slots become those of the control file, with priorities as ranks", () => {
  const added = beginBoot(recordOf({ a: { priority: 9, tries: 99 }, b: { priority: 4 } }), three);
  assert.is(standing(added.record), "a:10 b:3 c:3");
  assert.equal(
    Object.values(added.record.slots).map(({ priority }) => priority),
    [3, 2, 1],
  );
  assert.equal([slotOf(added.record, "c").state, slotOf(added.record, "c").imageId], ["trial", null]);
  assert.match(added.notes.join(), /slot c is new/);
  const dropped = beginBoot(recordOf({ c: {} }, { attempt: attemptOf("c") }), policy);
  assert.is(standing(dropped.record), "a:10 b:3");
  assert.match(dropped.notes.join(), /slot c is not in the control file/);
  assert.is(dropped.previous?.slot, "c");
});

test("giving up re-arms the last committed slot first, then the others in turn, even damaged ones", () => {
  let record = recordOf({
    a: { tries: 0, priority: 1, reason: "r" },
    b: { tries: 0, priority: 3, damaged: "bad hash" },
    c: { tries: 0, priority: 2 },
  });
  const rearmed: (string | null)[] = [];
  for (let round = 0; round < 7; round += 1) {
    const given = giveUp(record, three);
    rearmed.push(given.rearmed);
    const name = given.rearmed ?? "";
    assert.equal(slotOf(given.record, name), { ...slotOf(record, name), tries: 1, damaged: null, reason: null });
    record = { ...given.record, slots: { ...given.record.slots, [name]: { ...slotOf(given.record, name), tries: 0 } } };
  }
  assert.equal(rearmed, ["a", "b", "c", "a", "b", "c", "a"]);
});

test("giving up leaves tries that are left, and takes an empty slot last", () => {
  const left = giveUp(recordOf({ a: { tries: 4 }, b: { tries: 2 } }), policy);
  assert.is(standing(left.record), "a:4 b:2");
  const empty = recordOf({ a: { state: "empty", tries: 0, priority: 2 }, b: { tries: 0 } }, { lastCommitted: null });
  const first = giveUp(empty, policy);
  assert.is(first.rearmed, "b");
  const second = giveUp(first.record, policy);
  assert.equal([second.rearmed, slotOf(second.record, "a").state, slotOf(second.record, "a").tries], ["a", "trial", 1]);
});

test("the pause doubles from 5 seconds to 10 minutes", () => {
  let record = recordOf();
  const pauses: number[] = [];
  for (let round = 0; round < 9; round += 1) {
    const given = giveUp(record, policy);
    pauses.push(given.pauseSeconds);
    record = given.record;
  }
  assert.equal(pauses, [5, 10, 20, 40, 80, 160, 320, 600, 600]);
  assert.is(giveUp({ ...record, exhausted: Number.MAX_SAFE_INTEGER - 1 }, policy).pauseSeconds, 600);
});

test("nothing changes the record it was given", () => {
  const freeze = <T>(value: T): T => {
    if (typeof value === "object" && value !== null) for (const member of Object.values(Object.freeze(value))) freeze(member);
    return value;
  };
  const record = freeze(recordOf({ a: { tries: 0 } }, { attempt: attemptOf("a") }));
  const begun = freeze(beginBoot(record, three).record);
  const counted = freeze(countTry(begun, "b"));
  const identified = freeze(identifyImage(counted, "b", imageNew, policy).record);
  failAttempt(identified, { kind: "proof", reason: "x" });
  reachHandover(identified);
  giveUp(begun, three);
  assert.equal(slotOf(record, "a"), { ...committed, tries: 0 });
});

test("the end of a trial's last try counts only where no other attempt came in between", () => {
  for (const [change, slot, image, expected] of [
    [{ cleanEnd: true }, "a", imageA, "clean"],
    [{ cleanEnd: false }, "a", imageA, "unclean"],
    [{ cleanEnd: true }, "b", imageB, "none"],
    [{ cleanEnd: true }, "a", imageNew, "none"],
  ] as const) {
    const { previous } = beginBoot(
      recordOf({}, { attempt: attemptOf("a", { ...change, stage: "handover", imageId: imageA }) }),
      policy,
    );
    assert.is(endOfLastTry(previous, slot, image), expected);
  }
  assert.is(endOfLastTry(null, "a", imageA), "none");
});

test.run();
