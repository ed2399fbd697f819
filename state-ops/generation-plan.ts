import {
  belongs,
  committedGeneration,
  type GenerationFacts,
  name,
  nextNumber,
  ownGenerations,
  ownPointer,
  type ValidGeneration,
  validGenerations,
} from "./generation-facts.ts";
import { planRecovered } from "./generation-wish.ts";
import { generationName } from "./layout.ts";
import type { ClonePlan, GenerationPlan } from "./planned-generation.ts";

/**
 * Decides on the generation of a boot. A committed slot goes on with its own. A trial
 * gets a clone of the committed generation at its first try, after an unclean end and after a boot of another slot, and goes on after a clean one.
 * What is missing or invalid is replaced by the closest state there is; only a disk without any valid generation is
 * seeded from the image. What a recovery wishes comes before all of that, and after a factory reset; Refusal where it cannot be had.
 */
export function planGeneration(facts: GenerationFacts): GenerationPlan {
  const { factory, without } = facts.orders;
  if (factory) return { do: "create", to: nextNumber(facts), why: "factory reset", reason: null };
  const plan = facts.wish === "ordinary" ? (planCarry(facts) ?? planUnasked(facts)) : planRecovered(facts, facts.wish);
  if (without.length === 0 || plan.do === "create") return plan;
  if (plan.do === "clone") return { ...plan, without };
  const own = facts.generations.find(({ number }) => number === plan.generation) ?? null;
  const standIn = facts.wish === "ordinary" ? undefined : own?.standIn;
  const parent = facts.trial || standIn !== undefined ? (own?.meta?.parent ?? plan.generation) : plan.generation;
  const { reason } = plan;
  const made = standIn === undefined ? {} : { standIn };
  return {
    do: "clone",
    from: plan.generation,
    to: nextNumber(facts),
    parent,
    without,
    ...made,
    why: "stores begin anew",
    reason,
  };
}

/** Null where nothing is to be carried over, or it is not there, or the attempt before did it and was cut short. */
function planCarry(facts: GenerationFacts): GenerationPlan | null {
  const { orders, slot, attempt, controlDigest } = facts;
  const valid = validGenerations(facts.generations);
  const source = valid.find(({ number }) => number === orders.carry);
  if (source === undefined) return null;
  const own = ownGenerations(facts).find(({ number }) => number === ownPointer(facts, slot));
  if (own !== undefined && belongs(own, facts)) {
    const carried = own.meta.parent === source.number && own.meta.attempt === attempt - 1;
    if ((carried && own.meta.controlDigest === controlDigest) || own.number === source.number) return null;
  }
  const parent = facts.trial ? (committedGeneration(facts)?.number ?? source.number) : source.number;
  const why = `the state of generation ${name(source)} was asked for`;
  return { do: "clone", from: source.number, to: nextNumber(facts), parent, without: [], why, reason: null };
}

function planUnasked(facts: GenerationFacts): GenerationPlan {
  const valid = ownGenerations(facts);
  const committed = committedGeneration(facts);
  const pointer = ownPointer(facts, facts.slot);
  const pointed = valid.find((generation) => generation.number === pointer) ?? null;
  if (pointed !== null && belongs(pointed, facts)) {
    return facts.trial ? planFurtherTry(facts, pointed, committed) : planOwn(facts, pointed);
  }
  const broken = pointer !== null && pointed === null;
  const own = valid.findLast((generation) => belongs(generation, facts)) ?? null;
  if (broken) {
    const reason = `slot ${facts.slot} points at generation ${generationName(pointer)}, which is ${stateOf(facts, pointer)}`;
    return planReplacement(facts, valid, committed ?? own, reason);
  }
  const resumes = own !== null && (!facts.trial || committed === null || own.number === committed.number);
  if (resumes) {
    const reason = pointed === null ? `slot ${facts.slot} had no pointer to a generation` : null;
    return planOwn(facts, own, reason);
  }
  if (!facts.trial && pointed !== null) {
    const reason = `slot ${facts.slot} is committed, but its generation ${name(pointed)} belongs to another image`;
    return planReplacement(facts, valid, committed ?? pointed, reason);
  }
  const found = facts.trial ? lostCommitted(facts, valid) : `slot ${facts.slot} is committed, but has no generation`;
  return planReplacement(facts, valid, committed, found);
}

