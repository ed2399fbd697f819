/** What recoveries wish of the state, as decisions: which generation is made of what, what is set aside, whose it is afterwards. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { planCollection } from "../../state-ops/collection.ts";
import {
  committedGenerationNumber,
  type GenerationFact,
  type GenerationFacts,
  NO_ORDERS,
} from "../../state-ops/generation-facts.ts";
import { planGeneration } from "../../state-ops/generation-plan.ts";
import { generationNotes, planWork } from "../../state-ops/generation-work.ts";
import { formatPin, formatStandIn, parsePin, parseStandIn, type StandIn } from "../../state-ops/layout.ts";
import { Refusal } from "../../state-ops/outcome.ts";

const control = "sha256:control";
const setAside = { reason: "set aside by recovery", attempt: 8, by: "recovery" as const };

interface More {
  parent?: number;
  attempt?: number;
  standIn?: StandIn;
  pinned?: GenerationFact["pinned"];
}

function generation(number: number, slot: string, imageId: string, more: More = {}): GenerationFact {
  const { parent = null, attempt = number, standIn, pinned = null } = more;
  const meta = { schema: 1 as const, number, parent, imageId, slot, controlDigest: control, attempt };
  return { number, complete: true, meta, pinned, ...(standIn === undefined ? {} : { standIn }) };
}

/** Slot b was updated to from a, and is committed: its state 2 was cloned of 1. Recovery boots b once more. */
const machine: GenerationFacts = {
  ...{ slot: "b", imageId: "Y", controlDigest: control, trial: false, previousEnd: "unclean" },
  pointers: { a: 1, b: 2 },
  generations: [generation(1, "a", "X"), generation(2, "b", "Y", { parent: 1 })],
  committed: { slot: "b", imageId: "Y" },
  ...{ left: null, attempt: 9, orders: NO_ORDERS, wish: "previous" },
};

interface Row {
  name: string;
  facts: Partial<GenerationFacts>;
  /** "clone 1 to 3 of 1 in place of 2", or a part of what is refused. */
  plan: string;
  /** Numbers that are pinned, each with a part of the reason. */
  pins?: Record<number, string>;
  collect?: number[];
  confirm?: number[];
  notes?: RegExp[];
}

function lineOf(facts: GenerationFacts): string {
  try {
    const plan = planGeneration(facts);
    if (plan.do === "continue") return `continue ${plan.generation}`;
    const { standIn } = plan;
    const place = standIn === undefined ? "" : ` ${standIn.wish} in place of ${standIn.of ?? "none"}`;
    if (plan.do === "create") return `create ${plan.to}${place}`;
    return `clone ${plan.from} to ${plan.to} of ${plan.parent}${plan.without.map((id) => ` without ${id}`).join("")}${place}`;
  } catch (error) {
    if (error instanceof Refusal) return `refused: ${error.message}`;
    throw error;
  }
}

const previous = { wish: "previous", of: 2 } as const;
const fresh = { wish: "fresh", of: 2 } as const;
const triedBefore = {
  pointers: { a: 1, b: 3 },
  generations: [
    generation(1, "a", "X"),
    generation(2, "b", "Y", { parent: 1, pinned: setAside }),
    generation(3, "b", "Y", { parent: 1, attempt: 8, standIn: previous }),
  ],
};
const triedFresh = {
  wish: "fresh" as const,
  pointers: { a: 1, b: 3 },
  generations: [
    generation(1, "a", "X"),
    generation(2, "b", "Y", { parent: 1, pinned: setAside }),
    generation(3, "b", "Y", { attempt: 8, standIn: fresh }),
  ],
};
const onTrial = { slot: "c", imageId: "Z", trial: true, pointers: { a: 1, b: 2, c: null } };
const kept = { 2: "set aside by recovery: slot b goes on with a clone of generation 000001" };

