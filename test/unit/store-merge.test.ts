/** What differences between two views of a bootloader's store mean for the boot record, and what the record makes of a view. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { BootRecord, SlotRecord } from "../../boot/record/record.ts";
import { bootRecord } from "../../boot/record/shape.ts";
import { freshRecord } from "../../boot/record/store.ts";
import { slotOf } from "../../boot/selection/slots.ts";
import { baseOf, storeId } from "../../boot/stores/base.ts";
import { MARKED_BAD, type MergeFacts, mergeStore, recordFromStore } from "../../boot/stores/merge.ts";
import { projectRecord } from "../../boot/stores/project.ts";
import { traitsOf } from "../../boot/stores/traits.ts";
import type { LoaderSlot, StoreView } from "../../boot/stores/view.ts";
import { firstOf, isStoreFirst, sameView } from "../../boot/stores/write-order.ts";
import type { ControlBootRecord } from "../../state-ops/control.ts";

const image = (digit: string) => digit.repeat(64);
const policy = { slots: ["a", "b", "c"], tries: { trial: 3, committed: 10 }, trust: { mode: "unsigned" } } as const;
const rules = {
  policy: { ...policy, slots: [...policy.slots] },
  traits: { mostTries: 3, countsGood: true, hasNonce: true },
  unixMs: 5,
};
const running: MergeFacts = { ...rules, chooser: "slipway" };
const atBoot: MergeFacts = { ...rules, chooser: "slipway", started: null };
const behindLoader = (started: string | null): MergeFacts => ({ ...rules, chooser: "loader", started });

function slot(change: Partial<SlotRecord>): SlotRecord {
  const plain = {
    state: "committed",
    priority: 1,
    tries: 10,
    imageId: image("1"),
    credits: 0,
    damaged: null,
    reason: null,
  } as const;
  return { ...plain, ...change };
}

/** Slot a runs on trial, b is committed, c was never tried. */
function record(change: Partial<BootRecord> = {}): BootRecord {
  return {
    ...freshRecord(rules.policy),
    slots: {
      a: slot({ state: "trial", priority: 3, tries: 2 }),
      b: slot({ priority: 2, imageId: image("2") }),
      c: slot({ state: "trial", priority: 1, tries: 3, imageId: null }),
    },
    attempt: { number: 4, slot: "a", imageId: image("1"), trial: true, stage: "handover", cleanEnd: false },
    lastCommitted: { slot: "b", imageId: image("2") },
    ...change,
  };
}

const said = (priority: number, tries: number | null, good: boolean | null): LoaderSlot => ({ priority, tries, good });
const bad = said(0, 0, false);
const base: StoreView = { slots: { a: said(3, 2, null), b: said(2, 3, true), c: said(1, 3, true) }, nonce: "0".repeat(16) };
const seen = (slots: Record<string, LoaderSlot>): StoreView => ({ ...base, slots: { ...base.slots, ...slots } });

function order({ slots }: BootRecord): string {
  return Object.keys(slots)
    .sort((one, other) => (slots[other]?.priority ?? 0) - (slots[one]?.priority ?? 0))
    .join("");
}

interface Row {
  what: string;
  record?: BootRecord;
  seen: Record<string, LoaderSlot>;
  facts?: MergeFacts;
  /** What is told; empty: nothing. */
  told: string[];
  check(merged: BootRecord): void;
}

