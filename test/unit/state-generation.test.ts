import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  committedGenerationNumber,
  type GenerationFact,
  type GenerationFacts,
  NO_ORDERS,
} from "../../state-ops/generation-facts.ts";
import { planGeneration } from "../../state-ops/generation-plan.ts";
import { parseGenerationName } from "../../state-ops/layout.ts";

const control = "sha256:control";

function generation(number: number, slot: string, imageId: string, parent: number | null = null): GenerationFact {
  const meta = { schema: 1 as const, number, parent, imageId, slot, controlDigest: control, attempt: number };
  return { number, complete: true, meta, pinned: null };
}

function incomplete(fact: GenerationFact): GenerationFact {
  return { ...fact, complete: false };
}

function facts(changes: Partial<GenerationFacts>): GenerationFacts {
  const base: GenerationFacts = {
    slot: "a",
    imageId: "X",
    controlDigest: control,
    trial: false,
    previousEnd: "clean",
    pointers: { a: 1, b: null },
    generations: [generation(1, "a", "X")],
    committed: { slot: "a", imageId: "X" },
    left: null,
    attempt: 9,
    orders: NO_ORDERS,
    wish: "ordinary",
  };
  return { ...base, ...changes };
}

/** b holds Y on trial; a is committed with generation 1. */
const onTrial = { slot: "b", imageId: "Y", trial: true };
const tried = [generation(1, "a", "X"), generation(2, "b", "Y", 1)];

interface Row {
  name: string;
  facts: GenerationFacts;
  plan: string;
  /** A text that the reason has; null: an ordinary boot. */
  reason: string | null;
}