const rows: Row[] = [
  {
    name: "previous: a clone of what its own was cloned from, its own set aside",
    facts: {},
    plan: "clone 1 to 3 of 1 previous in place of 2",
    pins: kept,
    notes: [
      /slot b goes back to the state that it had before; slot b goes on with a clone of generation 000001/,
      /000002 is kept/,
    ],
  },
  {
    name: "previous: a further try after an unclean end clones anew, and keeps no more than the last one",
    facts: {
      ...triedBefore,
      pointers: { a: 1, b: 4 },
      generations: [...triedBefore.generations, generation(4, "b", "Y", { parent: 1, attempt: 8, standIn: previous })],
    },
    plan: "clone 1 to 5 of 1 previous in place of 2",
    collect: [3],
    notes: [/goes back to the state/],
  },
  {
    name: "previous: after a clean end the try goes on",
    facts: { ...triedBefore, previousEnd: "clean" },
    plan: "continue 3",
    notes: [/goes on with generation 000003, which recovery made of the state before/],
  },
  {
    name: "previous: a try for another control file is not gone on with",
    facts: { ...triedBefore, previousEnd: "clean", controlDigest: "sha256:other" },
    plan: "clone 1 to 4 of 1 previous in place of 2",
    notes: [/goes back/],
  },
  {
    name: "previous: its parent is gone: the newest older one that was committed once",
    facts: {
      pointers: { a: 4, b: 6 },
      generations: [
        generation(1, "a", "V"),
        generation(3, "a", "W", { parent: 1 }),
        generation(4, "a", "X", { parent: 3 }),
        generation(6, "b", "Y", { parent: 5 }),
        generation(7, "a", "Z", { parent: 6 }),
      ],
    },
    plan: "clone 3 to 8 of 3 previous in place of 6",
    pins: { 6: "set aside" },
    notes: [/goes back/, /000006 is kept/],
  },
  {
    name: "previous: what a slot left is a state from before",
    facts: {
      generations: [
        generation(1, "a", "X", { pinned: { reason: "slot a was left", attempt: 1 } }),
        generation(2, "b", "Y", { parent: 9 }),
      ],
    },
    plan: "clone 1 to 3 of 1 previous in place of 2",
    pins: kept,
    notes: [/goes back/, /000002 is kept/],
  },
  {
    name: "previous: what recovery set aside is none",
    facts: { generations: [generation(1, "a", "X", { pinned: setAside }), generation(2, "b", "Y", { parent: 1 })] },
    plan: "refused: there is no state from before generation 000002 of slot b",
  },
  {
    name: "previous: a damaged one is none",
    facts: { generations: [{ ...generation(1, "a", "X"), complete: false }, generation(2, "b", "Y", { parent: 1 })] },
    plan: "refused: there is no state from before",
  },
  {
    name: "previous: a machine that was never updated has none",
    facts: { pointers: { b: 2 }, generations: [generation(2, "b", "Y")] },
    plan: "refused: there is no state from before generation 000002 of slot b: recovery cannot go back to one",
  },
  {
    name: "previous: a machine without any state",
    facts: { pointers: {}, generations: [] },
    plan: "refused: slot b has no state, and so none from before",
  },
  {
    name: "previous: a trial is suspected with the committed state that it is a copy of",
    facts: {
      ...onTrial,
      pointers: { a: 1, b: 2, c: 3 },
      generations: [...machine.generations, generation(3, "c", "Z", { parent: 2 })],
    },
    plan: "clone 1 to 4 of 1 previous in place of 3",
    pins: { 2: "set aside by recovery: slot c goes on with a clone of generation 000001" },
    notes: [/goes back/, /000002 is kept/],
  },
  {
    name: "previous: the committed image that recovery put back on trial is suspected with its own",
    facts: { trial: true },
    plan: "clone 1 to 3 of 1 previous in place of 2",
    pins: kept,
    notes: [/goes back/, /000002 is kept/],
  },
  {
    name: "previous: a state that was asked for is the one to go back to",
    facts: {
      pointers: { a: 3, b: 2 },
      generations: [...machine.generations, generation(3, "a", "W", { parent: 1 })],
      orders: { ...NO_ORDERS, carry: 3 },
    },
    plan: "clone 3 to 4 of 3 previous in place of 2",
    pins: { 2: "clone of generation 000003" },
    notes: [/goes back/, /goes on with the state of generation 000003 of slot a/, /000002 is kept/],
  },
  {
    name: "previous: the suspected state itself was asked for: it is not brought back",
    facts: { orders: { ...NO_ORDERS, carry: 2 } },
    plan: "clone 1 to 3 of 1 previous in place of 2",
    pins: kept,
    notes: [/goes back/, /generation 000002 was dropped: recovery came first/, /000002 is kept/],
  },
  {
    name: "previous: stores that are to begin anew are left out",
    facts: { orders: { ...NO_ORDERS, without: ["var"] } },
    plan: "clone 1 to 3 of 1 without var previous in place of 2",
    pins: kept,
    notes: [/goes back/, /000002 is kept/],
  },
  {
    name: "previous: stores that are to begin anew in a try that goes on",
    facts: { ...triedBefore, previousEnd: "clean", orders: { ...NO_ORDERS, without: ["var"] } },
    plan: "clone 3 to 4 of 1 without var previous in place of 2",
    notes: [/goes on with generation 000003/],
  },
  { name: "a factory reset comes first", facts: { orders: { ...NO_ORDERS, factory: true } }, plan: "create 3", notes: [] },
  {
    name: "fresh: from the image, its own set aside",
    facts: { wish: "fresh" },
    plan: "create 3 fresh in place of 2",
    pins: { 2: "set aside by recovery: slot b goes on with what the image has" },
    notes: [/persistent state of slot b begins anew from the image/, /000002 is kept/],
  },
  {
    name: "fresh: a pin of another reason gives way, so that no recovery goes back to it",
    facts: {
      wish: "fresh",
      generations: [generation(2, "b", "Y", { pinned: { reason: "slot b was left", attempt: 1 } })],
    },
    plan: "create 3 fresh in place of 2",
    pins: { 2: "set aside by recovery" },
    notes: [/begins anew/, /000002 is kept/],
  },
  {
    name: "fresh: begins anew after an unclean end, and keeps no more than the last one",
    facts: {
      ...triedFresh,
      pointers: { a: 1, b: 4 },
      generations: [...triedFresh.generations, generation(4, "b", "Y", { attempt: 8, standIn: fresh })],
    },
    plan: "create 5 fresh in place of 2",
    collect: [3],
    notes: [/begins anew/],
  },
  {
    name: "fresh: after a clean end the try goes on",
    facts: { ...triedFresh, previousEnd: "clean" },
    plan: "continue 3",
    notes: [/which recovery made from the image/],
  },
  {
    name: "fresh: what was made of the state before is not gone on with",
    facts: { ...triedBefore, wish: "fresh", previousEnd: "clean" },
    plan: "create 4 fresh in place of 2",
    notes: [/begins anew/],
  },
  {
    name: "fresh: on trial the committed state is set aside",
    facts: { ...onTrial, wish: "fresh" },
    plan: "create 3 fresh in place of none",
    pins: { 2: "set aside by recovery: slot c goes on with what the image has" },
    notes: [/begins anew/, /000002 is kept/],
  },
  {
    name: "fresh: a machine without any state",
    facts: { wish: "fresh", pointers: {}, generations: [], committed: null },
    plan: "create 1 fresh in place of none",
    notes: [/begins anew/],
  },
  {
    name: "fresh: a state that was asked for is dropped, and said",
    facts: { wish: "fresh", orders: { ...NO_ORDERS, carry: 1 } },
    plan: "create 3 fresh in place of 2",
    pins: { 2: "set aside" },
    notes: [/begins anew/, /slot b goes on with generation 000001 was dropped: recovery came first/, /000002 is kept/],
  },
  {
    name: "an ordinary boot after a try that was not committed goes back to its own, which needs no pin",
    facts: { ...triedFresh, wish: "ordinary" },
    plan: "continue 2",
    notes: [],
  },
  {
    name: "an ordinary boot after the try was committed goes on with it",
    facts: { ...triedFresh, wish: "ordinary", committed: { slot: "b", imageId: "Y", attempt: 8 } },
    plan: "continue 3",
    confirm: [3],
    notes: [],
  },
  {
    name: "a commit of an earlier attempt is none of the try",
    facts: { ...triedFresh, wish: "ordinary", committed: { slot: "b", imageId: "Y", attempt: 7 } },
    plan: "continue 2",
    notes: [],
  },
  {
    name: "another image is cloned from what was committed, not from what was only tried",
    facts: { ...triedFresh, ...onTrial, pointers: { a: 1, b: 3, c: null }, wish: "ordinary" },
    plan: "clone 2 to 4 of 2",
    notes: [],
  },
  {
    name: "another image is cloned from the try that was committed, whose mark goes before that one can be committed",
    facts: {
      ...triedFresh,
      ...onTrial,
      ...{ pointers: { a: 1, b: 3, c: null }, wish: "ordinary", committed: { slot: "b", imageId: "Y", attempt: 8 } },
    },
    plan: "clone 3 to 4 of 3",
    confirm: [3],
    notes: [],
  },
  {
    name: "a second recovery sets aside what the first one had committed",
    facts: { ...triedFresh, committed: { slot: "b", imageId: "Y", attempt: 8 } },
    plan: "create 4 fresh in place of 3",
    pins: { 3: "set aside by recovery" },
    confirm: [3],
    notes: [/begins anew/, /000003 is kept/],
  },
  {
    name: "its own is damaged, and only a try is left: closer than the image",
    facts: {
      wish: "ordinary",
      pointers: { b: 3 },
      generations: [
        { ...generation(2, "b", "Y"), complete: false },
        generation(3, "b", "Y", { parent: 1, attempt: 8, standIn: previous }),
      ],
    },
    plan: "clone 3 to 4 of 3",
    notes: [/000002, which is damaged or incomplete/],
  },
];

