import { test } from "uvu";
import * as assert from "uvu/assert";
import type { ImageId, SlotName, SlotRecord } from "../../boot/record/record.ts";
import { freshRecord } from "../../boot/record/store.ts";
import type { Policy } from "../../boot/selection/policy.ts";
import { RUNGS, type Rung } from "../../state-ops/recovery.ts";
import { randomNumbers } from "../samples/random.ts";
import { type Content, canBeHelped, Machine, type World, type Worth } from "./recovery-world.ts";

const policy: Policy = { slots: ["a", "b"], tries: { trial: 2, committed: 3 }, trust: { mode: "unsigned" } };
const IMAGES: ImageId[] = ["x".repeat(8), "y".repeat(8), "n".repeat(8)];
const [x = "", y = "", n = ""] = IMAGES;

/** What a slot may hold, with what the record knows of it. */
const contents: { name: string; content: Content | null; record: Partial<SlotRecord> }[] = [
  { name: "X committed", content: { imageId: x, damaged: false }, record: { state: "committed", imageId: x, tries: 3 } },
  { name: "X committed, damaged", content: { imageId: x, damaged: true }, record: { state: "committed", imageId: x, tries: 3 } },
  { name: "Y on trial", content: { imageId: y, damaged: false }, record: { state: "trial", imageId: y, tries: 2 } },
  { name: "Y on trial, damaged", content: { imageId: y, damaged: true }, record: { state: "trial", imageId: y, tries: 0 } },
  { name: "Y unknown", content: { imageId: y, damaged: false }, record: { state: "trial", imageId: null, tries: 2 } },
  { name: "nothing", content: null, record: { state: "empty", imageId: null, tries: 0 } },
  { name: "rubbish", content: null, record: { state: "committed", imageId: x, tries: 3 } },
];
const worths: Worth[] = ["good", "crashes", "refused"];
const states: World["states"][] = [
  { ordinary: true, previous: true },
  { ordinary: false, previous: true },
  { ordinary: false, previous: false },
];
const ladders: readonly Rung[][] = [
  [...RUNGS],
  ...RUNGS.map((rung) => [rung]),
  ["repair", "reinstall"],
  ["safe-mode", "repair"],
  ["reinstall-fresh", "previous-generation", "repair"],
];
const sourceSets: ImageId[][] = [[], [x], [n], [y, n]];

function world(a: (typeof contents)[number], b: (typeof contents)[number], rest: Omit<World, "record" | "slots">): World {
  const record = freshRecord(policy);
  const known = (slot: SlotName, change: Partial<SlotRecord>) => ({ ...(record.slots[slot] ?? fail()), ...change });
  const slots = { a: known("a", a.record), b: known("b", b.record) };
  const last = (["a", "b"] as const).find((slot) => slots[slot].state === "committed");
  return {
    ...structuredClone(rest),
    record: { ...record, slots, lastCommitted: last === undefined ? null : { slot: last, imageId: slots[last].imageId ?? "" } },
    slots: new Map([
      ["a", a.content && { ...a.content }],
      ["b", b.content && { ...b.content }],
    ]),
  };
}

function fail(): never {
  throw new Error("no such slot");
}

/** Boots until a system runs, or so many passes went by. */
function run(machine: Machine, most: number): "runs" | "holds" {
  for (let boots = 0; machine.seen.holds < most; boots++) {
    if (machine.boot() === "runs") return "runs";
    assert.ok(boots < 400, "neither a running system nor a hold");
  }
  return "holds";
}

interface Case {
  name: string;
  make: () => World;
  ladder: readonly Rung[];
}

function* cases(): Generator<Case> {
  for (const a of contents)
    for (const b of contents)
      for (const [worthX, worthY] of worths.flatMap((left) => worths.map((right) => [left, right] as const)))
        for (const state of states)
          for (const sources of sourceSets)
            for (const broken of [[], ["b"]])
              for (const ladder of ladders) {
                const images = new Map<ImageId, Worth>([
                  [x, worthX],
                  [y, worthY],
                  [n, "good"],
                ]);
                const rest = { images, sources, states: state, broken: new Set(broken) };
                const name = `a: ${a.name}, b: ${b.name}, X ${worthX}, Y ${worthY}, ${JSON.stringify(state)}, sources ${sources.map((id) => id[0])}, broken ${broken}, ladder ${ladder}`;
                yield { name, make: () => world(a, b, rest), ladder };
              }
}

const PASSES = 7;

test("from any slots, states and sources: a running system where anything helps, else a hold after bounded steps", () => {
  let [count, helped] = [0, 0];
  for (const { name, make, ladder } of cases()) {
    const machine = new Machine(make(), policy, ladder, new Set());
    const helps = canBeHelped(machine.world, ladder, policy);
    let end: string;
    try {
      end = run(machine, PASSES);
    } catch (error) {
      throw new Error(`${name}: ${error instanceof Error ? error.message : error}`);
    }
    if (helps) assert.is(end, "runs", name);
    count++;
    if (end === "runs") helped++;
  }
  console.log(`${count} machines, of which ${helped} end up running`);
});

test("no source can be reached for a while: what is kept is kept until they can, or until the machine has waited long", () => {
  const isOrderly = (ladder: readonly Rung[]) => ladder.length === RUNGS.length;
  let [early, late] = [0, 0];
  for (const { name, make, ladder } of cases()) {
    if (!isOrderly(ladder) || make().sources.length === 0) continue;
    for (const outage of [1, 3, 99]) {
      const machine = new Machine({ ...make(), outage }, policy, ladder, new Set());
      const reachable = outage === 99 ? [] : machine.world.sources;
      const helps = canBeHelped({ ...machine.world, sources: reachable }, ladder, policy);
      const most = PASSES + 3;
      let end: string = "holds";
      while (machine.seen.holds < most && end !== "runs") {
        const { holds } = machine.seen;
        end = machine.boot();
        const isFresh = machine.seen.holds === holds && machine.seen.steps.some(({ rung }) => rung === "reinstall-fresh");
        if (!isFresh || machine.seen.holds >= outage) continue;
        assert.ok(holds >= 7, `${name}, outage ${outage}: state is set aside in pass ${holds}`);
        late++;
      }
      if (helps) assert.is(end, "runs", `${name}, outage ${outage}`);
      early++;
    }
  }
  assert.ok(late > 0);
  console.log(`${early} machines, ${late} boots of a state that begins anew though no source could be reached`);
});

test("a power cut before any durable write: the machine ends up as without, and takes no step twice but the one it fell into", () => {
  const random = randomNumbers(5);
  const share = process.env.SLIPWAY_TIER === "long" ? 1 : 0.01;
  let cuts = 0;
  for (const { name, make, ladder } of cases()) {
    if (random() > share) continue;
    const whole = new Machine(make(), policy, ladder, new Set());
    const helps = canBeHelped(whole.world, ladder, policy);
    run(whole, PASSES);
    for (let at = 1; at <= Math.min(whole.writes, 60); at++) {
      cuts++;
      const again = at + 1 + Math.floor(random() * 4);
      const machine = new Machine(make(), policy, ladder, new Set(random() < 0.5 ? [at] : [at, again]));
      try {
        const end = run(machine, PASSES + 3);
        if (helps) assert.is(end, "runs");
      } catch (error) {
        throw new Error(`${name}, cut at write ${at} of ${whole.writes}: ${error instanceof Error ? error.message : error}`);
      }
    }
  }
  console.log(`${cuts} power cuts`);
});

test.run();
