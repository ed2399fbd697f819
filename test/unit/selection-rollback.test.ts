import { test } from "uvu";
import * as assert from "uvu/assert";
import { rollbackOf, type Skipped } from "../../boot/selection/skipped.ts";
import { entry, IMAGE_B, record, slot } from "./commands-machine.ts";

/** Slot a boots, in attempt 7. */
const booted = record({
  slots: { a: slot({ priority: 1 }), b: slot({ priority: 2, imageId: IMAGE_B }), c: slot({ state: "empty" }) },
});
const skipped: Skipped[] = [
  { slot: "c", reason: "empty" },
  { slot: "b", reason: "trial used up" },
];
const journal = [entry(6, { slot: "b", imageId: IMAGE_B, startedUnixMs: 600 }), entry(5, { slot: "b", startedUnixMs: 500 })];
const before = (last: [string, number][], entries = journal) => ({ last: new Map(last), journal: entries });

test("a slot that was passed over was left: with its image, its last attempt and when that began", () => {
  const from = { from: "b", imageId: IMAGE_B, reason: "trial used up" };
  assert.equal(rollbackOf(booted, "a", skipped, before([["b", 6]])), { ...from, attempt: 6, startedUnixMs: 600 });
  assert.equal(rollbackOf(booted, "a", skipped, before([])), { ...from, attempt: null, startedUnixMs: null });
  const now = rollbackOf(booted, "a", skipped, before([["b", 7]]));
  assert.equal(now, { ...from, attempt: 7, startedUnixMs: null }, "in this very boot");
  const other = rollbackOf(booted, "a", skipped, before([["b", 6]], [entry(6, { slot: "a", startedUnixMs: 600 })]));
  assert.is(other?.startedUnixMs, null, "an entry of another record's attempt 6");
});

test("a slot that an operator left is known by the boot journal, in the next boot alone", () => {
  const reason = "rolled back by operator, to slot a";
  const left = entry(6, { slot: "b", imageId: IMAGE_B, reason, startedUnixMs: 600 });
  const told = { from: "b", imageId: IMAGE_B, reason, attempt: 6, startedUnixMs: 600 };
  assert.equal(rollbackOf(booted, "a", [], before([["b", 6]], [left])), told);
  assert.is(rollbackOf(booted, "b", [], before([["b", 6]], [left])), null, "it boots again all the same");
  assert.is(rollbackOf(booted, "a", [], before([["b", 5]], [{ ...left, attempt: 5 }])), null, "a boot later");
  assert.is(rollbackOf(booted, "a", [], before([["b", 6]], [{ ...left, reason: "shut down cleanly" }])), null);
  assert.is(
    rollbackOf(booted, "a", [{ slot: "c", reason: "empty" }], before([])),
    null,
    "an empty slot is no slot that was left",
  );
});

test.run();
