/** What is known of generations before one is chosen for a slot, and what every rule on them looks up. */
import { type GenerationMeta, generationName, HIGHEST_GENERATION, type Pin, type StandIn } from "./layout.ts";
import type { StateWish } from "./recovery.ts";

/** A directory in gens/ with a number for a name. */
export interface GenerationFact {
  number: number;
  /** COMPLETE is there and vouches for the files beside it. */
  complete: boolean;
  meta: GenerationMeta | null;
  /** Set where PINNED is there: a committed slot left it, or a recovery set it aside. */
  pinned: Pin | null;
  /** Set where STAND-IN is there: a recovery made it. */
  standIn?: StandIn;
}

/** What there is of generations and pointers, and which image is committed: what tells whose a generation is. */
export type Holdings = Pick<GenerationFacts, "pointers" | "committed"> & { generations: readonly HeldGeneration[] };

/** What tells whose a generation is. */
export type HeldGeneration = Omit<GenerationFact, "pinned">;

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
  /** From the boot record. `attempt`: the one that was good; left out where no recovery was ever begun. */
  committed: { slot: string; imageId: string; attempt?: number } | null;
  /** Why the committed slot does not boot, as far as the boot record knows; null where nothing is wrong with it. */
  left: string | null;
  /** Number of the attempt that boots. */
  attempt: number;
  /** What the running system asked of the generation. */
  orders: GenerationOrders;
  /** How a recovery wants the state to be laid. No generation is planned for memory. */
  wish: Exclude<StateWish, "memory">;
}

export interface GenerationOrders {
  /** Nothing of any generation is kept. */
  factory: boolean;
  /** Ids of persistent stores to begin anew. */
  without: readonly string[];
  /** The generation whose state this slot goes on with. */
  carry: number | null;
}

export const NO_ORDERS: GenerationOrders = { factory: false, without: [], carry: null };

/** A generation that is whole and says its own number. */
export interface ValidGeneration {
  number: number;
  meta: GenerationMeta;
  standIn?: StandIn;
}

/**
 * The generation that the last commit made good: the one its slot points at while that is of the committed image, else
 * the newest valid one of that image in that slot (the slot has been given another image since).
 */
export function committedGenerationNumber(facts: Holdings): number | null {
  return committedGeneration(facts)?.number ?? null;
}

/** In ascending order. A generation that lies about its number is not valid. */
export function validGenerations(generations: readonly HeldGeneration[]): ValidGeneration[] {
  return generations
    .flatMap(({ number, complete, meta, standIn }) =>
      complete && meta !== null && meta.number === number
        ? [{ number, meta, ...(standIn === undefined ? {} : { standIn }) }]
        : [],
    )
    .sort((left, right) => left.number - right.number);
}

/** See {@link committedGenerationNumber}. */
export function committedGeneration(facts: Holdings): ValidGeneration | null {
  const { committed } = facts;
  if (committed === null) {
    return null;
  }
  const candidates = ownGenerations(facts).filter((generation) => belongs(generation, committed));
  const pointer = ownPointer(facts, committed.slot);
  return candidates.find((generation) => generation.number === pointer) ?? candidates.at(-1) ?? null;
}

/**
 * Whether a recovery made the generation, and no system was committed with it since: it is nobody's state yet. The boot after a
 * commit takes the mark away, before another slot can be committed.
 */
export function isOnlyTried({ meta, standIn }: ValidGeneration, committed: GenerationFacts["committed"]): boolean {
  if (standIn === undefined) return false;
  const { slot, imageId, attempt = 0 } = committed ?? { slot: null, imageId: null };
  return meta.slot !== slot || meta.imageId !== imageId || attempt < meta.attempt;
}

/** The valid generations without what recoveries only tried, in ascending order. */
export function ownGenerations({ generations, committed }: Holdings): ValidGeneration[] {
  return validGenerations(generations).filter((generation) => !isOnlyTried(generation, committed));
}

/** The number that a slot's pointer says, or said before a recovery had it point at what was only tried. */
export function ownPointer({ pointers, generations, committed }: Holdings, slot: string): number | null {
  const pointer = pointers[slot] ?? null;
  const pointed = validGenerations(generations).find(({ number }) => number === pointer);
  if (pointed?.standIn === undefined || !isOnlyTried(pointed, committed)) return pointer;
  return pointed.standIn.of;
}

export function belongs(generation: ValidGeneration, image: { slot: string; imageId: string }): boolean {
  return generation.meta.imageId === image.imageId && generation.meta.slot === image.slot;
}

/**
 * Above every number that was ever seen, pointers to lost generations included. Where somebody has put the highest one there,
 * the first that is free.
 */
export function nextNumber(facts: Pick<GenerationFacts, "pointers" | "generations">): number {
  const seen = new Set(facts.generations.map((generation) => generation.number));
  for (const pointer of Object.values(facts.pointers)) if (pointer !== null) seen.add(pointer);
  let highest = 0;
  for (const number of seen) highest = Math.max(highest, number);
  if (highest < HIGHEST_GENERATION) return highest + 1;
  let free = 1;
  while (seen.has(free)) free++;
  return free;
}

/** As a directory's name: "000017". */
export function name(generation: ValidGeneration): string {
  return generationName(generation.number);
}
