/** What is done to the other generations when a slot gets the one that was planned for it. Pure. */
import { earlierTries, planCollection } from "./collection.ts";
import {
  belongs,
  committedGeneration,
  type GenerationFacts,
  isOnlyTried,
  name,
  ownGenerations,
  ownPointer,
  validGenerations,
} from "./generation-facts.ts";
import { suspectedGeneration } from "./generation-wish.ts";
import { generationName, type Pin } from "./layout.ts";
import type { GenerationPlan } from "./planned-generation.ts";

/** Why a generation is to be pinned. With `by` nothing else may be done without it, and an earlier reason gives way. */
export type PinOrder = Pick<Pin, "reason" | "by"> & { number: number };

export interface GenerationWork {
  /** All generations and pointers go first. */
  factory: boolean;
  /** Made durable before anything else. */
  pins: PinOrder[];
  /** Its slot boots again, so nothing need protect it; null where no pin goes. */
  unpin: number | null;
  /** What recoveries made and a commit has made their slots' own: no mark says otherwise any more. */
  confirm: number[];
  /** Deleted before a generation is built. */
  collect: number[];
  /** Deleted one after another, in this order, where there is no space to build one. */
  underPressure: number[];
}

/** Nothing but what the plan says. */
export const NO_WORK: GenerationWork = { factory: false, pins: [], unpin: null, confirm: [], collect: [], underPressure: [] };

/**
 * A generation that a committed slot leaves behind is pinned: the committed one where a boot leaves its slot (fallback,
 * rollback), a slot's own where it goes on with another's state. An ordinary trial leaves nothing. What a recovery suspects is
 * pinned before it has anything made in its place.
 */
export function planWork(facts: GenerationFacts, plan: GenerationPlan): GenerationWork {
  if (facts.orders.factory) return { ...NO_WORK, factory: true };
  const { committed } = facts;
  const pins = onePerGeneration([...setAside(facts, plan), ...leftBehind(facts), ...putAside(facts, plan)]);
  const collect = earlierTries(facts, plan);
  const { collect: useless, underPressure: spare } = planCollection(facts);
  const needed = new Set([...pins.map(({ number }) => number), ...collect, ...sources(plan)]);
  return {
    factory: false,
    pins: pins.filter(({ number, by }) => {
      const pin = pinOf(facts, number);
      return pin === null || (by !== undefined && pin.by !== by);
    }),
    confirm: validGenerations(facts.generations)
      .filter((generation) => generation.standIn !== undefined && !isOnlyTried(generation, committed))
      .map(({ number }) => number),
    unpin: plan.do === "continue" && !facts.trial && pinOf(facts, plan.generation) !== null ? plan.generation : null,
    collect,
    underPressure: [...useless, ...spare].map(({ number }) => number).filter((number) => !needed.has(number)),
  };
}

/** The first pin of each generation. */
function onePerGeneration(pins: readonly PinOrder[]): PinOrder[] {
  return pins.filter(({ number }, index) => pins.findIndex((pin) => pin.number === number) === index);
}

function setAside(facts: GenerationFacts, plan: GenerationPlan): PinOrder[] {
  const { wish, slot } = facts;
  const suspected = wish === "ordinary" ? null : suspectedGeneration(facts);
  if (wish === "ordinary" || suspected === null) return [];
  const instead = plan.do === "clone" ? `with a clone of generation ${generationName(plan.from)}` : "with what the image has";
  const goesOn = plan.do === "continue" ? "with another" : instead;
  return [{ number: suspected.number, reason: `set aside by recovery: slot ${slot} goes on ${goesOn}`, by: "recovery" }];
}

function leftBehind(facts: GenerationFacts): PinOrder[] {
  const { committed, slot, trial, left } = facts;
  const state = committedGeneration(facts);
  if (committed === null || state === null || committed.slot === slot) return [];
  if (trial && left === null) return [];
  const why = left === null ? "" : ` (${left})`;
  return [{ number: state.number, reason: `slot ${committed.slot}, which was committed, was left for slot ${slot}${why}` }];
}

function putAside(facts: GenerationFacts, plan: GenerationPlan): PinOrder[] {
  const { orders, slot } = facts;
  const carried = plan.do === "clone" && plan.from === orders.carry;
  const own = ownGenerations(facts).find(({ number }) => number === ownPointer(facts, slot));
  if (!carried || own === undefined || !belongs(own, facts)) return [];
  return [
    { number: own.number, reason: `slot ${slot} goes on with the state of generation ${generationName(plan.from)} instead` },
  ];
}

function sources(plan: GenerationPlan): number[] {
  if (plan.do === "create") return [];
  return plan.do === "continue" ? [plan.generation] : [plan.from, plan.parent];
}

function pinOf(facts: GenerationFacts, number: number) {
  return facts.generations.find((generation) => generation.number === number)?.pinned ?? null;
}

function aftermath({ slot }: GenerationFacts, plan: GenerationPlan): string {
  const begins = plan.do === "clone" && !plan.reason?.includes("state was cloned");
  return begins ? `; slot ${slot} goes on with a clone of generation ${generationName(plan.from)}` : "";
}

/** What the plan and the work around it mean for the state, where that is not as in an ordinary boot. One sentence each.
 * A generation that is made from the image is spoken of elsewhere (data-use.ts): only there is the data filesystem known. */
export function generationNotes(facts: GenerationFacts, plan: GenerationPlan, work: GenerationWork): string[] {
  const { carry } = facts.orders;
  const there = validGenerations(facts.generations).find(({ number }) => number === carry);
  const missing = carry !== null && there === undefined;
  const isCarried = there !== undefined && plan.do === "clone" && plan.from === carry;
  return [
    ...(plan.reason === null || (plan.do === "create" && plan.standIn === undefined)
      ? []
      : [`${plan.reason}${aftermath(facts, plan)}`]),
    ...(missing
      ? [`generation ${generationName(carry)}, which slot ${facts.slot} was to go on with, is not there: it keeps its own`]
      : []),
    ...(there !== undefined && !isCarried && facts.wish !== "ordinary"
      ? [`the request that slot ${facts.slot} goes on with generation ${name(there)} was dropped: recovery came first`]
      : []),
    ...(there !== undefined && isCarried
      ? [`slot ${facts.slot} goes on with the state of generation ${name(there)} of slot ${there.meta.slot}`]
      : []),
    ...work.pins.map(({ number, reason }) => `generation ${generationName(number)} is kept: ${reason}`),
  ];
}
