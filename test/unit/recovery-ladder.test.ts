import { test } from "uvu";
import * as assert from "uvu/assert";
import type { BootRecord } from "../../boot/record/record.ts";
import { encodeRecord, RECORD_LAYOUT, readRecord } from "../../boot/record/store.ts";
import {
  armInstalled,
  armOnce,
  BEING_WRITTEN,
  beginPass,
  beginStep,
  forgetObeyed,
  giveUpStep,
  wishOf,
  withdrawFor,
} from "../../boot/recovery/changes.ts";
import { interruptedStep, recoveryOf } from "../../boot/recovery/known.ts";
import {
  type LadderFacts,
  type LadderStep,
  type LeftSlot,
  MOST_IMAGES,
  nextStep,
  rungsAsked,
  targetFor,
} from "../../boot/recovery/ladder.ts";
import { jitteredPause } from "../../boot/recovery/pause.ts";
import { MOST_BEGUN, type RecoveryRecord, type TriedStep } from "../../boot/recovery/step.ts";
import { countTry, failAttempt, identifyImage, reachHandover } from "../../boot/selection/attempt.ts";
import { beginBoot } from "../../boot/selection/begin.ts";
import { activate, commitSlot } from "../../boot/selection/running.ts";
import { slotOf } from "../../boot/selection/slots.ts";
import type { ControlTrust } from "../../state-ops/control.ts";
import { RUNGS, type Rung } from "../../state-ops/recovery.ts";
import { imageA, imageB, imageNew, policy, recordOf, three } from "./selection-fixtures.ts";

const facts = (change: Partial<LadderFacts> = {}): LadderFacts => ({
  left: new Map(),
  badTargets: new Set(),
  ended: true,
  unreached: false,
  longestPause: 600,
  ...change,
});
const left = (stage: LeftSlot["stage"], kind: LeftSlot["kind"] = "boot"): LeftSlot => ({ stage, kind, reason: "it failed" });
const tried = (...steps: TriedStep[]): RecoveryRecord => ({ asked: null, tried: steps, current: null });
const step = (rung: Rung, slot: string, imageId: string | null): TriedStep => ({ rung, slot, imageId });

/** Both slots have no tries left: a was committed last, b is a trial that ranks before it. */
const spent = (recovery?: RecoveryRecord, change: Partial<BootRecord> = {}) =>
  recordOf(
    { a: { tries: 0, priority: 1 }, b: { tries: 0, priority: 2 } },
    { ...(recovery === undefined ? {} : { recovery }), ...change },
  );

function shown(found: LadderStep | null): string {
  if (found === null) return "hold";
  const image = { [imageA]: "A", [imageB]: "B", [imageNew]: "N" }[found.imageId ?? ""] ?? "?";
  return `${found.rung} ${found.slot} ${image}`;
}

/** A pass in which every step comes to nothing. */
function pass(record: BootRecord, rungs: readonly Rung[], known: LadderFacts = facts()): string[] {
  const steps: string[] = [];
  let now = record;
  for (let found = nextStep(now, rungs, policy, known); found !== null; found = nextStep(now, rungs, policy, known)) {
    steps.push(shown(found));
    now = found.do === "boot" ? armOnce(now, { ...found }) : beginStep(now, { ...found }, false);
    assert.ok(steps.length < 20, steps.join("; "));
  }
  return steps;
}

test("a pass: the slot that was committed last first, then by priority; then the others; each once", () => {
  assert.equal(pass(spent(), RUNGS), [
    "previous-generation a A",
    "previous-generation b B",
    "safe-mode a A",
    "safe-mode b B",
    "repair a A",
    "repair b B",
    "reinstall b ?",
    "reinstall-fresh b ?",
  ]);
});

test("the order and what is left out are the control file's", () => {
  assert.equal(pass(spent(), ["reinstall-fresh", "safe-mode"]), ["reinstall-fresh b ?", "safe-mode a A", "safe-mode b B"]);
  assert.equal(pass(spent(), []), []);
});