const rows: Row[] = [
  {
    what: "the running trial marked good is committed, with the image that runs",
    seen: { a: said(3, 3, true) },
    told: ["slot a was marked good in the bootloader's store: its image is committed"],
    check: ({ slots, lastCommitted, attempt }) => {
      assert.equal([slots.a?.state, slots.a?.tries, attempt?.stage], ["committed", 10, "good"]);
      assert.equal(lastCommitted, { slot: "a", imageId: image("1") });
    },
  },
  {
    what: "a trial that never came to its handover is none to commit",
    record: record({ attempt: { ...attemptOf("a"), stage: "counted" } }),
    seen: { a: said(3, 3, true) },
    told: ["slot a was marked good in the bootloader's store: it has its tries again"],
    check: ({ slots }) => assert.equal([slots.a?.state, slots.a?.tries, slots.a?.imageId], ["trial", 3, null]),
  },
  {
    what: "one that runs with degraded state is not committed",
    record: record({ attempt: { ...attemptOf("a"), degraded: true } }),
    seen: { a: said(3, 3, true) },
    told: ["slot a was marked good in the bootloader's store, and is not committed: it runs without some of its state"],
    check: ({ slots }) => assert.is(slots.a?.state, "trial"),
  },
  {
    what: "one in safe mode is not committed",
    record: record({
      recovery: { asked: null, tried: [], current: { rung: "safe-mode", slot: "a", imageId: image("1") } },
    }),
    seen: { a: said(3, 3, true) },
    told: ["slot a was marked good in the bootloader's store, and is not committed: it runs without some of its state"],
    check: ({ slots }) => assert.is(slots.a?.state, "trial"),
  },
  {
    what: "a committed slot marked good has its tries again",
    record: record({ slots: { ...record().slots, b: slot({ priority: 2, tries: 4, imageId: image("2"), reason: "x" }) } }),
    seen: { b: said(2, 4, true) },
    told: ["slot b was marked good in the bootloader's store"],
    check: ({ slots }) => assert.equal([slots.b?.tries, slots.b?.reason, slots.b?.state], [10, null, "committed"]),
  },
  {
    what: "what is good already is no change",
    seen: { b: said(2, 4, true) },
    told: [],
    check: (merged) => assert.equal(merged, record()),
  },
  {
    what: "marked bad: no tries, and why",
    seen: { a: bad },
    told: ["slot a was marked bad in the bootloader's store"],
    check: ({ slots }) => assert.equal([slots.a?.tries, slots.a?.reason, slots.a?.state], [0, MARKED_BAD, "trial"]),
  },
  {
    what: "a committed slot marked bad stays committed, and is not booted",
    seen: { b: said(0, 3, false) },
    told: ["slot b was marked bad in the bootloader's store"],
    check: ({ slots, lastCommitted }) => {
      assert.equal([slots.b?.tries, slots.b?.reason, slots.b?.state], [0, MARKED_BAD, "committed"]);
      assert.is(lastCommitted?.slot, "b");
    },
  },
  {
    what: "a slot that was given up for a reason keeps it",
    record: record({ slots: { ...record().slots, c: slot({ state: "trial", tries: 0, reason: "trial used up", priority: 1 }) } }),
    seen: { c: bad },
    told: [],
    check: ({ slots }) => assert.is(slots.c?.reason, "trial used up"),
  },
  {
    what: "a trial put first is raised, on trial with all tries and an image that nobody has seen yet",
    record: record({
      slots: { ...record().slots, c: slot({ state: "trial", tries: 0, damaged: "x", reason: "y", priority: 1 }) },
    }),
    seen: { a: said(2, 2, null), b: said(1, 3, true), c: said(3, 3, true) },
    told: ["slot c was put first in the bootloader's store: it boots next, on trial"],
    check: (merged) => {
      assert.is(order(merged), "cab");
      const { state, tries, damaged, reason, imageId } = slotOf(merged, "c");
      assert.equal(
        { state, tries, damaged, reason, imageId },
        { state: "trial", tries: 3, damaged: null, reason: null, imageId: null },
      );
    },
  },
  {
    what: "a committed slot put first stays committed, with the image that it is known for",
    seen: { a: said(2, 2, null), b: said(3, 3, true) },
    told: ["slot b was put first in the bootloader's store: it boots next"],
    check: (merged) => {
      assert.is(order(merged), "bac");
      assert.equal([slotOf(merged, "b").state, slotOf(merged, "b").imageId], ["committed", image("2")]);
    },
  },
  {
    what: "an empty slot put first becomes a trial",
    record: record({ slots: { ...record().slots, c: slot({ state: "empty", tries: 0, imageId: null, priority: 1 }) } }),
    seen: { a: said(2, 2, null), b: said(1, 3, true), c: said(3, 3, true) },
    told: ["slot c was put first in the bootloader's store: it boots next, on trial"],
    check: (merged) => assert.equal([slotOf(merged, "c").state, slotOf(merged, "c").tries], ["trial", 3]),
  },
  {
    what: "the first one that was marked bad leaves the next one first, which nobody activated",
    seen: { a: bad, b: said(2, 3, true) },
    told: ["slot a was marked bad in the bootloader's store"],
    check: ({ slots }) => assert.equal(slots.b, record().slots.b),
  },
  {
    what: "another order behind the first one",
    seen: { b: said(1, 3, true), c: said(2, 3, true) },
    told: ["the order of the slots was changed in the bootloader's store"],
    check: (merged) => assert.is(order(merged), "acb"),
  },
  {
    what: "a slot that the store forgot is told of, and nothing else",
    seen: {},
    told: ["the bootloader's store says nothing of slot c any more: it is written again"],
    check: (merged) => assert.equal(merged, record()),
  },
  {
    what: "a loader's script that counts, though slipway chooses, is nobody's verdict",
    seen: { b: said(2, 2, null) },
    facts: atBoot,
    told: [],
    check: (merged) => assert.equal(merged, record()),
  },
  {
    what: "all boots of a trial taken at once, though slipway chooses, is one",
    seen: { c: said(1, 0, null) },
    facts: atBoot,
    told: ["slot c has no tries left in the bootloader's store, and was not booted: it is marked bad"],
    check: ({ slots }) => assert.equal([slots.c?.tries, slots.c?.reason], [0, MARKED_BAD]),
  },
  {
    what: "all boots of a committed slot taken by power that went before slipway came give it up no more than they are",
    seen: { b: said(2, 0, null) },
    facts: atBoot,
    told: ["the bootloader started slot b 3 times without getting as far as slipway"],
    check: ({ slots }) => assert.equal([slots.b?.tries, slots.b?.reason], [7, null]),
  },
  {
    what: "all of them taken while the system runs, where no loader counts, is a verdict",
    seen: { b: said(2, 0, null) },
    told: ["slot b has no tries left in the bootloader's store, and was not booted: it is marked bad"],
    check: ({ slots }) => assert.equal([slots.b?.tries, slots.b?.reason], [0, MARKED_BAD]),
  },
  {
    what: "the loader's count of the boot that goes on is no change",
    seen: { a: said(3, 1, null) },
    facts: behindLoader("a"),
    told: [],
    check: (merged) => assert.equal(merged, record()),
  },
  {
    what: "boots that never came as far as slipway are counted and told",
    seen: { a: said(3, 0, null), b: said(2, 2, null) },
    facts: behindLoader("b"),
    told: ["the bootloader started slot a 2 times without getting as far as slipway"],
    check: ({ slots }) => assert.equal([slots.a?.tries, slots.b?.tries], [0, 10]),
  },
  {
    what: "a loader that gives a slot up with its last boot has counted it",
    record: record({ slots: { ...record().slots, a: slot({ state: "trial", priority: 3, tries: 1 }) } }),
    seen: { a: bad },
    facts: behindLoader("a"),
    told: [],
    check: ({ slots }) => assert.equal([slots.a?.tries, slots.a?.reason], [1, null]),
  },
];

