import { test } from "uvu";
import * as assert from "uvu/assert";
import type { BootRecord, SlotRecord } from "../../boot/record/record.ts";
import { recoveryOver } from "../../boot/recovery/over.ts";
import { policyOf } from "../../boot/selection/policy.ts";
import { activate, commitSlot, endCleanly, markBad, pendingTrial, rollBack, withdraw } from "../../boot/selection/running.ts";
import { slotOf } from "../../boot/selection/slots.ts";
import type { ControlFile } from "../../state-ops/control.ts";
import { BadInput, Refusal } from "../../state-ops/outcome.ts";
import { sampleControl } from "../samples/control-file.ts";
import { attemptOf, committed, imageA, imageB, imageNew, policy, recordOf, standing, three } from "./selection-fixtures.ts";

function refused(action: () => unknown, message: RegExp): void {
  assert.throws(action, (error: unknown) => error instanceof Refusal && message.test(error.message));
}

test("commit ends a trial", () => {
  const before = recordOf(
    { a: { tries: 4 }, b: { tries: 1, reason: "r" } },
    {
      attempt: attemptOf("b"),
      exhausted: 3,
      uncleanEnds: 2,
      quarantined: [
        { imageId: imageB, reason: "r", attempt: 1 },
        { imageId: imageNew, reason: "r", attempt: 2 },
      ],
    },
  );
  const after = commitSlot(before, "b", imageB, policy, 1234);
  assert.equal(slotOf(after, "b"), { ...committed, imageId: imageB, priority: 2 });
  assert.is(standing(after), "b:10 a:4");
  assert.equal(after.lastCommitted, { slot: "b", imageId: imageB });
  assert.equal([after.exhausted, after.uncleanEnds, after.lastKnownUnixMs, after.attempt?.stage], [0, 2, 1234, "good"]);
  assert.equal(
    after.quarantined.map(({ imageId }) => imageId),
    [imageNew],
  );
});

test("a later good boot re-arms a committed slot and leaves the order", () => {
  const before = recordOf({ a: { tries: 2, credits: 3, priority: 1 }, b: { state: "committed", tries: 0, priority: 2 } });
  const after = commitSlot(before, "a", imageA, policy, 1);
  assert.equal(slotOf(after, "a"), { ...committed, priority: 1 });
  assert.is(standing(after), "b:0 a:10");
  assert.is(after.lastCommitted?.slot, "a");
});

test("a good boot ends a recovery; one that was asked for and has not begun stays asked for", () => {
  const step = { rung: "repair", slot: "a", imageId: imageA } as const;
  const during = (asked: "ladder" | "safe-mode" | null) => recordOf({}, { recovery: { asked, tried: [step], current: step } });
  for (const [slot, imageId] of [
    ["a", imageA],
    ["b", imageB],
  ] as const) {
    assert.is("recovery" in commitSlot(during(null), slot, imageId, policy, 1), false, slot);
    const asked = commitSlot(during("safe-mode"), slot, imageId, policy, 1);
    assert.equal(asked.recovery, { asked: "safe-mode", tried: [], current: null }, slot);
    assert.equal(commitSlot(asked, slot, imageId, policy, 1), asked, "once");
  }
});

test("which attempt was good is told from the first recovery on, and not on a machine that never had one", () => {
  const attempt = { number: 9, slot: "a", imageId: imageA, trial: false, stage: "handover", cleanEnd: false } as const;
  const step = { rung: "previous-generation", slot: "a", imageId: imageA } as const;
  const good = (record: BootRecord, number: number) =>
    commitSlot({ ...record, attempt: { ...attempt, number } }, "a", imageA, policy, 1);
  const never = good(recordOf({}), 9);
  assert.equal(never.lastCommitted, { slot: "a", imageId: imageA });
  const recovered = good({ ...never, recovery: { asked: null, tried: [step], current: step } }, 10);
  assert.equal(recovered.lastCommitted, { slot: "a", imageId: imageA, attempt: 10 });
  assert.equal(good(recovered, 11).lastCommitted, { slot: "a", imageId: imageA, attempt: 11 });
  // The slot got another image meanwhile, which ends the recovery: a later commit must still be told from those before it.
  const over = recoveryOver({ ...never, recovery: { asked: null, tried: [step], current: step } });
  assert.equal(over.lastCommitted, { slot: "a", imageId: imageA, attempt: 0 });
  assert.is(good(over, 12).lastCommitted?.attempt, 12);
});