const notForState: [string, Parameters<typeof recordOf>[0], [string, LeftSlot][]][] = [
  ["damaged", { a: { damaged: "block 7" } }, []],
  ["of unknown image", { a: { imageId: null } }, []],
  ["empty", { a: { state: "empty" } }, []],
  ["left before its image was proven", {}, [["a", left("counted", "proof")]]],
  ["on a device that is not there", {}, [["a", left("counted", "device")]]],
  ["without an init", {}, [["a", left("image")]]],
];
for (const [name, slots, failed] of notForState) {
  test(`another state does not help a slot that is ${name}`, () => {
    const record = recordOf({ ...slots, b: { state: "empty", imageId: null } });
    const found = nextStep(record, ["previous-generation", "safe-mode"], policy, facts({ left: new Map(failed) }));
    assert.is(shown(found), "hold");
  });
}

test("another state may help a slot whose state could not be laid, or that was handed over to", () => {
  for (const stage of ["state", "handover"] as const) {
    const found = nextStep(spent(), RUNGS, policy, facts({ left: new Map([["a", left(stage)]]) }));
    assert.is(shown(found), "previous-generation a A");
  }
});

test("what was revoked is neither booted nor repaired", () => {
  const trust: ControlTrust = { mode: "signed", keys: [], threshold: 1, rollbackFloor: 7, kernelSignature: "ignored" };
  const record = recordOf({ a: { tries: 0, rollbackIndex: 5 }, b: { state: "empty", imageId: null } });
  assert.is(shown(nextStep(record, ["safe-mode", "repair"], { ...policy, trust }, facts())), "hold");
});

test("a rung that was reached is never gone back behind", () => {
  const record = spent(tried(step("repair", "b", imageB)));
  assert.equal(pass(record, RUNGS), ["repair a A", "reinstall b ?", "reinstall-fresh b ?"]);
});

test("a slot that holds another image now is another step", () => {
  const record = spent(tried(step("safe-mode", "a", imageNew)));
  assert.is(shown(nextStep(record, RUNGS, policy, facts())), "safe-mode a A");
});

test("a step that was cut off is taken again, so many times; one that has ended is not", () => {
  for (const cut of [step("repair", "b", imageB), step("reinstall", "b", imageNew), step("reinstall-fresh", "b", null)]) {
    const record = spent(tried(cut));
    assert.equal(interruptedStep(record), cut);
    const again = nextStep(record, RUNGS, policy, facts({ ended: false }));
    assert.is(again?.rung, cut.rung);
    assert.is(again?.imageId, cut.imageId);
    const next = nextStep(record, RUNGS, policy, facts());
    assert.not.equal(next && step(next.rung, next.slot, next.imageId), cut);
    const often = { ...record, recovery: { ...tried(cut), begun: MOST_BEGUN } };
    assert.equal(nextStep(often, RUNGS, policy, facts({ ended: false })), next);
    assert.equal(nextStep(giveUpStep(record), RUNGS, policy, facts({ ended: false })), next);
  }
});

test("what goes on asks for the image that was being written", () => {
  const found = nextStep(spent(tried(step("reinstall", "b", imageNew))), RUNGS, policy, facts({ ended: false }));
  assert.equal(found?.do === "reinstall" && found.searches, [{ imageIds: [imageNew], except: [] }]);
});

test("a step that was cut off and is not allowed any more, or whose slot is gone, is left", () => {
  const record = spent(tried(step("reinstall", "c", imageNew)));
  assert.is(nextStep(record, RUNGS, policy, facts({ ended: false }))?.slot, "b");
  assert.is(
    nextStep(spent(tried(step("repair", "a", imageA))), ["safe-mode"], policy, facts({ ended: false }))?.rung,
    "safe-mode",
  );
});

test("one try with another state is never something that was cut off", () => {
  assert.is(interruptedStep(spent(tried(step("safe-mode", "a", imageA)))), null);
  const armed = step("repair", "a", imageA);
  assert.is(interruptedStep(spent({ ...tried(armed), current: armed })), null, "its slot was armed");
});

const searchesOf = (record: BootRecord, rung: Rung, known = facts()) => {
  const found = nextStep(record, [rung], policy, known);
  return found?.do === "reinstall" ? found.searches : null;
};

test("reinstall: not what failed whole after its proof; reinstall-fresh: that too, the last committed first", () => {
  assert.equal(searchesOf(spent(), "reinstall"), [{ imageIds: null, except: [imageB, imageA] }]);
  assert.equal(searchesOf(spent(), "reinstall-fresh"), [
    { imageIds: [imageA], except: [] },
    { imageIds: null, except: [] },
  ]);
});

