import { test } from "uvu";
import * as assert from "uvu/assert";
import type { BootRecord, SlotRecord } from "../../boot/record/record.ts";
import { bootRecord } from "../../boot/record/shape.ts";
import { freshRecord } from "../../boot/record/store.ts";
import { countTry, failAttempt, identifyImage } from "../../boot/selection/attempt.ts";
import { bootFloor, installFloor, whyBelowFloor } from "../../boot/selection/floors.ts";
import { giveUp } from "../../boot/selection/give-up.ts";
import type { Policy } from "../../boot/selection/policy.ts";
import { quarantinedReason } from "../../boot/selection/quarantine.ts";
import { activate, commitSlot, markBad, rollBack, withdraw } from "../../boot/selection/running.ts";
import { selectSlot } from "../../boot/selection/select.ts";
import type { ControlTrust } from "../../state-ops/control.ts";
import { imageA, imageB, imageNew } from "./selection-fixtures.ts";

function signed(rollbackFloor = 0): ControlTrust {
  return { mode: "signed", keys: ["ab".repeat(32)], threshold: 1, rollbackFloor, kernelSignature: "ignored" };
}

const trust = signed();
const policy: Policy = { slots: ["a", "b"], tries: { trial: 3, committed: 10 }, trust };

/** A record with two slots, committed unless `change` says otherwise. */
function record(a: Partial<SlotRecord>, b: Partial<SlotRecord>, change: Partial<BootRecord> = {}): BootRecord {
  const slot = (imageId: string, priority: number): SlotRecord => ({
    ...{ state: "committed", priority, tries: 10, imageId, credits: 0, damaged: null, reason: null },
  });
  const slots = { a: { ...slot(imageA, 2), ...a }, b: { ...slot(imageB, 1), ...b } };
  return { ...freshRecord(policy), slots, ...change };
}

const facts = { preferred: null, failed: new Map<string, string>(), recordWritable: true };

test("the boot floor is the lowest index among the committed slots that can boot", () => {
  const floors = (a: Partial<SlotRecord>, b: Partial<SlotRecord>) => bootFloor(record(a, b), trust);
  assert.is(floors({ rollbackIndex: 5 }, { rollbackIndex: 3 }), 3);
  assert.is(floors({ rollbackIndex: 5 }, { rollbackIndex: 3, state: "trial" }), 5);
  assert.is(floors({ rollbackIndex: 5 }, { rollbackIndex: 3, tries: 0 }), 5);
  assert.is(floors({ rollbackIndex: 5 }, { rollbackIndex: 3, damaged: "torn" }), 5);
  assert.is(floors({ rollbackIndex: 5 }, {}), 0, "an image without a seal was committed");
  assert.is(floors({ state: "trial" }, { state: "empty" }), 0);
});

test("the last try of the fallback is no reason to refuse it", () => {
  const last = record({ rollbackIndex: 5 }, { rollbackIndex: 3, tries: 1 });
  const counted = countTry(last, "b");
  assert.is(counted.slots.b?.tries, 0);
  assert.is(whyBelowFloor(counted, 3, trust), null);
  assert.match(whyBelowFloor(counted, 2, trust) ?? "", /rollback index 2 is below the boot floor 3/);
  const failed = failAttempt(counted, { kind: "boot", reason: "no init" });
  assert.is(bootFloor(failed, trust), 5);
});

test("floors never go below the initrd's, and do not bind where nobody signs", () => {
  const known = record({ rollbackIndex: 5 }, { rollbackIndex: 3 }, { floors: { install: 5, boot: 0 } });
  assert.is(bootFloor(known, signed(4)), 5, "slot b is revoked by the initrd, and no fallback any more");
  assert.is(installFloor(known, signed(9)), 9);
  assert.is(installFloor(known, trust), 5);
  assert.is(installFloor(record({}, {}), trust), 0);
  assert.is(bootFloor(known, { mode: "unsigned" }), null);
  assert.is(installFloor(known, { mode: "unsigned" }), null);
  assert.is(whyBelowFloor(known, 0, { mode: "unsigned" }), null);
});

test("a commit raises the install floor, and only `revokes-below` the boot floor", () => {
  const before = record({ state: "trial", tries: 2 }, { rollbackIndex: 3 });
  const plain = commitSlot(before, "a", imageA, policy, 1, { rollbackIndex: 7, revokesBelow: null });
  assert.equal(plain.floors, { install: 7, boot: 0 });
  assert.is(plain.slots.a?.rollbackIndex, 7);
  assert.is(bootFloor(plain, trust), 3, "the fallback stays bootable");
  assert.equal(bootRecord(JSON.parse(JSON.stringify(plain))), plain);
  const revoking = commitSlot(before, "a", imageA, policy, 1, { rollbackIndex: 7, revokesBelow: 6 });
  assert.equal(revoking.floors, { install: 7, boot: 6 });
  const older = commitSlot(revoking, "b", imageB, policy, 1, { rollbackIndex: 6, revokesBelow: 2 });
  assert.equal(older.floors, { install: 7, boot: 6 }, "floors never go back");
  const unsealed = commitSlot(plain, "a", imageNew, policy, 1, null);
  assert.equal(unsealed.floors, plain.floors);
  assert.is(unsealed.slots.a?.rollbackIndex, undefined);
  assert.is(commitSlot(before, "a", imageA, policy, 1, null).floors, undefined);
});

test("a revoked slot is no candidate, takes no try, and is no fallback to go back to", () => {
  const revoked = record({ rollbackIndex: 7 }, { rollbackIndex: 3 }, { floors: { install: 7, boot: 6 } });
  const { slot, skipped } = selectSlot(revoked, { ...facts, failed: new Map([["a", "broken"]]) }, policy);
  assert.is(slot, null);
  assert.match(skipped.find((entry) => entry.slot === "b")?.reason ?? "", /rollback index 3 is below the boot floor 6/);
  assert.throws(() => rollBack(revoked, "a", policy, "asked"), /b: its rollback index 3 is below the boot floor 6/);
  assert.throws(() => markBad(revoked, "a", "asked", policy), /only one that can boot/);
  assert.is(bootFloor(revoked, trust), 7, "what is left is the fallback of nobody");
});

test("when nothing is left, a revoked slot is the last to be re-armed", () => {
  const spent = { tries: 0, reason: "tries used up" };
  const revoked = record({ ...spent, rollbackIndex: 3 }, { ...spent, rollbackIndex: 7 }, { floors: { install: 7, boot: 6 } });
  assert.is(giveUp(revoked, policy).rearmed, "b");
});

test("what was known of an image goes with it", () => {
  const known = record({ rollbackIndex: 5 }, { rollbackIndex: 3 });
  assert.is(withdraw(known, "b", "a").slots.b?.rollbackIndex, undefined);
  assert.is(activate(known, "b", imageNew, "a", policy).slots.b?.rollbackIndex, undefined);
  assert.is(activate(known, "b", imageB, "a", policy).slots.b?.rollbackIndex, 3, "the very image that was committed");
  assert.is(identifyImage(countTry(known, "a"), "a", imageNew, policy).record.slots.a?.rollbackIndex, undefined);
});

test("quarantine: which images, and why", () => {
  const known = record({}, {}, { quarantined: [{ imageId: imageNew, reason: "trial used up", attempt: 4 }] });
  assert.is(quarantinedReason(known, imageNew), "it is quarantined since attempt 4: trial used up");
  assert.is(quarantinedReason(known, imageA), null);
});

test.run();
