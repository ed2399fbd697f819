import { test } from "uvu";
import * as assert from "uvu/assert";
import { type GenerationFact, type GenerationFacts, NO_ORDERS } from "../../state-ops/generation-facts.ts";
import { planGeneration } from "../../state-ops/generation-plan.ts";
import { generationNotes, planWork } from "../../state-ops/generation-work.ts";
import { planRequests } from "../../state-ops/request-plan.ts";
import { formatRequests, NO_REQUESTS, parseRequests, type StateRequests } from "../../state-ops/requests.ts";
import { sampleOperator } from "../samples/operator.ts";

const control = "sha256:control";
const pinned = { pinned: { reason: "slot b was left", attempt: 3 } };

function generation(
  number: number,
  slot: string,
  imageId: string,
  parent: number | null = null,
  attempt = number,
): GenerationFact {
  const meta = { schema: 1 as const, number, parent, imageId, slot, controlDigest: control, attempt };
  return { number, complete: true, meta, pinned: null };
}

/** Slot a with image X is committed and boots; b was a trial of Y. */
const base: GenerationFacts = {
  ...{ slot: "a", imageId: "X", controlDigest: control, trial: false, previousEnd: "clean" },
  pointers: { a: 1, b: 2 },
  generations: [generation(1, "a", "X"), generation(2, "b", "Y", 1)],
  committed: { slot: "a", imageId: "X" },
  ...{ left: null, attempt: 9, orders: NO_ORDERS, wish: "ordinary" },
};

interface Outcome {
  plan: string;
  pins?: Record<number, RegExp>;
  unpin?: number;
  collect?: number[];
  underPressure?: number[];
  notes?: RegExp[];
}

function check(name: string, changes: Partial<GenerationFacts>, outcome: Outcome): void {
  test(name, () => {
    const facts = { ...base, ...changes };
    const plan = planGeneration(facts);
    const work = planWork(facts, plan);
    const line =
      plan.do === "continue"
        ? `continue ${plan.generation}`
        : plan.do === "create"
          ? `create ${plan.to}`
          : `clone ${plan.from} to ${plan.to} of ${plan.parent}${plan.without.map((id) => ` without ${id}`).join("")}`;
    assert.is(line, outcome.plan);
    assert.equal(work.pins.map(({ number }) => number).sort(), Object.keys(outcome.pins ?? {}).map(Number));
    for (const { number, reason } of work.pins) assert.match(reason, outcome.pins?.[number] ?? /never/);
    assert.is(work.unpin, outcome.unpin ?? null);
    assert.equal(work.collect, outcome.collect ?? []);
    assert.equal(work.underPressure, outcome.underPressure ?? []);
    const notes = generationNotes(facts, plan, work);
    assert.is(notes.length, outcome.notes?.length ?? 0, notes.join(" | "));
    for (const [index, pattern] of (outcome.notes ?? []).entries()) assert.match(notes[index] ?? "", pattern);
  });
}

const carried = [{ ...generation(1, "a", "X"), ...pinned }, generation(2, "b", "Y", 1)];
const rolledBack = { committed: { slot: "b", imageId: "Y" } };
check("an ordinary boot does nothing else", {}, { plan: "continue 1" });
check("a trial leaves nothing", { slot: "b", imageId: "Y", trial: true }, { plan: "continue 2" });
check("a rollback pins what the committed slot leaves behind", rolledBack, {
  plan: "continue 1",
  pins: { 2: /^slot b, which was committed, was left for slot a$/ },
  notes: [/generation 000002 is kept: slot b/],
});
check(
  "a fallback says why",
  { ...rolledBack, left: "no tries left" },
  {
    plan: "continue 1",
    pins: { 2: /left for slot a \(no tries left\)/ },
    notes: [/no tries left/],
  },
);
check(
  "a trial that boots since the committed slot broke pins as well",
  {
    ...{ slot: "b", imageId: "Y", trial: true, left: "damaged: block 7" },
  },
  { plan: "continue 2", pins: { 1: /damaged: block 7/ }, notes: [/000001 is kept/] },
);
check(
  "what is pinned already keeps its reason",
  {
    ...rolledBack,
    generations: [generation(1, "a", "X"), { ...generation(2, "b", "Y", 1), ...pinned }],
  },
  { plan: "continue 1" },
);
check(
  "a slot that boots again needs no pin",
  {
    generations: [{ ...generation(1, "a", "X"), ...pinned }, generation(2, "b", "Y", 1)],
  },
  { plan: "continue 1", unpin: 1 },
);
check(
  "a trial keeps its pin",
  {
    ...{ slot: "b", imageId: "Y", trial: true },
    generations: [generation(1, "a", "X"), { ...generation(2, "b", "Y", 1), ...pinned }],
  },
  { plan: "continue 2" },
);
check(
  "earlier tries go before another is cloned, the last one under pressure only",
  {
    ...{ slot: "b", imageId: "Y", trial: true, previousEnd: "unclean", pointers: { a: 1, b: 4 } },
    generations: [1, 2, 3, 4].map((number) =>
      generation(number, number === 1 ? "a" : "b", number === 1 ? "X" : "Y", number === 1 ? null : 1),
    ),
  },
  { plan: "clone 1 to 5 of 1", collect: [2, 3] },
);
check(
  "what may go under pressure, in order",
  {
    ...{ slot: "b", imageId: "Z", trial: true, pointers: { a: 5, b: null } },
    generations: [
      generation(1, "a", "V"),
      generation(2, "b", "W", 1),
      generation(3, "b", "Y", 2),
      generation(4, "b", "Y", 2),
      generation(5, "a", "X", 2),
    ],
  },
  { plan: "clone 5 to 6 of 5", underPressure: [3, 1, 4, 2] },
);

