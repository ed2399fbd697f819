import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type CollectionFacts, earlierTries, planCollection } from "../../state-ops/collection.ts";
import { type GenerationFact, type GenerationFacts, NO_ORDERS } from "../../state-ops/generation-facts.ts";
import { formatPin, parsePin } from "../../state-ops/layout.ts";

function generation(number: number, slot: string, imageId: string, parent: number | null = null): GenerationFact {
  const meta = { schema: 1 as const, number, parent, imageId, slot, controlDigest: "sha256:c", attempt: number };
  return { number, complete: true, meta, pinned: null };
}

const committedA = { slot: "a", imageId: "X" };
const pinned = { pinned: { reason: "slot b was left", attempt: 7 } };

interface Row {
  name: string;
  facts: CollectionFacts;
  collect: number[];
  underPressure: number[];
  /** By number: a text of the reason. */
  kept: Record<number, string>;
}

const rows: Row[] = [
  {
    name: "a machine with one generation",
    facts: { pointers: { a: 1, b: null }, generations: [generation(1, "a", "X")], committed: committedA },
    collect: [],
    underPressure: [],
    kept: { 1: "the committed state, of slot a" },
  },
  {
    name: "failed tries: the newest is kept for a look, and goes where space is needed",
    facts: {
      pointers: { a: 1, b: 5 },
      generations: [1, 2, 3, 4, 5].map((number) => generation(number, number === 1 ? "a" : "b", number === 1 ? "X" : "Y", 1)),
      committed: committedA,
    },
    collect: [2, 3],
    underPressure: [4],
    kept: { 1: "committed", 5: "slot b points at it" },
  },
  {
    name: "older committed ones: one stays, failed ones go before it",
    facts: {
      pointers: { a: 4, b: 3 },
      generations: [
        generation(1, "a", "V"),
        generation(2, "b", "W", 1),
        generation(3, "b", "Y", 2),
        generation(4, "a", "X", 3),
        generation(5, "a", "Z", 4),
        generation(6, "a", "Z", 4),
      ],
      committed: committedA,
    },
    collect: [5, 1],
    underPressure: [6, 2],
    kept: { 3: "slot b points at it", 4: "committed" },
  },
  {
    name: "what is pinned stays, whatever it is",
    facts: {
      pointers: { a: 1, b: null },
      generations: [
        generation(1, "a", "X"),
        { ...generation(2, "b", "Y", 1), ...pinned },
        { number: 3, complete: false, meta: null, ...pinned },
        generation(4, "b", "Z", 2),
      ],
      committed: committedA,
    },
    collect: [],
    underPressure: [4],
    kept: { 1: "committed", 2: "pinned in attempt 7: slot b was left", 3: "pinned" },
  },
  {
    name: "a damaged one goes last, and only where the committed state is newer",
    facts: {
      pointers: { a: 2, b: null },
      generations: [
        { ...generation(1, "a", "W"), complete: false },
        generation(2, "a", "X"),
        generation(3, "b", "Y", 2),
        { ...generation(4, "b", "Y"), complete: false },
      ],
      committed: committedA,
    },
    collect: [],
    underPressure: [3, 1],
    kept: { 2: "committed", 4: "damaged, and newer than the committed 000002" },
  },
  {
    name: "nothing was committed yet: nothing goes",
    facts: { pointers: { a: 2 }, generations: [generation(1, "a", "V"), generation(2, "a", "X", 1)], committed: null },
    collect: [],
    underPressure: [],
    kept: { 1: "no slot was committed yet", 2: "slot a points at it" },
  },
  {
    name: "the committed state is missing: nothing goes",
    facts: { pointers: { b: 2 }, generations: [generation(1, "b", "V"), generation(2, "b", "Y", 1)], committed: committedA },
    collect: [],
    underPressure: [],
    kept: { 1: "the committed state is missing", 2: "slot b points at it" },
  },
  {
    name: "the committed state is found by its image where the slot points elsewhere: the rollback target of a trial in its own slot",
    facts: {
      pointers: { a: 3 },
      generations: [generation(1, "a", "X"), generation(2, "a", "Y", 1), generation(3, "a", "Y", 1)],
      committed: committedA,
    },
    collect: [],
    underPressure: [2],
    kept: { 1: "the committed state", 3: "slot a points at it" },
  },
];

