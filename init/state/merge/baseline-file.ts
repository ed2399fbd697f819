/** A generation's baseline.json: read from a disk that nobody trusts, and made anew over an image. */
import type { Operator } from "../../../state-ops/control.ts";
import { GENERATION, LONGEST_TEXT, vouchesFor } from "../../../state-ops/layout.ts";
import {
  type Baseline,
  formatBaseline,
  leastLength,
  parseBaseline,
  type StoreBaseline,
  storeBaseline,
} from "../../../state-ops/merge/baseline.ts";
import { OperatorPaths } from "../../../state-ops/operator-tree.ts";
import { BadInput } from "../../../state-ops/outcome.ts";
import type { Descriptor, Kernel } from "../../kernel/kernel.ts";
import { readText } from "../beneath.ts";
import type { ImageContent } from "./gather.ts";
import { baselineOf, storesById } from "./plan-merge.ts";

/** Bytes of baseline.json: some eighty thousand files. Reading it takes sixteen times as much memory. */
const longest = 16 * 1024 * 1024;
/** PATH_MAX of Linux: an image has no longer path, and a deeper tree is none of its. */
const longestPath = 4095;

/** The baseline and its text; or why there is none that can be used. */
export type BaselineReading = { baseline: Baseline; text: string } | { missing: string };

/** Reads the baseline of the generation in the open directory. */
export function readBaseline(kernel: Kernel, generation: Descriptor): BaselineReading {
  const text = readText(kernel, generation, GENERATION.baseline, longest);
  const complete = readText(kernel, generation, GENERATION.complete, LONGEST_TEXT);
  if (text === null || complete === null) return { missing: `it has no ${GENERATION.baseline} that can be read` };
  if (!vouchesFor(complete, GENERATION.baseline, text)) return { missing: `its ${GENERATION.baseline} is damaged` };
  try {
    const baseline = parseBaseline(text);
    const deep = baseline.stores.some(({ entries }) => [...entries.keys()].some((path) => path.length > longestPath));
    return deep ? { missing: `its ${GENERATION.baseline} has paths that no image has` } : { baseline, text };
  } catch (error) {
    if (!(error instanceof BadInput)) throw error;
    return { missing: `its ${GENERATION.baseline} is damaged: ${error.message}` };
  }
}

/**
 * The text of the baseline of stores that were merged with an image: what it has at their places. Of stores that the image
 * does not speak of, what is known from before: another image may. Null where it would be longer than anybody reads.
 */
export function nextBaseline(
  before: Baseline | null,
  operators: readonly Operator[],
  images: ReadonlyMap<string, ImageContent>,
  imageId: string,
): string | null {
  const stores = new Map<string, StoreBaseline>();
  const known = storesById(before);
  const paths = new OperatorPaths(operators);
  for (const store of before?.stores ?? []) stores.set(store.id, store);
  for (const operator of operators.filter(({ state, via }) => state === "persistent" && (via === "overlay" || via === "bind"))) {
    const image = images.get(operator.id);
    const old = baselineOf(known, operator);
    if (operator.renamedFrom !== null) stores.delete(operator.renamedFrom);
    if (image !== undefined) stores.set(operator.id, storeBaseline(operator, paths, imageId, image));
    else if (old !== null) stores.set(operator.id, { ...old, id: operator.id });
    else stores.delete(operator.id);
  }
  if (leastLength(stores.values()) > longest) return null;
  const text = formatBaseline({ schema: 1, stores: [...stores.values()] });
  return Buffer.byteLength(text) > longest ? null : text;
}
