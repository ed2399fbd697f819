/** Which generations may be deleted, and why each other one is kept. Pure: nothing here deletes anything. */
import { committedGenerationNumber, type GenerationFact, type GenerationFacts, ownGenerations } from "./generation-facts.ts";
import { generationName } from "./layout.ts";
import type { GenerationPlan } from "./planned-generation.ts";

export type CollectionFacts = Pick<GenerationFacts, "pointers" | "generations" | "committed">;

export interface Verdict {
  number: number;
  /** One clause: "slot a points at it". */
  why: string;
}

/** Every generation is in exactly one of the lists. */
export interface CollectionPlan {
  /** Of no use to anybody, in the order in which they are to be deleted. */
  collect: Verdict[];
  /** Kept for a look or one more step back; deleted only where space is needed, in this order, after all of `collect`. */
  underPressure: Verdict[];
  /** Never deleted, ascending: the state of a slot, the rollback target of a trial, what is pinned. */
  kept: Verdict[];
}

/**
 * Decides on every generation (order of deletion: failed tries, then older committed ones, oldest first).
 * Kept: what a slot points at, the committed one, what is pinned. Kept until space is needed: the newest failed one, for a
 * look and its logs; the newest older one; damaged ones. Where nothing is known to be committed, nothing but them may go.
 */
export function planCollection(facts: CollectionFacts): CollectionPlan {
  const committed = committedGenerationNumber(facts);
  const plan: CollectionPlan = { collect: [], underPressure: [], kept: [] };
  const failed: GenerationFact[] = [];
  const older: GenerationFact[] = [];
  const damaged: GenerationFact[] = [];
  // Only a committed generation is cloned for another image: one that was cloned was committed once.
  const parents = new Set(facts.generations.map(({ meta }) => meta?.parent));
  for (const generation of ascending(facts.generations)) {
    const why = whyKept(facts, generation, committed);
    if (why !== null) plan.kept.push({ number: generation.number, why });
    else if (!isValid(generation)) damaged.push(generation);
    else if (parents.has(generation.number)) older.push(generation);
    else failed.push(generation);
  }
  const verdict = (why: string) => (generation: GenerationFact) => ({ number: generation.number, why });
  plan.collect.push(...failed.slice(0, -1).map(verdict("a try that was not committed, and not the newest such")));
  plan.collect.push(...older.slice(0, -1).map(verdict("older than the one older generation that is kept")));
  plan.underPressure.push(
    ...failed.slice(-1).map(verdict("the newest try that was not committed, kept for a look and its logs")),
  );
  plan.underPressure.push(...older.slice(-1).map(verdict("the newest older generation, kept for one more step back")));
  plan.underPressure.push(...damaged.map(verdict("damaged, and older than the committed state")));
  return plan;
}

/**
 * Earlier tries of the very trial that `plan` makes another generation for, and what recoveries tried with this image in this
 * slot, ascending: PID 1 deletes them before it builds, so that what is cut short time and again fills no disk. The last one
 * stays, since its slot still points at it.
 */
export function earlierTries(facts: GenerationFacts, plan: GenerationPlan): number[] {
  const another = plan.do === "clone" || (plan.do === "create" && plan.standIn !== undefined);
  if (!another) return [];
  const { collect, underPressure } = planCollection(facts);
  const free = new Set([...collect, ...underPressure].map(({ number }) => number));
  const own = new Set(facts.trial ? [] : ownGenerations(facts).map(({ number }) => number));
  return ascending(facts.generations)
    .filter((generation) => isValid(generation) || facts.trial)
    .filter(({ meta }) => meta?.slot === facts.slot && meta.imageId === facts.imageId)
    .map(({ number }) => number)
    .filter((number) => free.has(number) && !own.has(number) && !(plan.do === "clone" && number === plan.from));
}

/** Null where it is not kept whatever happens. */
function whyKept(facts: CollectionFacts, generation: GenerationFact, committed: number | null): string | null {
  const { number } = generation;
  const slot = Object.keys(facts.pointers).find((name) => facts.pointers[name] === number);
  if (number === committed) return `the committed state, of slot ${facts.committed?.slot}`;
  if (slot !== undefined) return `slot ${slot} points at it`;
  if (generation.pinned !== null) return `pinned in attempt ${generation.pinned.attempt}: ${generation.pinned.reason}`;
  if (committed === null) {
    return facts.committed === null ? "no slot was committed yet" : "the committed state is missing, so none is given up";
  }
  if (!isValid(generation) && number > committed) return `damaged, and newer than the committed ${generationName(committed)}`;
  return null;
}

function isValid({ number, complete, meta }: GenerationFact): boolean {
  return complete && meta !== null && meta.number === number;
}

function ascending(generations: readonly GenerationFact[]): GenerationFact[] {
  return [...generations].sort((left, right) => left.number - right.number);
}
