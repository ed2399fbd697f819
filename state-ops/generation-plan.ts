import { type GenerationMeta, generationName, type Pin } from "./layout.ts";

/** A directory in gens/ with a number for a name. */
export interface GenerationFact {
  number: number;
  /** COMPLETE is there and vouches for the files beside it. */
  complete: boolean;
  meta: GenerationMeta | null;
  /** Set where PINNED is there: a committed slot left it. */
  pinned: Pin | null;
}

/** What was found before the slot's state is laid. */
export interface GenerationFacts {
  /** The slot that boots, the image in it, and the digest of that image's control file. */
  slot: string;
  imageId: string;
  controlDigest: string;
  trial: boolean;
  /** How the last try of this very image in this slot ended; `none` where the attempt before this one was not of it. */
  previousEnd: "clean" | "unclean" | "none";
  /** The number each slot's pointer says; null where there is none, or one of another form. */
  pointers: Readonly<Record<string, number | null>>;
  generations: readonly GenerationFact[];
  /** From the boot record. */
  committed: { slot: string; imageId: string } | null;
}

/**
 * Which generation the slot gets. `to` is a new number; the pointer of the slot is set to `to` or `generation` where it
 * says anything else. `why` is one sentence, always there. `reason` is null in an ordinary boot, else what was found
 * wrong, for the report and the journal. No plan removes anything.
 */
export type GenerationPlan =
  | { do: "continue"; generation: number; why: string; reason: string | null }
  | { do: "clone"; from: number; to: number; why: string; reason: string | null }
  | { do: "create"; to: number; why: string; reason: string | null };

interface Valid {
  number: number;
  meta: GenerationMeta;
}

/**
 * Decides on the generation of a boot (DESIGN section 5, "Generations"). A committed slot goes on with its own. A trial
 * gets a clone of the committed generation at its first try, after an unclean end and after a boot of another slot, and goes on after a clean one.
 * What is missing or invalid is replaced by the closest state there is; only a disk without any valid generation is
 * seeded from the image.
 */
export function planGeneration(facts: GenerationFacts): GenerationPlan {
  const valid = validGenerations(facts.generations);
  const committed = committedGeneration(facts, valid);
  const pointer = facts.pointers[facts.slot] ?? null;
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
  const resumes = own !== null && (!facts.trial || own.number === committed?.number);
  if (resumes) {
    const reason = pointed === null ? `slot ${facts.slot} had no pointer to a generation` : null;
    return planOwn(facts, own, reason);
  }
  if (!facts.trial && pointed !== null) {
    const reason = `slot ${facts.slot} is committed, but its generation ${name(pointed)} belongs to another image`;
    return planReplacement(facts, valid, committed ?? pointed, reason);
  }
  return planReplacement(facts, valid, committed, facts.trial ? null : `slot ${facts.slot} is committed, but has no generation`);
}

/**
 * The generation that the last commit made good: the one its slot points at while that is of the committed image, else
 * the newest valid one of that image in that slot (the slot has been given another image since).
 */
export function committedGenerationNumber(facts: Pick<GenerationFacts, "committed" | "pointers" | "generations">): number | null {
  return committedGeneration(facts, validGenerations(facts.generations))?.number ?? null;
}

/** In ascending order. A generation that lies about its number is not valid. */
function validGenerations(generations: readonly GenerationFact[]): Valid[] {
  return generations
    .flatMap(({ number, complete, meta }) => (complete && meta !== null && meta.number === number ? [{ number, meta }] : []))
    .sort((left, right) => left.number - right.number);
}

function committedGeneration(facts: Pick<GenerationFacts, "committed" | "pointers">, valid: Valid[]): Valid | null {
  const { committed } = facts;
  if (committed === null) {
    return null;
  }
  const candidates = valid.filter((generation) => belongs(generation, committed));
  const pointer = facts.pointers[committed.slot];
  return candidates.find((generation) => generation.number === pointer) ?? candidates.at(-1) ?? null;
}

