/** Whether what is on a disk after a power failure is what was there before or what came of it: never neither. */
import { differenceOf } from "../../samples/tree-content.ts";
import type { Content, CrashFacts } from "./crash-job.ts";

/**
 * What is wrong with `seen`, one sentence each.
 * @param before the disk before anything of the log was written
 * @param after the disk with all of it
 */
export function faultsOf(seen: CrashFacts, before: CrashFacts, after: CrashFacts): string[] {
  return [
    ...seen.complaints,
    ...(seen.record !== "valid" && before.record === "valid" ? [`the boot record is ${seen.record}`] : []),
    ...pointerFaults(seen, before, after),
    ...generationFaults(seen, before, after),
    ...storeFaults(seen, before, after),
    ...planFaults(seen, before, after),
  ];
}

function pointerFaults(seen: CrashFacts, before: CrashFacts, after: CrashFacts): string[] {
  return Object.entries(seen.pointers).flatMap(([slot, number]) => {
    const known = [before.pointers[slot] ?? null, after.pointers[slot] ?? null];
    if (!known.includes(number))
      return [`slot ${slot} points at ${number}, which is neither the old nor the new: ${known.join(", ")}`];
    const whole = number === null || seen.generations.some((generation) => generation.number === number && generation.whole);
    return whole ? [] : [`slot ${slot} points at generation ${number}, which is not whole`];
  });
}

function generationFaults(seen: CrashFacts, before: CrashFacts, after: CrashFacts): string[] {
  const has = (facts: CrashFacts, number: number) => facts.generations.some((generation) => generation.number === number);
  const lost = before.generations.filter(({ number }) => has(after, number) && !has(seen, number));
  return [
    ...lost.map(({ number }) => `generation ${number} is gone`),
    ...seen.generations.flatMap(({ number, complete, whole }) => [
      ...(has(before, number) || has(after, number) ? [] : [`nobody made generation ${number}`]),
      ...(complete && whole ? [] : [`generation ${number} is there and not whole (slipway: ${complete}, its files: ${whole})`]),
    ]),
  ];
}

function storeFaults(seen: CrashFacts, before: CrashFacts, after: CrashFacts): string[] {
  const different = Object.entries(seen.stores).flatMap(([path, content]) => {
    const known = [before.stores[path], after.stores[path]].filter((other) => other !== undefined);
    if (known.length === 0) return [`nobody made the store ${path}`];
    const differences = known.map((other) => differenceOf(content, other));
    return differences.includes(null) ? [] : [`the store ${path} is neither the old nor the new: ${differences.at(-1)}`];
  });
  const lost = Object.keys(before.stores).filter((path) => after.stores[path] !== undefined && seen.stores[path] === undefined);
  return [...different, ...lost.map((path) => `the store ${path} is gone`), ...cloneFaults(seen, before, after)];
}

/** A generation that is there has every store that the state had before: only what the image brings is seeded later. */
function cloneFaults(seen: CrashFacts, before: CrashFacts, after: CrashFacts): string[] {
  const cloned = new Set(Object.keys(before.stores).map(inGeneration));
  return Object.keys(after.stores).flatMap((path) => {
    const number = Number(/^gens\/(\d+)\//.exec(path)?.[1] ?? 0);
    const there = seen.generations.some((generation) => generation.number === number);
    return there && cloned.has(inGeneration(path)) && seen.stores[path] === undefined
      ? [`generation ${number} is there without the store ${path}`]
      : [];
  });
}

/** "gens/000002/tree/home" is "tree/home". */
const inGeneration = (path: string): string => path.replace(/^gens\/\d+\//, "");

function planFaults(seen: CrashFacts, before: CrashFacts, after: CrashFacts): string[] {
  return seen.plans.flatMap((plan) => [
    ...(plan.reason === null || isBetween(plan.slot, seen, after)
      ? []
      : [`the next boot of slot ${plan.slot} says: ${plan.reason}`]),
    ...(plan.do === "create" && before.generations.length > 0 ? [`the next boot of slot ${plan.slot} begins without state`] : []),
  ]);
}

/** The power failed after the new generation had got its name and before the slot pointed at it: the next boot may tell of that. */
function isBetween(slot: string, seen: CrashFacts, after: CrashFacts): boolean {
  const number = after.pointers[slot] ?? null;
  return number !== seen.pointers[slot] && seen.generations.some((generation) => generation.number === number);
}

/** The stores of the generation that `slot` points at, by their paths in it. */
export function stateOfSlot(facts: CrashFacts, slot: string): Record<string, Content> {
  const number = facts.pointers[slot] ?? 0;
  const prefix = `gens/${String(number).padStart(6, "0")}/`;
  const own = Object.entries(facts.stores).filter(([path]) => path.startsWith(prefix));
  return Object.fromEntries(own.map(([path, content]) => [inGeneration(path), content]));
}
