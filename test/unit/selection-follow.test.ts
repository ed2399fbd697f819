import { test } from "uvu";
import * as assert from "uvu/assert";
import type { BootRecord } from "../../boot/record/record.ts";
import { countTry, failAttempt } from "../../boot/selection/attempt.ts";
import { type FollowFacts, type Following, followLoader, meetLoader } from "../../boot/selection/follow.ts";
import { committed, policy, recordOf, three } from "./selection-fixtures.ts";

const bothCommitted = { b: { ...committed, priority: 1, imageId: "b".repeat(64) } };

function facts(named: string | null, change: Partial<FollowFacts> = {}): FollowFacts {
  const word = named === null ? null : `slipway.slot=${named}`;
  return { named, word, failed: new Map(), recordWritable: true, lastReasons: new Map(), ...change };
}

function follow(record: BootRecord, named: string | null, change: Partial<FollowFacts> = {}, of = policy): Following {
  return followLoader(meetLoader(record, named, of), facts(named, change), of, "valid");
}

const spent = { tries: 0, reason: "trial used up without a commit" };

/** In words: "b", "leaves b", or "recovery". */
function does({ slot, leaves }: Following): string {
  return leaves === null ? (slot ?? "recovery") : `leaves ${leaves.slot}`;
}

const table: [string, BootRecord, string, string][] = [
  ["the first in order", recordOf(), "a", "a"],
  ["another one than ours", recordOf(), "b", "b"],
  ["a trial though the committed slot ranks before it", recordOf(bothCommitted), "b", "b"],
  ["one without tries while another has some", recordOf({ b: spent }), "b", "leaves b"],
  ["a damaged one", recordOf({ b: { damaged: "bad root hash" } }), "b", "leaves b"],
  ["an empty one", recordOf({ b: { state: "empty", tries: 0, imageId: null } }), "b", "leaves b"],
  ["one without tries when none has any", recordOf({ a: { tries: 0 }, b: spent }), "b", "recovery"],
  ["one without tries when the other is damaged", recordOf({ a: { damaged: "x" }, b: spent }), "b", "recovery"],
  ["its last boot that passes by a restart", recordOf({ b: spent }, { spentNamed: 2 }), "b", "leaves b"],
  ["the boot after that", recordOf({ b: spent }, { spentNamed: 3 }), "b", "a"],
  ["and all later ones", recordOf({ b: spent }, { spentNamed: 4 }), "b", "a"],
  ["a slot that can boot again, after many", recordOf({}, { spentNamed: 4 }), "b", "b"],
];
for (const [name, record, named, expected] of table) {
  test(`the loader names ${name}: ${expected}`, () => assert.is(does(follow(record, named)), expected));
}

test("the slot's standing is told, and the bootloader's choice as the reason", () => {
  assert.is(follow(recordOf(), "b").why, "the bootloader chose it (on trial, 3 of 3 tries left)");
});

test("slots that rank before it are told with what is known against them", () => {
  const record = recordOf({ a: { tries: 0, reason: "marked bad by operator" } });
  assert.equal(follow(record, "b").skipped, [{ slot: "a", reason: "marked bad by operator" }]);
  assert.equal(follow(recordOf(), "b").skipped, [{ slot: "a", reason: "the bootloader did not choose it" }]);
  const lastReasons = new Map([["a", "the root has no /run"]]);
  const { skipped } = follow(recordOf(), "b", { lastReasons });
  assert.equal(skipped, [{ slot: "a", reason: "the bootloader did not choose it; last: the root has no /run" }]);
});

test("a slot that fails is left to the loader, with its reason, and nothing else is tried", () => {
  const counted = countTry(meetLoader(recordOf(), "b", policy), "b");
  const record = failAttempt(counted, { kind: "boot", reason: "no init" });
  const { leaves, slot } = followLoader(record, facts("b", { failed: new Map([["b", "no init"]]) }), policy, "valid");
  assert.equal([slot, leaves], [null, { slot: "b", reason: "no init" }]);
});

test("a slot that fails where no other can boot ends in recovery, in this very boot", () => {
  const record = recordOf({ b: spent });
  const { leaves, slot, skipped } = follow(record, "a", { failed: new Map([["a", "no init"]]) });
  assert.equal([slot, leaves], [null, null]);
  assert.equal(skipped, [
    { slot: "a", reason: "no init" },
    { slot: "b", reason: "trial used up without a commit" },
  ]);
});

test("a loader that names a used-up slot for ever is overruled, loudly, after as many restarts as a trial has tries", () => {
  let record = recordOf({ b: spent });
  const done: string[] = [];
  for (let boot = 0; boot < 6; boot++) {
    record = meetLoader(record, "b", policy);
    const following = followLoader(record, facts("b"), policy, "valid");
    done.push(does(following));
    if (following.leaves === null) {
      assert.match(following.alarms.join(), /named slot b again in 3 boots or more, .*used up.*: slipway boots slot a$/);
      assert.match(following.why, /first of the others \(committed, 10 of 10/);
      assert.equal(following.skipped, [{ slot: "b", reason: "trial used up without a commit" }]);
    }
  }
  assert.equal(done, ["leaves b", "leaves b", "leaves b", "a", "a", "a"]);
  assert.is(record.spentNamed, 4, "it counts no further than it matters");
  assert.is("spentNamed" in meetLoader(record, "a", policy), false, "and anew once the loader names another");
});

test("overruled, PID 1 goes on with a third slot where the second fails", () => {
  const record = recordOf({ b: spent, c: { state: "committed", priority: 1 } }, { spentNamed: 3 });
  assert.is(does(follow(record, "b", {}, three)), "a");
  assert.is(does(follow(record, "b", { failed: new Map([["a", "EIO"]]) }, three)), "c");
  const both = new Map([
    ["a", "EIO"],
    ["c", "EIO"],
  ]);
  assert.is(does(follow(record, "b", { failed: both }, three)), "recovery");
});

test("a loader that names none, or an unknown one: slipway chooses as ever, and says so loudly", () => {
  for (const [word, alarm] of [
    [null, /^the bootloader named no slot \(slipway\.slot= or rauc\.slot= on the command line\): slipway chooses in this boot$/],
    ["rauc.slot=Z", /not there \(rauc\.slot=Z; this machine has a, b\): slipway chooses/],
  ] as const) {
    const following = follow(recordOf(), null, { word });
    assert.is(does(following), "a");
    assert.match(following.alarms.join(), alarm);
    assert.is(does(follow(recordOf(), null, { word, failed: new Map([["a", "EIO"]]) })), "b", "without a restart");
  }
});

test("what was named is not counted while none can boot, nor where none is named", () => {
  const nothing = recordOf({ a: { tries: 0 }, b: spent });
  assert.is(meetLoader(nothing, "b", policy), nothing);
  const record = recordOf({ b: spent }, { spentNamed: 2 });
  assert.is(meetLoader(record, null, policy).spentNamed, 2);
});

test("a record that cannot be written bounds no restarts: the boot goes on with a committed slot", () => {
  const unwritable = { recordWritable: false };
  assert.is(does(follow(recordOf(), "a", unwritable)), "a");
  assert.is(does(follow(recordOf(), "b", unwritable)), "a", "a trial is not booted uncounted");
  const failed = new Map([["a", "EIO"]]);
  assert.is(does(follow(recordOf(bothCommitted), "a", { ...unwritable, failed })), "b");
});

test.run();