for (const row of rows) {
  test(row.name, () => {
    const plan = planCollection(row.facts);
    assert.equal(
      plan.collect.map(({ number }) => number),
      row.collect,
    );
    assert.equal(
      plan.underPressure.map(({ number }) => number),
      row.underPressure,
    );
    assert.equal(
      plan.kept.map(({ number }) => number),
      Object.keys(row.kept).map(Number),
    );
    for (const { number, why } of plan.kept) assert.ok(why.includes(row.kept[number] ?? "?"), `${number}: ${why}`);
  });
}

test("PID 1 deletes the tries of this trial that nothing points at, and no others", () => {
  const facts: GenerationFacts = {
    ...{ slot: "b", imageId: "Y", controlDigest: "sha256:c", trial: true, previousEnd: "unclean" },
    ...{ left: null, attempt: 9, orders: NO_ORDERS, wish: "ordinary" },
    pointers: { a: 1, b: 4 },
    committed: committedA,
    generations: [
      generation(1, "a", "X"),
      generation(2, "b", "Y", 1),
      { ...generation(3, "b", "Y", 1), ...pinned },
      generation(4, "b", "Y", 1),
      generation(5, "b", "Z", 1),
      generation(6, "a", "Y", 1),
    ],
  };
  const clone = { do: "clone", from: 1, to: 7, parent: 1, without: [], why: "", reason: null } as const;
  assert.equal(earlierTries(facts, clone), [2]);
  assert.equal(earlierTries({ ...facts, trial: false }, clone), []);
  assert.equal(earlierTries({ ...facts, committed: null }, clone), []);
  assert.equal(earlierTries(facts, { ...clone, from: 2 }), []);
  assert.equal(earlierTries(facts, { do: "create", to: 7, why: "", reason: null }), []);
  assert.equal(earlierTries(facts, { do: "continue", generation: 4, why: "", reason: null }), []);
});

test("a pin says why, and a damaged one still pins", () => {
  const pin = { reason: "slot b was left for slot a", attempt: 12 };
  assert.equal(parsePin(formatPin(pin)), pin);
  for (const text of [null, "", "{}", "[]", '{"reason":1,"attempt":1}', "null", '{"reason":"x"}']) {
    assert.match(parsePin(text).reason, /PINNED is there, but cannot be read/);
  }
});

const arbitrary: fc.Arbitrary<CollectionFacts> = fc.record({
  pointers: fc.dictionary(fc.constantFrom("a", "b", "c"), fc.option(fc.integer({ min: 1, max: 9 }))),
  committed: fc.option(fc.record({ slot: fc.constantFrom("a", "b"), imageId: fc.constantFrom("X", "Y") })),
  generations: fc
    .array(
      fc.record({
        complete: fc.boolean(),
        isPinned: fc.boolean(),
        slot: fc.constantFrom("a", "b", "c"),
        imageId: fc.constantFrom("X", "Y", "Z"),
        parent: fc.option(fc.integer({ min: 1, max: 8 })),
      }),
      { maxLength: 9 },
    )
    .map((list) =>
      list.map(({ complete, isPinned, slot, imageId, parent }, index) => ({
        ...generation(index + 1, slot, imageId, parent),
        complete,
        pinned: isPinned ? pinned.pinned : null,
      })),
    ),
});

test("whatever is found: each generation has one verdict, nothing that somebody needs goes, and few of no use stay", () => {
  fc.assert(
    fc.property(arbitrary, (facts) => {
      const { collect, underPressure, kept } = planCollection(facts);
      const all = [...collect, ...underPressure, ...kept].map(({ number }) => number).sort();
      assert.equal(
        all,
        facts.generations.map(({ number }) => number),
      );
      const pointed = new Set(Object.values(facts.pointers));
      for (const { number, why } of [...collect, ...underPressure]) {
        const given = facts.generations.find((entry) => entry.number === number);
        assert.ok(!pointed.has(number) && given?.pinned === null, `${number}: ${why}`);
        assert.ok(facts.committed !== null);
        assert.ok(kept.some(({ why: reason }) => reason.startsWith("the committed state, of")));
      }
      const valid = underPressure.filter(({ why }) => !why.startsWith("damaged"));
      assert.ok(valid.length <= 2, "one failed, one older");
    }),
    { numRuns: 3000 },
  );
});

test.run();