function attemptOf(name: string): NonNullable<BootRecord["attempt"]> {
  return { number: 4, slot: name, imageId: image("1"), trial: true, stage: "handover", cleanEnd: false };
}

for (const { what, record: before = record(), seen: change, facts = running, told, check } of rows) {
  test(what, () => {
    const after = seen(change);
    if (what.includes("forgot")) delete after.slots.c;
    const from = what.includes("last boot") ? seen({ a: said(3, 1, null) }) : base;
    const merged = mergeStore(before, from, after, facts);
    assert.equal(merged.changes, told);
    check(merged.record);
    // It is a record, and the same once it was read again.
    assert.equal(bootRecord(JSON.parse(JSON.stringify(merged.record))), merged.record);
    assert.equal(mergeStore(merged.record, after, after, facts), { record: merged.record, changes: [] });
  });
}

test("the running trial marked good, and then another slot put first: both, in whatever order the store has them", () => {
  const runsB = record({
    slots: { a: slot({ priority: 1 }), b: slot({ state: "trial", priority: 2, tries: 2, imageId: image("2") }) },
    attempt: { number: 4, slot: "b", imageId: image("2"), trial: true, stage: "handover", cleanEnd: false },
    lastCommitted: { slot: "a", imageId: image("1") },
  });
  const before: StoreView = { slots: { a: said(1, 3, true), b: said(2, 2, null) }, nonce: null };
  const [a, b] = [said(2, 3, true), said(1, 3, true)];
  for (const slots of [
    { a, b },
    { b, a },
  ]) {
    const { record: merged, changes } = mergeStore(runsB, before, { slots, nonce: null }, running);
    assert.is(order(merged), "ab");
    assert.equal([merged.slots.b?.state, merged.attempt?.stage, changes.length], ["committed", "good", 2]);
  }
});