for (const { name, facts: changes, plan: expected, pins = {}, collect = [], confirm = [], notes } of rows) {
  test(name, () => {
    const facts = { ...machine, ...changes };
    const line = lineOf(facts);
    if (expected.startsWith("refused")) {
      assert.ok(line.startsWith(expected), line);
      return;
    }
    assert.is(line, expected);
    const plan = planGeneration(facts);
    const work = planWork(facts, plan);
    assert.equal(work.pins.map(({ number }) => number).sort(), Object.keys(pins).map(Number));
    for (const { number, reason, by } of work.pins) {
      assert.ok(reason.includes(pins[number] ?? "never"), reason);
      assert.is(by, "recovery");
    }
    assert.equal(work.collect, collect);
    assert.equal(work.confirm, confirm);
    const told = generationNotes(facts, plan, work);
    assert.is(told.length, notes?.length ?? -1, told.join(" | "));
    for (const [index, pattern] of (notes ?? []).entries()) assert.match(told[index] ?? "", pattern);
    const touched = new Set([...work.collect, ...work.underPressure]);
    for (const { number } of work.pins) assert.not(touched.has(number), `${number} is set aside and deleted`);
  });
}

test("what is set aside is never collected, and neither is the committed state while only a try runs", () => {
  const { collect, underPressure, kept: safe } = planCollection({ ...machine, ...triedFresh });
  assert.equal([...collect, ...underPressure], []);
  assert.match(safe.find(({ number }) => number === 2)?.why ?? "", /the committed state, of slot b/);
  assert.is(committedGenerationNumber({ ...machine, ...triedFresh }), 2);
  const after = { ...machine, ...triedFresh, committed: { slot: "b", imageId: "Y", attempt: 8 } };
  assert.is(committedGenerationNumber(after), 3);
  assert.match(
    planCollection(after).kept.find(({ number }) => number === 2)?.why ?? "",
    /^pinned in attempt 8: set aside by rec/,
  );
});

test("the marks are read as they were written, and nothing else is one", () => {
  for (const mark of [previous, fresh, { wish: "fresh", of: null } as const])
    assert.equal(parseStandIn(formatStandIn(mark)), mark);
  const wrong = ["", "{}", "[]", '{"schema":2,"wish":"fresh","of":1}', '{"schema":1,"wish":"memory","of":1}'];
  for (const text of [
    ...wrong,
    '{"schema":1,"wish":"fresh","of":"1"}',
    '{"schema":1,"wish":"fresh","of":0}',
    '{"schema":1,"wish":"fresh"}',
  ]) {
    assert.is(parseStandIn(text), null, text);
  }
  assert.equal(parsePin(formatPin(setAside)), setAside);
  assert.equal(parsePin(formatPin({ reason: "r", attempt: 1 })), { reason: "r", attempt: 1 });
  assert.equal(parsePin('{"schema":1,"reason":"r","attempt":1,"by":"somebody"}'), { reason: "r", attempt: 1 });
});

test.run();