function belongs(generation: Valid, image: { slot: string; imageId: string }): boolean {
  return generation.meta.imageId === image.imageId && generation.meta.slot === image.slot;
}

/** The slot's own generation: gone on with, or cloned where the image brings another control file than it was laid by. */
function planOwn(facts: GenerationFacts, own: Valid, found: string | null = null): GenerationPlan {
  if (own.meta.controlDigest !== facts.controlDigest) {
    const changed = `the image in slot ${facts.slot} has another control file than generation ${name(own)} was laid by`;
    const reason = found === null ? changed : `${found}; ${changed}`;
    return { do: "clone", from: own.number, to: nextNumber(facts), why: "the image was changed in place", reason };
  }
  const why =
    facts.pointers[facts.slot] === own.number ? "it belongs to this image" : "it belongs to this image, which boots again";
  return { do: "continue", generation: own.number, why, reason: found };
}

function planFurtherTry(facts: GenerationFacts, own: Valid, committed: Valid | null): GenerationPlan {
  if (committed === null || committed.number === own.number) {
    return planOwn(facts, own);
  }
  const from = { do: "clone" as const, from: committed.number, to: nextNumber(facts), reason: null };
  if (own.meta.controlDigest !== facts.controlDigest) {
    return { ...from, why: "the image on trial has another control file than at its last try" };
  }
  if (own.meta.parent !== committed.number) {
    return { ...from, why: `another generation was committed since the last try, ${name(committed)}` };
  }
  if (facts.previousEnd === "unclean") {
    return { ...from, why: "the last attempt ended uncleanly, so this try starts from the committed state" };
  }
  if (facts.previousEnd === "none") {
    return { ...from, why: "the last attempt was not of this trial, so this try starts from the committed state" };
  }
  return { do: "continue", generation: own.number, why: "a further try after a clean end goes on", reason: null };
}

/** A clone of `source`, else of the newest state there is, else the image's own content. */
function planReplacement(facts: GenerationFacts, valid: Valid[], source: Valid | null, found: string | null): GenerationPlan {
  const to = nextNumber(facts);
  if (source !== null) {
    const why = found === null ? "first try of this image in this slot" : "the closest valid state";
    return { do: "clone", from: source.number, to, why, reason: found };
  }
  const newest = newestInUse(facts, valid);
  if (newest !== null) {
    const lost = found ?? (facts.committed === null ? "no slot was committed yet" : "the committed slot has no valid generation");
    const reason = `${lost}; state was cloned from generation ${name(newest)} of slot ${newest.meta.slot}`;
    return { do: "clone", from: newest.number, to, why: "the newest valid state", reason };
  }
  const damaged = facts.generations.map((generation) => generationName(generation.number));
  const seen = damaged.length > 0 ? [`no valid generation among ${damaged.join(", ")}, which are kept`] : [];
  const expected = damaged.length === 0 && facts.committed !== null ? ["the data filesystem holds no generation"] : [];
  const reasons = [...(found === null ? [] : [found]), ...seen, ...expected];
  const reason = reasons.length > 0 ? `${reasons.join("; ")}; state starts anew from the image` : null;
  return { do: "create", to, why: reason === null ? "first boot of this machine" : "there is no valid state", reason };
}

/** The newest generation that a slot points at, else the newest at all. */
function newestInUse(facts: GenerationFacts, valid: Valid[]): Valid | null {
  const used = new Set(Object.values(facts.pointers));
  return valid.findLast((generation) => used.has(generation.number)) ?? valid.at(-1) ?? null;
}

/** Above every number that was ever seen, pointers to lost generations included. */
function nextNumber(facts: GenerationFacts): number {
  const pointers = Object.values(facts.pointers).map((pointer) => pointer ?? 0);
  return Math.max(0, ...pointers, ...facts.generations.map((generation) => generation.number)) + 1;
}

function stateOf(facts: GenerationFacts, number: number): string {
  return facts.generations.some((generation) => generation.number === number) ? "damaged or incomplete" : "missing";
}

function name(generation: Valid): string {
  return generationName(generation.number);
}