test("a slot that is not the control file's is nobody's", () => {
  const strange = { ...base, slots: { ...base.slots, x: said(4, 3, true) } };
  const { record: merged, changes } = mergeStore(record(), base, strange, running);
  assert.equal([merged, changes], [record(), []]);
});

test("a record is begun with the store's order and what it gives up; where that is all, all are tried", () => {
  const begun = recordFromStore({ slots: { a: bad, b: said(1, 3, true), c: said(2, null, true) }, nonce: null }, rules);
  assert.is(order(begun), "cba");
  assert.equal(
    [begun.slots.a?.tries, begun.slots.a?.reason, begun.slots.c?.tries, begun.slots.c?.state],
    [0, MARKED_BAD, 3, "trial"],
  );
  const none = recordFromStore({ slots: { a: bad, b: bad, c: bad }, nonce: null }, rules);
  assert.equal(none, freshRecord(rules.policy));
  assert.equal(recordFromStore({ slots: {}, nonce: null }, rules), freshRecord(rules.policy));
});

test("what a record makes of a view: full, in use, given up, in each kind of store", () => {
  const { slots } = projectRecord(record(), null, null, { ...rules, chooser: "slipway" });
  assert.equal(slots, { a: said(3, 2, null), b: said(2, null, true), c: said(1, 3, null) });
  const used = record({
    slots: { ...record().slots, b: slot({ priority: 2, tries: 9 }), c: slot({ state: "empty", tries: 0, priority: 1 }) },
  });
  assert.equal(projectRecord(used, "f".repeat(16), null, { ...rules, chooser: "slipway" }), {
    slots: { a: said(3, 2, null), b: said(2, 2, null), c: bad },
    nonce: "f".repeat(16),
  });
  // Attributes, and entries: a good slot is not counted. One try, as RAUC's script for GRUB has it.
  const uncounted = { mostTries: 15, countsGood: false, hasNonce: false };
  assert.equal(projectRecord(used, "f".repeat(16), null, { ...rules, traits: uncounted, chooser: "slipway" }), {
    slots: { a: said(3, 2, null), b: said(2, null, true), c: bad },
    nonce: null,
  });
  const one = { mostTries: 1, countsGood: true, hasNonce: true };
  const { slots: few } = projectRecord(used, null, null, { ...rules, traits: one, chooser: "slipway" });
  assert.equal(few, { a: said(3, 0, null), b: said(2, 0, null), c: bad });
});