test("reinstall: the image of a damaged slot, or of one whose device is gone, is as good as any", () => {
  const damaged = recordOf({ a: { damaged: "torn" }, b: { tries: 0 } });
  assert.equal(searchesOf(damaged, "reinstall"), [
    { imageIds: [imageA], except: [] },
    { imageIds: null, except: [imageB] },
  ]);
  const gone = recordOf({ b: { tries: 0 } });
  const known = facts({ left: new Map([["a", left("counted", "device")]]) });
  assert.equal(searchesOf(gone, "reinstall", known)?.[0], { imageIds: [imageA], except: [] });
});

test("reinstall: quarantined images come last, and what was tried by the rung no more", () => {
  const quarantined = [{ imageId: imageNew, reason: "it crashed", attempt: 3 }];
  assert.equal(searchesOf(spent(undefined, { quarantined }), "reinstall"), [
    { imageIds: null, except: [imageB, imageA, imageNew] },
    { imageIds: [imageNew], except: [] },
  ]);
  const after = spent(tried(step("reinstall-fresh", "b", imageA)), { quarantined });
  assert.equal(searchesOf(after, "reinstall-fresh"), [
    { imageIds: null, except: [imageA, imageNew] },
    { imageIds: [imageNew], except: [] },
  ]);
});

test("reinstall: over once nothing was found, or enough was tried; a target that failed counts for nothing", () => {
  assert.is(searchesOf(spent(tried(step("reinstall", "b", null))), "reinstall"), null);
  const many = Array.from({ length: MOST_IMAGES }, (_, index) => step("reinstall", "b", `${index}`.repeat(64)));
  assert.is(searchesOf(spent(tried(...many)), "reinstall"), null);
  const known = facts({ badTargets: new Set(["b"]) });
  const other = nextStep(spent(tried(step("reinstall", "b", imageNew))), ["reinstall"], policy, known);
  assert.is(other?.slot, "a");
  assert.equal(other?.do === "reinstall" && other.searches.at(-1)?.except, [imageB, imageA]);
  assert.is(searchesOf(spent(), "reinstall", facts({ badTargets: new Set(["a", "b"]) })), null);
});

const targets: [string, Parameters<typeof recordOf>[0], string | null, Partial<LadderFacts>, string][] = [
  ["the slot that it is recorded in", {}, imageA, {}, "a"],
  ["an empty one", { a: { tries: 0 }, b: { tries: 0 }, c: { state: "empty", imageId: null, tries: 0 } }, imageNew, {}, "c"],
  ["a damaged one", { a: { damaged: "torn" }, b: { tries: 0 }, c: { tries: 0 } }, imageNew, {}, "a"],
  ["a spent trial before what was committed", { a: { tries: 0 }, b: { tries: 0 } }, imageNew, {}, "b"],
  ["one without tries before one with", { a: { tries: 0 }, b: { tries: 3 } }, imageNew, {}, "a"],
  [
    "one whose device is there",
    { a: { tries: 0 }, b: { tries: 0 } },
    imageNew,
    { left: new Map([["b", left("counted", "device")]]) },
    "a",
  ],
  ["one that takes what is written", { a: { tries: 0 }, b: { state: "empty" } }, imageNew, { badTargets: new Set(["b"]) }, "a"],
];
for (const [name, slots, imageId, known, expected] of targets) {
  test(`the target is ${name}`, () => {
    assert.is(targetFor(recordOf(slots), imageId, slots?.c ? three : policy, facts(known)), expected);
  });
}

test("who asks for the ladder gets what keeps the state, as long as there is such a rung", () => {
  assert.equal(rungsAsked(RUNGS, "ladder"), ["repair", "reinstall"]);
  assert.equal(rungsAsked(["safe-mode", "reinstall-fresh"], "ladder"), ["reinstall-fresh"]);
  assert.equal(rungsAsked(["safe-mode"], "ladder"), ["safe-mode"]);
  assert.equal(rungsAsked(RUNGS, "safe-mode"), ["safe-mode"]);
  assert.equal(rungsAsked(["repair"], "safe-mode"), []);
});

