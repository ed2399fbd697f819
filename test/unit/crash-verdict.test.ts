import { test } from "uvu";
import * as assert from "uvu/assert";
import { differenceOf } from "../samples/tree-content.ts";
import type { CrashFacts } from "../vm/support/crash-job.ts";
import { faultsOf, stateOfSlot } from "../vm/support/crash-verdict.ts";

const generation = (number: number, whole = true) => ({ number, complete: whole, whole });
const continues = (slot: string, from: number) => ({ slot, do: "continue" as const, from, reason: null });

const old: CrashFacts = {
  repaired: null,
  complaints: [],
  record: "valid",
  pointers: { a: 1, b: null },
  generations: [generation(1)],
  stores: { "gens/000001/tree/home": { ".": "directory", file: "1" }, "shared/id": { ".": "7" } },
  plans: [continues("a", 1), { slot: "b", do: "clone", from: 1, reason: null }],
};

/** A trial's first try changed a file and brought a store of its own. */
const made: CrashFacts = {
  ...old,
  pointers: { a: 1, b: 2 },
  generations: [generation(1), generation(2)],
  stores: {
    ...old.stores,
    "gens/000002/tree/home": { ".": "directory", file: "2" },
    "gens/000002/tree/new": { ".": "directory" },
  },
};

const without = (facts: CrashFacts, store: string): CrashFacts["stores"] =>
  Object.fromEntries(Object.entries(facts.stores).filter(([path]) => path !== store));

const faults = (seen: Partial<CrashFacts>, from = made): string => faultsOf({ ...from, ...seen }, old, made).join("; ");

test("the old, the new, and what lies between are good", () => {
  assert.is(faults({}), "");
  assert.is(faults({}, old), "");
  assert.is(faults({ pointers: old.pointers }), "");
  assert.is(faults({ stores: without(made, "gens/000002/tree/new") }), "", "the image's own store is seeded later");
  const told = { slot: "b", do: "clone" as const, from: 2, reason: "no slot was committed yet" };
  assert.is(faults({ pointers: old.pointers, plans: [told] }), "", "a generation without a pointer is told of");
});

test("a boot record that was there is valid, and one that was not may be anything", () => {
  assert.is(faults({ record: "unreadable" }), "the boot record is unreadable");
  assert.is(faults({ record: "empty" }), "the boot record is empty");
  assert.equal(faultsOf({ ...made, record: "unreadable" }, { ...old, record: "empty" }, made), []);
});

test("a pointer to nothing, to a third generation, to a torn one", () => {
  assert.match(faults({ pointers: { a: null, b: 2 } }), /slot a points at null, which is neither the old nor the new: 1, 1/);
  assert.match(faults({ pointers: { a: 1, b: 3 } }), /slot b points at 3/);
  assert.match(faults({ generations: [generation(1)] }), /slot b points at generation 2, which is not whole/);
  assert.match(faults({ generations: [generation(1), generation(2, false)] }), /points at generation 2, which is not whole/);
});

test("generations that are gone, torn or nobody's", () => {
  assert.match(faults({ generations: [generation(2)], pointers: { a: 1, b: 2 } }), /generation 1 is gone/);
  const unpointed = { pointers: old.pointers, generations: [generation(1), { number: 2, complete: true, whole: false }] };
  assert.match(faults(unpointed), /generation 2 is there and not whole \(slipway: true, its files: false\)/);
  assert.match(faults({ generations: [...made.generations, generation(9)] }), /nobody made generation 9/);
});

test("stores that are torn, lost or nobody's", () => {
  const home = (content: Record<string, string>) => ({ stores: { ...made.stores, "gens/000002/tree/home": content } });
  assert.match(faults(home({ ".": "directory" })), /neither the old nor the new: file is "missing" instead of "2"/);
  assert.match(faults(home({ ".": "directory", file: "0" })), /file is "0" instead of "2"/);
  assert.match(faults(home({ ".": "directory", file: "2", more: "x" })), /more is "x" instead of "missing"/);
  assert.match(faults({ stores: without(made, "shared/id") }), /the store shared\/id is gone/);
  assert.match(faults({ stores: without(made, "gens/000001/tree/home") }), /the store gens\/000001\/tree\/home is gone/);
  assert.match(
    faults({ stores: without(made, "gens/000002/tree/home") }),
    /generation 2 is there without the store gens\/000002\/tree\/home/,
  );
  assert.match(faults({ stores: { ...made.stores, "shared/odd": { ".": "" } } }), /nobody made the store shared\/odd/);
});

test("a next boot that begins anew or finds something wrong", () => {
  const create = { slot: "b", do: "create" as const, from: null, reason: null };
  assert.is(faults({ plans: [create] }), "the next boot of slot b begins without state");
  const reason = "slot b points at generation 000002, which is missing";
  assert.match(
    faults({ plans: [{ ...create, do: "clone", from: 1, reason }] }),
    /the next boot of slot b says: slot b points at/,
  );
});

test("what slipway's readers complain of", () => {
  assert.is(faults({ complaints: ["LAYOUT is damaged"] }), "LAYOUT is damaged");
});

test("the state of a slot is that of the generation it points at", () => {
  assert.equal(Object.keys(stateOfSlot(made, "b")), ["tree/home", "tree/new"]);
  assert.equal(stateOfSlot(made, "a"), { "tree/home": { ".": "directory", file: "1" } });
  assert.equal(stateOfSlot(old, "b"), {});
  assert.is(differenceOf({ a: "1" }, { a: "1" }), null);
});

test.run();
