/** Makes a generation: aside, durable, vouched for, and only then under its name. */
import { cloneRules } from "../../state-ops/clone-rules.ts";
import type { Operator } from "../../state-ops/control.ts";
import {
  formatComplete,
  formatMeta,
  formatStandIn,
  GENERATION,
  type GenerationMeta,
  generationName,
  LAYOUT,
  temporaryGeneration,
} from "../../state-ops/layout.ts";
import type { GenerationPlan } from "../../state-ops/planned-generation.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";
import { exists, type OnProgress, splitPath, withDirectory, writeNewFile } from "./beneath.ts";
import { makeSnapshot, makeSubvolume } from "./btrfs.ts";
import { copyStores, keepStores } from "./clone-stores.ts";
import { readMeta } from "./data-filesystem.ts";
import type { Adapted, BuiltGeneration } from "./merge/adapt.ts";
import { emptyTrash, moveToTrash } from "./remove-tree.ts";

export interface BuildOrder {
  plan: Exclude<GenerationPlan, { do: "continue" }>;
  slot: string;
  imageId: string;
  /** Digest of the image's control file. */
  controlDigest: string;
  /** Number of the attempt that boots. */
  attempt: number;
  /** The image's. */
  operators: readonly Operator[];
  /** Root of the image, over which nothing is laid yet. */
  newRoot: Descriptor;
  /** Makes a new generation's stores fit the image, before it is sealed. */
  adapt(kernel: Kernel, built: BuiltGeneration, onProgress: OnProgress): Adapted;
}

/**
 * Builds the generation that the plan names, with the cheapest engine that its filesystem has: a snapshot of btrfs, reflinks,
 * copies without holes. On return it is durable, and nothing points at it yet. Returns notes. Throws KernelError or Error;
 * what was half made is then deleted.
 */
export function buildGeneration(kernel: Kernel, data: Descriptor, order: BuildOrder, onProgress: OnProgress): string[] {
  const number = order.plan.to;
  const aside = splitPath(temporaryGeneration(number, `attempt-${order.attempt}`))[1];
  return withDirectory(kernel, data, LAYOUT.generations, (generations) => {
    try {
      const { files, notes } = fill(kernel, generations, aside, order, onProgress);
      withDirectory(kernel, generations, aside, (directory) => {
        // Not vouched for by COMPLETE: the boot after a commit takes it away.
        const { standIn } = order.plan;
        if (standIn !== undefined) writeNewFile(kernel, directory, GENERATION.standIn, formatStandIn(standIn), 0o600);
        seal(kernel, data, directory, { ...files, [GENERATION.meta]: formatMeta(metaOf(order)) });
      });
      kernel.rename(aside, generationName(number), { at: generations, exclusive: true });
      kernel.sync(generations);
      return notes;
    } catch (error) {
      giveSpaceBack(kernel, data, generations, aside, onProgress);
      throw error;
    }
  });
}

function fill(kernel: Kernel, generations: Descriptor, aside: string, order: BuildOrder, onProgress: OnProgress): Adapted {
  const { plan, imageId, controlDigest, operators, newRoot } = order;
  const built = { number: plan.to, imageId, controlDigest, operators, newRoot };
  if (plan.do === "create") {
    makeEmpty(kernel, generations, aside);
    return withDirectory(kernel, generations, aside, (directory) =>
      order.adapt(kernel, { ...built, directory, parent: null }, onProgress),
    );
  }
  return withDirectory(kernel, generations, generationName(plan.from), (source) => {
    const rules = cloneRules(operators, plan.without);
    const snapshot = makeSnapshot(kernel, generations, aside, source);
    if (!snapshot) makeEmpty(kernel, generations, aside);
    return withDirectory(kernel, generations, aside, (directory) => {
      if (snapshot) keepStores(kernel, directory, rules, onProgress);
      else copyStores(kernel, source, directory, rules, onProgress);
      const meta = readMeta(kernel, source);
      const parent = meta === null ? null : { directory: source, meta };
      return order.adapt(kernel, { ...built, directory, parent }, onProgress);
    });
  });
}

function makeEmpty(kernel: Kernel, generations: Descriptor, aside: string): void {
  const subvolume = makeSubvolume(kernel, generations, aside);
  if (!subvolume) kernel.makeDirectory(aside, 0o700, generations);
  withDirectory(kernel, generations, aside, (directory) => {
    if (subvolume) kernel.changeMode(directory, 0o700);
    for (const name of [GENERATION.tree, GENERATION.overlays]) kernel.makeDirectory(name, 0o700, directory);
  });
}

/** The slot that boots instead needs the space of a generation that failed. What resists is left for the next run. */
function giveSpaceBack(kernel: Kernel, data: Descriptor, generations: Descriptor, aside: string, onProgress: OnProgress): void {
  try {
    if (exists(kernel, generations, aside)) moveToTrash(kernel, data, generations, aside);
    emptyTrash(kernel, data, onProgress);
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
  }
}

function metaOf({ plan, slot, imageId, controlDigest, attempt }: BuildOrder): GenerationMeta {
  const parent = plan.do === "clone" ? plan.parent : null;
  return { schema: 1, number: plan.to, parent, imageId, slot, controlDigest, attempt };
}

/** Everything below it is on disk before COMPLETE vouches for it. `files` are texts by name. */
function seal(kernel: Kernel, data: Descriptor, generation: Descriptor, files: Record<string, string>): void {
  for (const [name, text] of Object.entries(files)) writeNewFile(kernel, generation, name, text, 0o600);
  kernel.syncFilesystem(data);
  writeNewFile(kernel, generation, GENERATION.complete, formatComplete(files), 0o600);
  kernel.sync(generation);
}