test("a step that begins is asked for no more; again, it is counted; a search is told by what it found", () => {
  const asked = spent({ ...tried(), asked: "repair" });
  const begun = beginStep(asked, step("repair", "b", imageB), false);
  assert.equal(begun.recovery, tried(step("repair", "b", imageB)));
  const again = beginStep(begun, step("repair", "b", imageB), true);
  assert.equal(again.recovery, { ...tried(step("repair", "b", imageB)), begun: 2 });
  assert.is(beginStep(again, step("repair", "b", imageB), true).recovery?.begun, 3);
  const search = beginStep(again, step("reinstall", "b", null), false);
  assert.equal(search.recovery?.tried, [step("repair", "b", imageB), step("reinstall", "b", null)]);
  const found = beginStep(search, step("reinstall", "a", imageNew), false);
  assert.equal(found.recovery?.tried, [step("repair", "b", imageB), step("reinstall", "a", imageNew)]);
});

test("one try: armed, and laid with another state in this attempt alone", () => {
  for (const slot of ["a", "b"] as const) {
    const imageId = slot === "a" ? imageA : imageB;
    const armed = armOnce(spent(), step("safe-mode", slot, imageId));
    assert.is(slotOf(armed, slot).tries, 1);
    assert.is(wishOf(armed, slot, imageId), "memory");
    assert.is(wishOf(armed, slot, imageNew), "ordinary", "another image");
    assert.is(wishOf(armed, slot === "a" ? "b" : "a", imageId), "ordinary", "another slot");
    const ran = reachHandover(identifyImage(countTry(armed, slot), slot, imageId, policy).record);
    const next = beginBoot(ran, policy).record;
    assert.is(recoveryOf(next).current, null);
    assert.is(wishOf(next, slot, imageId), "ordinary");
    assert.equal(next.quarantined, [], "it is held against nobody");
    assert.match(slotOf(next, slot).reason ?? "", /used up/);
    assert.is(shown(nextStep(next, RUNGS, policy, facts())), slot === "a" ? "safe-mode b B" : "safe-mode a A");
  }
});

test("one try that was armed and not counted yet is made by the next boot", () => {
  const before = failAttempt(countTry(recordOf({ a: { tries: 1 } }), "a"), { kind: "boot", reason: "no state" });
  const armed = armOnce(before, step("previous-generation", "a", imageA));
  const next = beginBoot(armed, policy).record;
  assert.is(wishOf(next, "a", imageA), "previous");
  assert.is(slotOf(next, "a").tries, 1);
});

test("a trial that recovery installed is laid alike at each try, and quarantined as any other", () => {
  let record = armInstalled(spent(), { rung: "reinstall-fresh", slot: "b", imageId: imageNew }, policy);
  assert.equal(
    { ...slotOf(record, "b") },
    { ...slotOf(record, "b"), state: "trial", tries: 3, imageId: imageNew, reason: null, priority: 2 },
  );
  for (let tries = 0; tries < 3; tries++) {
    assert.is(wishOf(record, "b", imageNew), "fresh");
    record = beginBoot(reachHandover(identifyImage(countTry(record, "b"), "b", imageNew, policy).record), policy).record;
  }
  assert.is(record.quarantined[0]?.imageId, imageNew);
  assert.is(interruptedStep(record), null);
});

test("what is made whole where it was committed is committed again, and has its tries", () => {
  const withdrawn = withdrawFor(spent(), "a", imageA);
  assert.is(slotOf(withdrawn, "a").damaged, BEING_WRITTEN);
  assert.is(slotOf(withdrawn, "a").tries, 0);
  const armed = armInstalled(withdrawn, { rung: "repair", slot: "a", imageId: imageA }, policy);
  const { state, tries, damaged, reason } = slotOf(armed, "a");
  assert.equal({ state, tries, damaged, reason }, { state: "committed", tries: 10, damaged: null, reason: null });
  assert.is(wishOf(armed, "a", imageA), "ordinary");
});

test("another image takes the place of the former one, which nothing boots from meanwhile", () => {
  const withdrawn = withdrawFor(spent(), "a", imageNew);
  const { state, tries, imageId } = slotOf(withdrawn, "a");
  assert.equal({ state, tries, imageId }, { state: "empty", tries: 0, imageId: null });
  assert.is(slotOf(armInstalled(withdrawn, { rung: "reinstall", slot: "a", imageId: imageNew }, policy), "a").state, "trial");
});