test("what the loader counted is never undone, and what it has given up is armed again only by the record", () => {
  const loader = { ...rules, chooser: "loader" } as const;
  const counted = seen({ a: said(3, 1, null), b: said(2, 1, null) });
  const used = record({ slots: { ...record().slots, b: slot({ priority: 2, tries: 9 }) } });
  const { slots } = projectRecord(used, null, counted, loader);
  assert.equal([slots.a?.tries, slots.b?.tries], [1, 1]);
  const rearmed = projectRecord(used, null, seen({ b: bad }), loader);
  assert.equal(rearmed.slots.b, said(2, 2, null));
  // Its count ended before the record's: it is to boot something all the same.
  const none = {
    ...used,
    slots: {
      ...used.slots,
      a: slot({ state: "trial", priority: 3, tries: 0, reason: "x" }),
      c: slot({ state: "empty", priority: 1 }),
    },
  };
  assert.equal(
    projectRecord({ ...none, attempt: null }, null, seen({ a: bad, b: said(2, 0, null), c: bad }), loader).slots.b,
    said(2, 1, null),
  );
});

test("the record goes first where the store alone would make a commit of a change that is none", () => {
  const onDisk = { record: record(), base };
  // Out of safe mode a slot gets a try back: nobody called it good.
  const rearmed = seen({ a: said(3, 3, true) });
  assert.not(isStoreFirst(onDisk, record(), rearmed, running));
  const committed = mergeStore(record(), base, rearmed, running).record;
  assert.ok(isStoreFirst(onDisk, committed, rearmed, running));
  assert.ok(isStoreFirst({ record: record(), base: null }, record(), rearmed, running));
  assert.ok(isStoreFirst(null, record(), rearmed, running));
});

test("views are the same where all of them is", () => {
  assert.ok(sameView(base, structuredClone(base)));
  assert.not(sameView(base, { ...base, nonce: null }));
  assert.not(sameView(base, seen({ a: said(3, 1, null) })));
  assert.not(sameView(base, { ...base, slots: { a: said(3, 2, null) } }));
  assert.is(firstOf(base), "a");
  assert.is(firstOf(seen({ a: bad })), "b");
  assert.is(firstOf({ slots: { a: bad }, nonce: null }), null);
});

const grub = (dialect: "rauc" | "slipway"): ControlBootRecord => ({
  store: "grubenv",
  device: null,
  grubenv: { device: "PARTLABEL=esp", file: "grubenv", dialect },
});

test("what the record knows of a store is of that store alone, whatever is in its place", () => {
  const id = storeId(grub("rauc"));
  assert.match(id, /^grubenv-[0-9a-f]{16}$/);
  assert.is(storeId({ ...grub("rauc"), device: "PARTLABEL=x" }), id, "where the record is says nothing of the store");
  assert.is.not(storeId(grub("slipway")), id);
  const kept = { ...base, store: id };
  assert.equal(baseOf(JSON.parse(JSON.stringify(kept)), id), kept);
  const wrong = [
    null,
    7,
    [],
    {},
    { ...kept, store: "other" },
    { ...kept, nonce: "x" },
    { ...kept, slots: null },
    { ...kept, slots: { a: null } },
    { ...kept, slots: { a: { ...said(1, 1, null), priority: -1 } } },
    { ...kept, slots: { a: { ...said(1, 1, null), tries: "3" } } },
    { ...kept, slots: { a: { ...said(1, 1, null), good: 1 } } },
  ];
  for (const value of wrong) assert.is(baseOf(value, id), null, JSON.stringify(value));
});

test("each store's room", () => {
  const of = (bootRecord: ControlBootRecord) => Object.values(traitsOf(bootRecord)).join(" ");
  assert.is(of(grub("rauc")), "1 true true");
  assert.is(of(grub("slipway")), "3 true true");
  assert.is(of({ store: "uboot-env", device: null, environment: { copies: [], dialect: "rauc" } }), "3 true true");
  assert.is(of({ store: "gpt", device: null, dialect: "chromeos" }), "15 false false");
  assert.is(of({ store: "bls", device: null, bls: { device: "LABEL=x", directory: "loader/entries" } }), "100 false true");
  assert.is(of({ store: "bls", device: null, bls: { device: "LABEL=x", directory: "EFI/Linux" } }), "100 false false");
  assert.is(of({ store: "tryboot", device: null, tryboot: { device: "LABEL=x" } }), "1 false false");
});

test.run();