const rows: Row[] = [
  {
    name: "first boot of the machine",
    facts: facts({ trial: true, previousEnd: "none", pointers: {}, generations: [], committed: null }),
    plan: "create 1",
    reason: null,
  },
  { name: "a committed slot continues", facts: facts({}), plan: "continue 1", reason: null },
  {
    name: "a committed slot continues after an unclean end",
    facts: facts({ previousEnd: "unclean" }),
    plan: "continue 1",
    reason: null,
  },
  { name: "first try clones the committed", facts: facts(onTrial), plan: "clone 1 to 2", reason: null },
  {
    name: "first try of another image in a slot that had one",
    facts: facts({ ...onTrial, imageId: "Z", pointers: { a: 1, b: 2 }, generations: tried }),
    plan: "clone 1 to 3",
    reason: null,
  },
  {
    name: "first try of the committed image in the other slot",
    facts: facts({ slot: "b", trial: true }),
    plan: "clone 1 to 2",
    reason: null,
  },
  {
    name: "further try after a clean end",
    facts: facts({ ...onTrial, pointers: { a: 1, b: 2 }, generations: tried }),
    plan: "continue 2",
    reason: null,
  },
  {
    name: "further try after an unclean end",
    facts: facts({ ...onTrial, previousEnd: "unclean", pointers: { a: 1, b: 2 }, generations: tried }),
    plan: "clone 1 to 3",
    reason: null,
  },
  {
    name: "a try after a boot of another slot",
    facts: facts({ ...onTrial, previousEnd: "none", pointers: { a: 1, b: 2 }, generations: tried }),
    plan: "clone 1 to 3",
    reason: null,
  },
  {
    name: "further try after something else was committed",
    facts: facts({
      ...onTrial,
      pointers: { a: 1, b: 2, c: 3 },
      generations: [...tried, generation(3, "c", "Z", 1)],
      committed: { slot: "c", imageId: "Z" },
    }),
    plan: "clone 3 to 4",
    reason: null,
  },
  {
    name: "further try where nothing was ever committed keeps what there is",
    facts: facts({ trial: true, previousEnd: "unclean", committed: null }),
    plan: "continue 1",
    reason: null,
  },
  {
    name: "a further try in the slot whose committed image was replaced",
    facts: facts({
      imageId: "Y",
      trial: true,
      previousEnd: "unclean",
      pointers: { a: 2 },
      generations: [generation(1, "a", "X"), generation(2, "a", "Y", 1)],
    }),
    plan: "clone 1 to 3",
    reason: null,
  },
  {
    name: "rollback: the slot that was left resumes its own",
    facts: facts({ pointers: { a: 1, b: 2 }, generations: tried, committed: { slot: "b", imageId: "Y" } }),
    plan: "continue 1",
    reason: null,
  },
  {
    name: "a pinned generation is resumed when its image boots again",
    facts: facts({
      slot: "b",
      imageId: "Y",
      pointers: { a: 1, b: 3 },
      generations: [...tried, generation(3, "b", "Z", 1)],
    }),
    plan: "continue 2",
    reason: null,
  },
  {
    name: "the last committed image, put back on trial by recovery, resumes its own",
    facts: facts({ trial: true, pointers: { a: 2 }, generations: [generation(1, "a", "X"), generation(2, "a", "Y", 1)] }),
    plan: "continue 1",
    reason: null,
  },
  {
    name: "a committed slot whose pointer is lost",
    facts: facts({ pointers: {} }),
    plan: "continue 1",
    reason: "slot a had no pointer",
  },
  {
    name: "a pointer to an incomplete generation is repaired from the committed",
    facts: facts({
      ...onTrial,
      trial: false,
      pointers: { a: 1, b: 2 },
      generations: tried.map((fact, at) => (at === 1 ? incomplete(fact) : fact)),
    }),
    plan: "clone 1 to 3",
    reason: "points at generation 000002, which is damaged or incomplete",
  },
  {
    name: "a pointer to nowhere is repaired from the last one of this image",
    facts: facts({ pointers: { a: 7 } }),
    plan: "clone 1 to 8",
    reason: "points at generation 000007, which is missing",
  },
  {
    name: "a pointer to nowhere, nothing committed: the newest state",
    facts: facts({ slot: "b", imageId: "Y", pointers: { a: 1, b: 7 }, committed: null }),
    plan: "clone 1 to 8",
    reason: "state was cloned from generation 000001 of slot a",
  },
  {
    name: "a generation that lies about its number is no generation",
    facts: facts({ generations: [{ ...generation(1, "a", "X"), number: 4 }], pointers: { a: 4 } }),
    plan: "create 5",
    reason: "no valid generation among 000004, which are kept; state starts anew",
  },
  {
    name: "all generations damaged says so",
    facts: facts({ generations: [incomplete(generation(1, "a", "X"))] }),
    plan: "create 2",
    reason: "no valid generation among 000001",
  },
  {
    name: "a committed machine with an empty data filesystem says so",
    facts: facts({ generations: [], pointers: {} }),
    plan: "create 1",
    reason: "the data filesystem holds no generation; state starts anew",
  },
  {
    name: "a first boot that was cut before its pointer was set goes on with what it made",
    facts: facts({ trial: true, previousEnd: "unclean", pointers: {}, committed: null }),
    plan: "continue 1",
    reason: "slot a had no pointer",
  },
  {
    name: "an unreadable record: the slot goes on with its own",
    facts: facts({ trial: true, previousEnd: "none", committed: null }),
    plan: "continue 1",
    reason: null,
  },
  {
    name: "an unreadable record: a slot without state gets the newest, not none",
    facts: facts({ ...onTrial, previousEnd: "none", committed: null }),
    plan: "clone 1 to 2",
    reason: "no slot was committed yet",
  },
  {
    name: "an image changed in place is an update",
    facts: facts({ controlDigest: "sha256:other" }),
    plan: "clone 1 to 2",
    reason: "another control file",
  },
];

for (const row of rows) {
  test(row.name, () => {
    const plan = planGeneration(row.facts);
    assert.ok(plan.why !== "");
    const line =
      plan.do === "continue"
        ? `continue ${plan.generation}`
        : plan.do === "clone"
          ? `clone ${plan.from} to ${plan.to}`
          : `create ${plan.to}`;
    assert.is(line, row.plan, `${plan.why} / ${plan.reason}`);
    if (row.reason === null) {
      assert.is(plan.reason, null);
    } else {
      assert.ok(plan.reason?.includes(row.reason), `"${plan.reason}" has not "${row.reason}"`);
    }
  });
}