test("a recovery is over when its slot gets another image, and at a good boot", () => {
  const armed = armInstalled(recordOf(), { rung: "reinstall", slot: "b", imageId: imageNew }, policy);
  assert.is(activate(armed, "b", imageB, "a", policy).recovery, undefined);
  assert.is(identifyImage(countTry(armed, "b"), "b", imageB, policy).record.recovery, undefined);
  assert.is(commitSlot(armed, "b", imageNew, policy, 1).recovery, undefined);
  assert.is.not(identifyImage(countTry(armed, "a"), "a", imageB, policy).record.recovery, undefined, "another slot");
});

test("what slipway.recover was obeyed in outlives the recovery, until the word is gone", () => {
  const begun = beginStep(beginPass(recordOf(), "reinstall-fresh"), step("reinstall-fresh", "b", null), false);
  assert.is(begun.recovery?.obeyed, "reinstall-fresh");
  const armed = armInstalled(begun, { rung: "reinstall-fresh", slot: "b", imageId: imageNew }, policy);
  const good = commitSlot(armed, "b", imageNew, policy, 1);
  assert.equal(good.recovery, { ...tried(), obeyed: "reinstall-fresh" });
  assert.equal(beginPass(good).recovery, good.recovery);
  assert.is(forgetObeyed(good).recovery, undefined);
  assert.equal(forgetObeyed(begun).recovery, tried(step("reinstall-fresh", "b", null)));
});

test("a recovery in the record survives being written and read", () => {
  const record = { ...recordOf(), recovery: { ...tried(step("repair", "b", imageB)), begun: 5, obeyed: "ladder" as const } };
  const area = new Uint8Array(RECORD_LAYOUT.areaSize);
  area.set(encodeRecord(record, 1));
  assert.equal(readRecord([area, new Uint8Array(RECORD_LAYOUT.areaSize)]).record?.recovery, record.recovery);
});

test("pauses differ by at most a fifth, and from boot to boot", () => {
  const pauses = Array.from({ length: 200 }, (_, index) => jitteredPause(600, `boot:${index}`));
  assert.ok(Math.min(...pauses) >= 480 && Math.max(...pauses) <= 720);
  assert.ok(new Set(pauses).size > 50);
  assert.is(jitteredPause(600, "x"), jitteredPause(600, "x"));
  assert.is(jitteredPause(1, "x"), 1);
});

test("reinstall-fresh waits for sources that cannot be reached, until the machine has paused for long", () => {
  const ladder: Rung[] = ["reinstall", "reinstall-fresh"];
  const searched = tried(step("reinstall", "b", null));
  const next = (exhausted: number, rungs: Rung[], change: Partial<LadderFacts>) =>
    shown(nextStep(spent(searched, { exhausted }), rungs, policy, facts(change)));
  const fresh = "reinstall-fresh b ?";
  for (const [exhausted, rungs, change, wanted] of [
    [0, ladder, { unreached: false }, fresh],
    [0, ladder, { unreached: true }, "hold"],
    [6, ladder, { unreached: true }, "hold"],
    // 5 + 10 + ... + 320 s
    [7, ladder, { unreached: true }, fresh],
    [7, ladder, { unreached: true, longestPause: 86_400 }, fresh],
    [3, ladder, { unreached: true, longestPause: 60 }, "hold"],
    [4, ladder, { unreached: true, longestPause: 60 }, fresh],
    [1_000_000, ladder, { unreached: true }, fresh],
    // Only what sets state aside waits.
    [0, ["reinstall", "reinstall-fresh", "safe-mode"], { unreached: true }, "safe-mode a A"],
  ] as const) {
    assert.is(next(exhausted, [...rungs], change), wanted, JSON.stringify([exhausted, rungs, change]));
  }
});

test("a step of reinstall-fresh that the power cut goes on, whoever can be reached", () => {
  const record = spent(tried(step("reinstall", "b", null), step("reinstall-fresh", "b", imageA)));
  const known = facts({ ended: false, unreached: true });
  assert.is(shown(nextStep(record, ["reinstall", "reinstall-fresh"], policy, known)), "reinstall-fresh b A");
});

test.run();