const orders = (changes: Partial<GenerationFacts["orders"]>) => ({ orders: { ...NO_ORDERS, ...changes } });
check("reset of stores: a new generation without them", orders({ without: ["var"] }), { plan: "clone 1 to 3 of 1 without var" });
check(
  "reset of stores on trial: it stays a try of the committed state",
  {
    ...orders({ without: ["var"] }),
    ...{ slot: "b", imageId: "Y", trial: true },
  },
  { plan: "clone 2 to 3 of 1 without var" },
);
check(
  "reset of stores at the first try: the clone goes without",
  {
    ...orders({ without: ["var"] }),
    ...{ slot: "b", imageId: "Z", trial: true },
  },
  { plan: "clone 1 to 3 of 1 without var", underPressure: [] },
);
check(
  "reset of stores where there is no state yet",
  { ...orders({ without: ["var"] }), pointers: {}, generations: [], committed: null },
  {
    plan: "create 1",
  },
);
check(
  "factory reset: nothing is kept, nothing pinned, no number used twice",
  {
    ...orders({ factory: true }),
    ...rolledBack,
    generations: [generation(1, "a", "X"), { ...generation(2, "b", "Y", 1), ...pinned }],
  },
  { plan: "create 3" },
);
check(
  "carry: the slot goes on with the other's state, and its own is pinned",
  { ...orders({ carry: 2 }), ...rolledBack },
  {
    plan: "clone 2 to 3 of 2",
    pins: { 2: /slot b, which was committed/, 1: /slot a goes on with the state of generation 000002 instead/ },
    notes: [/goes on with the state of generation 000002 of slot b/, /000002 is kept/, /000001 is kept/],
  },
);
check(
  "carry that was done and cut short is not done twice",
  {
    ...orders({ carry: 2 }),
    pointers: { a: 3, b: 2 },
    generations: [...carried, generation(3, "a", "X", 2, 8)],
  },
  { plan: "continue 3" },
);
check(
  "carry after an update by clone is done, though the parent is the same",
  {
    ...orders({ carry: 2 }),
    pointers: { a: 3, b: 2 },
    generations: [...carried, generation(3, "a", "X", 2, 5)],
  },
  {
    plan: "clone 2 to 4 of 2",
    pins: { 3: /goes on with the state of generation 000002 instead/ },
    notes: [/goes on with/, /000003 is kept/],
  },
);
check("carry of what is not there", orders({ carry: 7 }), {
  plan: "continue 1",
  notes: [/generation 000007, which slot a was to go on with, is not there: it keeps its own/],
});
check("carry of its own", orders({ carry: 1 }), { plan: "continue 1" });
check(
  "a pointer to nowhere is told of with what became of it",
  { pointers: { a: 7, b: 2 } },
  {
    plan: "clone 1 to 8 of 1",
    notes: [/slot a points at generation 000007, which is missing; slot a goes on with a clone of generation 000001/],
  },
);

const operators = [
  sampleOperator("/var", { state: "persistent" }),
  sampleOperator("/srv", { state: "shared", renamedFrom: "old-srv" }),
  sampleOperator("/keys", { state: "identity" }),
];

test("requests: stores go to where they are kept, unknown ones are dropped with a note", () => {
  const requests: StateRequests = { schema: 1, reset: { what: "stores", ids: ["var", "srv", "nobody"] }, carry: null };
  const plan = planRequests(parseRequests(formatRequests(requests)), operators, "a");
  assert.equal(plan.orders, { factory: false, without: ["var"], carry: null });
  assert.equal(plan.shared, { remove: ["srv", "old-srv"] });
  assert.equal(plan.notes, [
    "reset: /var, /srv begin anew",
    "reset of nobody was dropped: the image in slot a declares no such store",
  ]);
});

test("requests: a factory reset keeps identity, unless it is said", () => {
  const factory = (identity: boolean): StateRequests => ({
    schema: 1,
    reset: { what: "factory", identity },
    carry: { slot: "a", generation: 4 },
  });
  const kept = planRequests(factory(false), operators, "a");
  assert.equal(kept.shared, { keep: ["keys"] });
  assert.equal(kept.orders, { factory: true, without: [], carry: null });
  assert.match(kept.notes.join(), /factory reset: all state begins anew, but for identity.*dropped: a factory reset came first/);
  const all = planRequests(factory(true), operators, "a");
  assert.equal(all.shared, { keep: [] });
  assert.match(all.notes.join(), /identity too/);
});

test("requests: a carry is for one slot", () => {
  const requests: StateRequests = { ...NO_REQUESTS, carry: { slot: "a", generation: 4 } };
  assert.is(planRequests(requests, operators, "a").orders.carry, 4);
  const other = planRequests(requests, operators, "b");
  assert.is(other.orders.carry, null);
  assert.match(other.notes.join(), /slot a goes on with generation 000004 was dropped: slot b boots/);
  assert.equal(planRequests(NO_REQUESTS, operators, "a").notes, []);
});

test.run();