const slots = ["a", "b", "c"];
const images = ["X", "Y", "Z"];
const fact = fc.record({
  complete: fc.boolean(),
  lies: fc.boolean(),
  slot: fc.constantFrom(...slots),
  imageId: fc.constantFrom(...images),
  parent: fc.option(fc.integer({ min: 1, max: 6 })),
});
const arbitraryFacts: fc.Arbitrary<GenerationFacts> = fc.record({
  slot: fc.constantFrom(...slots),
  imageId: fc.constantFrom(...images),
  controlDigest: fc.constantFrom(control, "sha256:other"),
  trial: fc.boolean(),
  previousEnd: fc.constantFrom("clean", "unclean", "none"),
  pointers: fc.dictionary(fc.constantFrom(...slots), fc.option(fc.integer({ min: 1, max: 6 }))),
  generations: fc.array(fact, { maxLength: 5 }).map((list) =>
    list.map((entry, index) => {
      const number = index + 1;
      const made = generation(number, entry.slot, entry.imageId, entry.parent);
      const meta = made.meta !== null && entry.lies ? { ...made.meta, number: number + 1 } : made.meta;
      return { number, complete: entry.complete, meta, pinned: null };
    }),
  ),
  committed: fc.option(fc.record({ slot: fc.constantFrom(...slots), imageId: fc.constantFrom(...images) })),
  left: fc.constantFrom(null, "tries used up"),
  attempt: fc.integer({ min: 1, max: 9 }),
  orders: fc.constant(NO_ORDERS),
  wish: fc.constant<GenerationFacts["wish"]>("ordinary"),
});

test("a trial whose committed generation is damaged descends from an older one of it, and says so", () => {
  const older = [generation(1, "a", "X"), incomplete(generation(3, "a", "X", 1))];
  const first = planGeneration(facts({ ...onTrial, pointers: { a: 3, b: null }, generations: older }));
  const second = planGeneration(
    facts({ ...onTrial, pointers: { a: 3, b: 2 }, generations: [...older, generation(2, "b", "Y", 3)] }),
  );
  for (const plan of [first, second]) {
    assert.is(plan.do === "clone" ? plan.from : null, 1);
    assert.is(plan.reason, "slot a, which is committed, points at generation 000003, which is damaged or incomplete");
  }
});

test("somebody put many generations there, one with the highest number: the next has a name that can be read again", () => {
  const many = Array.from({ length: 70_000 }, (_, index) => incomplete(generation(index + 2, "z", "Z")));
  const highest = parseGenerationName("999999999999999") ?? 0;
  const given = (generations: GenerationFact[], pointers: GenerationFacts["pointers"]) => {
    const plan = planGeneration(facts({ ...onTrial, pointers, generations: [generation(1, "a", "X"), ...generations] }));
    return plan.do === "clone" ? plan.to : null;
  };
  assert.is(given(many, { a: 1 }), 70_002);
  assert.is(given([incomplete(generation(highest, "z", "Z"))], { a: 1 }), 2);
  assert.is(given([], { a: 1, b: highest }), 2);
  assert.is(given([incomplete(generation(highest - 1, "z", "Z"))], { a: 1 }), highest);
});

test("whatever is found: only valid sources, new targets, no silent reset, the committed generation kept from trials", () => {
  let created = 0;
  fc.assert(
    fc.property(arbitraryFacts, (given) => {
      const plan = planGeneration(given);
      const valid = given.generations.filter((entry) => entry.complete && entry.meta?.number === entry.number);
      const committed = committedGenerationNumber(given);
      if (plan.do === "create") {
        created++;
        assert.is(valid.length, 0);
        assert.ok(plan.reason !== null || (given.generations.length === 0 && given.committed === null));
      } else {
        const source = plan.do === "clone" ? plan.from : plan.generation;
        const used = valid.find((entry) => entry.number === source);
        assert.ok(used, `generation ${source} is not valid`);
        if (plan.do === "continue") {
          assert.is(used.meta?.imageId, given.imageId);
          assert.is(used.meta?.slot, given.slot);
          assert.is(used.meta?.controlDigest, given.controlDigest);
          assert.ok(!given.trial || given.committed?.imageId === given.imageId || source !== committed);
        } else if (given.trial && committed !== null) {
          assert.is(source, committed);
        }
      }
      if (plan.do !== "continue") {
        assert.ok(given.generations.every((entry) => entry.number < plan.to));
        assert.ok(Object.values(given.pointers).every((pointer) => (pointer ?? 0) < plan.to));
      }
    }),
    { numRuns: 2000 },
  );
  assert.ok(created > 0);
});

test.run();