test("a clean shutdown gives a committed slot its try back, at most three times, never a trial", () => {
  const cases: [string, "a" | "b", Partial<SlotRecord>, boolean, number, number][] = [
    ["a committed slot", "a", { tries: 5 }, true, 6, 1],
    ["the third time", "a", { tries: 5, credits: 2 }, true, 6, 3],
    ["the fourth time", "a", { tries: 5, credits: 3 }, true, 5, 3],
    ["at its maximum", "a", { tries: 10 }, true, 10, 0],
    ["a failure action", "a", { tries: 5 }, false, 5, 0],
    ["a trial", "b", { tries: 2 }, true, 2, 0],
    ["the last try", "a", { tries: 0 }, true, 1, 1],
    ["marked bad while it ran", "a", { tries: 0, reason: "marked bad" }, true, 0, 0],
  ];
  for (const [name, slot, change, credit, tries, credits] of cases) {
    const before = recordOf({ [slot]: change }, { attempt: attemptOf(slot), uncleanEnds: 4 });
    const after = endCleanly(before, policy, { credit, unixMs: 99 });
    assert.equal([slotOf(after, slot).tries, slotOf(after, slot).credits], [tries, credits], name);
    assert.equal([after.uncleanEnds, after.attempt?.cleanEnd, after.lastKnownUnixMs], [0, true, 99], name);
    assert.equal(endCleanly(after, policy, { credit, unixMs: 99 }), after, `${name}: once`);
  }
});

test("a slot that is marked bad boots no more, unless it is the only one", () => {
  const bad = markBad(recordOf(), "b", "does not suit me\n", policy);
  assert.equal([slotOf(bad, "b").tries, slotOf(bad, "b").reason], [0, "does not suit me"]);
  assert.is(standing(markBad(recordOf(), "a", "r", policy)), "a:0 b:3");
  refused(() => markBad(bad, "a", "r", policy), /slot a is the only one that can boot \(b: does not suit me\)/);
  refused(() => markBad(recordOf({ b: { damaged: "bad hash" } }), "a", "r", policy), /only one/);
  refused(() => markBad(recordOf({ b: { state: "empty" } }), "a", "r", policy), /only one/);
  refused(() => markBad(recordOf({ b: { tries: 0 }, c: {} }), "a", "r", policy), /only one/);
  assert.is(slotOf(markBad(bad, "b", "again", policy), "b").reason, "again");
  assert.throws(
    () => markBad(recordOf(), "x", "r", policy),
    (error: unknown) => error instanceof BadInput,
  );
});

test("activation puts a slot first: on trial, or committed if that very image was committed there", () => {
  const fresh = activate(recordOf({ b: { tries: 0, damaged: "d", reason: "r" } }), "b", imageNew, "a", policy);
  assert.equal(slotOf(fresh, "b"), { ...committed, state: "trial", tries: 3, imageId: imageNew, priority: 2 });
  assert.is(standing(fresh), "b:3 a:10");
  const known = recordOf({ b: { state: "committed", tries: 0, credits: 3, damaged: "d" } });
  assert.equal(slotOf(activate(known, "b", imageB, "a", policy), "b"), { ...committed, imageId: imageB });
  assert.is(slotOf(activate(known, "b", imageNew, "a", policy), "b").state, "trial");
  assert.is(slotOf(activate(recordOf({ b: { state: "empty", imageId: null } }), "b", imageB, "a", policy), "b").state, "trial");
});

