/** The generation that a slot gets where a recovery wants another state than the slot's own. Pure. */
import {
  belongs,
  committedGeneration,
  type GenerationFacts,
  isOnlyTried,
  name,
  nextNumber,
  ownGenerations,
  ownPointer,
  type ValidGeneration,
  validGenerations,
} from "./generation-facts.ts";
import { generationName } from "./layout.ts";
import { Refusal } from "./outcome.ts";
import type { GenerationPlan } from "./planned-generation.ts";
import type { RecoveryWish } from "./recovery.ts";

/**
 * `previous`: a clone of the state that the slot had before, never of the one that is under suspicion. `fresh`: nothing but the
 * image's own content. A further try goes on after a clean end, and begins anew after any other. Throws Refusal, one sentence,
 * where there is no state from before.
 */
export function planRecovered(facts: GenerationFacts, wish: RecoveryWish): GenerationPlan {
  const tried = lastTry(facts, wish);
  if (tried !== null && facts.previousEnd === "clean") {
    const reason = `slot ${facts.slot} goes on with generation ${name(tried)}, which recovery made ${MADE[wish]}`;
    return { do: "continue", generation: tried.number, why: "a further try after a clean end goes on", reason };
  }
  const standIn = { wish, of: ownOf(facts)?.number ?? null };
  const to = nextNumber(facts);
  if (wish === "fresh") {
    const reason = `recovery: the persistent state of slot ${facts.slot} begins anew from the image`;
    return { do: "create", to, standIn, why: "recovery sets the persistent state aside", reason };
  }
  const source = stateBefore(facts);
  const why = "recovery goes back to the state before";
  const reason = `recovery: slot ${facts.slot} goes back to the state that it had before`;
  return { do: "clone", from: source.number, to, parent: source.number, without: [], standIn, why, reason };
}

const MADE: Record<RecoveryWish, string> = { previous: "of the state before", fresh: "from the image" };

/**
 * The generation under suspicion, which a recovery sets aside: the slot's own; on trial the committed one, of which the slot's
 * own is a copy. Null where there is none.
 */
export function suspectedGeneration(facts: GenerationFacts): ValidGeneration | null {
  const own = ownOf(facts);
  return facts.trial ? (committedGeneration(facts) ?? own) : own;
}

/** The slot's own generation of this image, whatever recoveries tried. */
function ownOf(facts: GenerationFacts): ValidGeneration | null {
  const own = ownGenerations(facts).filter((generation) => belongs(generation, facts));
  const pointer = ownPointer(facts, facts.slot);
  return own.find(({ number }) => number === pointer) ?? own.at(-1) ?? null;
}

/** What an earlier try with this wish made, of the same image and control file; null where the slot points at something else. */
function lastTry(facts: GenerationFacts, wish: RecoveryWish): ValidGeneration | null {
  const pointer = facts.pointers[facts.slot];
  const pointed = validGenerations(facts.generations).find(({ number }) => number === pointer);
  if (pointed === undefined || pointed.standIn?.wish !== wish || !isOnlyTried(pointed, facts.committed)) return null;
  return belongs(pointed, facts) && pointed.meta.controlDigest === facts.controlDigest ? pointed : null;
}

/**
 * What somebody asked the slot to go on with; else the generation that the suspected one was cloned from; else the newest older
 * one that was committed once, since something was cloned from it, or a slot that was left had it. What a recovery set aside is
 * no state to go back to.
 */
function stateBefore(facts: GenerationFacts): ValidGeneration {
  const { slot, orders, generations } = facts;
  const suspected = suspectedGeneration(facts);
  if (suspected === null) throw new Refusal(`slot ${slot} has no state, and so none from before: recovery cannot go back to one`);
  const bad = new Set([suspected.number, ownOf(facts)?.number]);
  const pins = new Map(generations.map(({ number, pinned }) => [number, pinned]));
  const able = ownGenerations(facts).filter(({ number }) => !bad.has(number) && pins.get(number)?.by !== "recovery");
  const parents = new Set(validGenerations(generations).map(({ meta }) => meta.parent));
  const older = able.filter(({ number }) => number < suspected.number && (parents.has(number) || pins.get(number) !== null));
  const asked = able.find(({ number }) => number === orders.carry);
  const parent = able.find(({ number }) => number === suspected.meta.parent);
  const source = asked ?? parent ?? older.at(-1);
  if (source !== undefined) return source;
  const kept = generationName(suspected.number);
  throw new Refusal(
    `there is no state from before generation ${kept} of slot ${suspected.meta.slot}: recovery cannot go back to one`,
  );
}