/** What is wrong with the generation that a trial should descend from, where an older one has to do. */
function lostCommitted(facts: GenerationFacts, valid: ValidGeneration[]): string | null {
  const slot = facts.committed?.slot ?? "";
  const pointer = ownPointer(facts, slot);
  if (pointer === null || valid.some(({ number }) => number === pointer)) return null;
  return `slot ${slot}, which is committed, points at generation ${generationName(pointer)}, which is ${stateOf(facts, pointer)}`;
}

/** The slot's own generation: gone on with, or cloned where the image brings another control file than it was laid by. */
function planOwn(facts: GenerationFacts, own: ValidGeneration, found: string | null = null): GenerationPlan {
  if (own.meta.controlDigest !== facts.controlDigest) {
    const changed = `the image in slot ${facts.slot} has another control file than generation ${name(own)} was laid by`;
    const reason = found === null ? changed : `${found}; ${changed}`;
    return cloneOf(own, facts, "the image was changed in place", reason);
  }
  const why =
    ownPointer(facts, facts.slot) === own.number ? "it belongs to this image" : "it belongs to this image, which boots again";
  return { do: "continue", generation: own.number, why, reason: found };
}

function planFurtherTry(facts: GenerationFacts, own: ValidGeneration, committed: ValidGeneration | null): GenerationPlan {
  if (committed === null || committed.number === own.number) {
    return planOwn(facts, own);
  }
  if (own.meta.controlDigest !== facts.controlDigest) {
    return cloneOf(committed, facts, "the image on trial has another control file than at its last try", null);
  }
  if (own.meta.parent !== committed.number) {
    const why = `another generation is the committed one since the last try, ${name(committed)}`;
    return cloneOf(committed, facts, why, lostCommitted(facts, ownGenerations(facts)));
  }
  if (facts.previousEnd === "unclean") {
    return cloneOf(committed, facts, "the last attempt ended uncleanly, so this try starts from the committed state", null);
  }
  if (facts.previousEnd === "none") {
    return cloneOf(committed, facts, "the last attempt was not of this trial, so this try starts from the committed state", null);
  }
  return { do: "continue", generation: own.number, why: "a further try after a clean end goes on", reason: null };
}

/** A clone of `source`, else of the newest state there is, else the image's own content. */
function planReplacement(
  facts: GenerationFacts,
  valid: ValidGeneration[],
  source: ValidGeneration | null,
  found: string | null,
): GenerationPlan {
  const to = nextNumber(facts);
  if (source !== null) {
    const why = found === null ? "first try of this image in this slot" : "the closest valid state";
    return cloneOf(source, facts, why, found);
  }
  // What a recovery only tried is still closer to the state than the image's own content.
  const newest = newestInUse(facts, valid) ?? newestInUse(facts, validGenerations(facts.generations));
  if (newest !== null) {
    const lost = found ?? (facts.committed === null ? "no slot was committed yet" : "the committed slot has no valid generation");
    const reason = `${lost}; state was cloned from generation ${name(newest)} of slot ${newest.meta.slot}`;
    return cloneOf(newest, facts, "the newest valid state", reason);
  }
  const damaged = facts.generations.map((generation) => generationName(generation.number));
  const shown = damaged.length > 8 ? `${damaged.slice(0, 8).join(", ")} and ${damaged.length - 8} more` : damaged.join(", ");
  const seen = damaged.length > 0 ? [`no valid generation among ${shown}, which are kept`] : [];
  const expected = damaged.length === 0 && facts.committed !== null ? ["the data filesystem holds no generation"] : [];
  const reasons = [...(found === null ? [] : [found]), ...seen, ...expected];
  const reason = reasons.length > 0 ? `${reasons.join("; ")}; state starts anew from the image` : null;
  return {
    do: "create",
    to,
    why: reason === null ? "first boot of this machine" : "there is no valid state",
    reason,
  };
}

function cloneOf({ number }: ValidGeneration, facts: GenerationFacts, why: string, reason: string | null): ClonePlan {
  return { do: "clone", from: number, to: nextNumber(facts), parent: number, without: [], why, reason };
}

/** The newest generation that a slot points at, else the newest at all. */
function newestInUse(facts: GenerationFacts, valid: ValidGeneration[]): ValidGeneration | null {
  const used = new Set(Object.values(facts.pointers));
  return valid.findLast((generation) => used.has(generation.number)) ?? valid.at(-1) ?? null;
}

function stateOf(facts: GenerationFacts, number: number): string {
  return facts.generations.some((generation) => generation.number === number) ? "damaged or incomplete" : "missing";
}