test("activation and writes are refused into the running slot, during a trial, and beside a waiting one", () => {
  const onTrial = recordOf({ b: { priority: 2 }, a: { priority: 1 } }, { attempt: attemptOf("b") });
  refused(() => activate(recordOf(), "a", imageNew, "a", policy), /slot a is the running one/);
  refused(() => withdraw(recordOf(), "a", "a"), /slot a is the running one/);
  refused(() => activate(onTrial, "a", imageA, "b", policy), /running slot b is on trial/);
  refused(() => withdraw(onTrial, "a", "b"), /running slot b is on trial/);
  refused(() => activate(onTrial, "b", imageB, "b", policy), /running one/);
  const safe = { rung: "safe-mode", slot: "b", imageId: onTrial.attempt?.imageId ?? "" } as const;
  const inSafeMode = { ...onTrial, recovery: { asked: null, tried: [safe], current: safe } };
  refused(() => withdraw(inSafeMode, "a", "b"), /in safe mode it cannot be committed; "slipway recover reinstall" has/);
  const waiting = recordOf({ c: {} });
  assert.is(pendingTrial(waiting, "a"), "c");
  refused(() => activate(waiting, "b", imageB, "a", three), /slot c waits for its trial/);
  refused(() => withdraw(waiting, "b", "a"), /slot c waits for its trial/);
  assert.is(standing(activate(waiting, "c", imageNew, "a", three)), "c:3 a:10 b:3");
  assert.is(withdraw(waiting, "c", "a").slots.c?.state, "empty");
  const behind = recordOf({ a: { priority: 3 }, c: { priority: 2 } });
  assert.is(pendingTrial(behind, "a"), null, "a trial that ranks below is a fallback");
  assert.is(standing(activate(behind, "b", imageB, "a", three)), "b:3 a:10 c:3");
  assert.throws(
    () => activate(recordOf(), "x", imageB, "a", policy),
    (error: unknown) => error instanceof BadInput,
  );
});

test("the running slot can be put first again with the image it runs", () => {
  const left = recordOf({ a: { priority: 1, tries: 6 }, b: { priority: 2, state: "committed" } });
  assert.is(standing(activate(left, "a", imageA, "a", policy)), "a:6 b:3");
  assert.is(standing(activate(recordOf({ a: { priority: 1 }, b: { priority: 2 } }), "a", imageA, "a", policy)), "a:10 b:3");
});

test("a withdrawn slot is empty and no candidate", () => {
  const { b } = withdraw(recordOf({ b: { state: "committed", tries: 9, credits: 1, reason: "r" } }), "b", "a").slots;
  assert.equal(b, { state: "empty", priority: 1, tries: 0, imageId: null, credits: 0, damaged: null, reason: null });
});

test("rollback leaves the running slot for the best other one", () => {
  const trialRuns = rollBack(recordOf({ b: { priority: 2 }, a: { priority: 1 } }), "b", policy, "asked by root");
  assert.is(trialRuns.target, "a");
  assert.is(standing(trialRuns.record), "a:10 b:0");
  assert.is(slotOf(trialRuns.record, "b").reason, "asked by root");
  const both = rollBack(recordOf({ b: { state: "committed", tries: 8 } }), "a", policy, "r");
  assert.equal([both.target, standing(both.record), slotOf(both.record, "a").reason], ["b", "b:8 a:10", null]);
  const preferCommitted = rollBack(recordOf({ b: { state: "committed" }, c: {} }), "a", three, "r");
  assert.equal([preferCommitted.target, standing(preferCommitted.record)], ["b", "b:3 c:3 a:10"]);
  refused(
    () => rollBack(recordOf({ b: { tries: 0, reason: "trial used up" } }), "a", policy, "r"),
    /no other slot than a can boot \(b: trial used up\)/,
  );
  refused(() => rollBack(recordOf({ b: { damaged: "bad hash" } }), "a", policy, "r"), /damaged: bad hash/);
});

test("the policy is the control file's", () => {
  const slots = ["x", "y"].map((name) => ({ name, device: `PARTLABEL=${name}` }));
  const control: ControlFile = { ...sampleControl({ slots, tries: { trial: 2, committed: 5 } }), digest: "sha256:" };
  assert.equal(policyOf(control), { slots: ["x", "y"], tries: { trial: 2, committed: 5 }, trust: { mode: "unsigned" } });
});

test.run();
