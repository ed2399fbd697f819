/**
 * Carries out what was decided about a slot's generation. Power may fail between any two calls here: before the rename to
 * gens/N there is only rubbish in gens/.tmp-*, which the next run deletes; before the rename of the pointer the slot still
 * points at its old generation.
 */

import type { Operator } from "../../state-ops/control.ts";
import type { GenerationPlan } from "../../state-ops/generation-plan.ts";
import {
  formatComplete,
  formatMeta,
  GENERATION,
  type GenerationMeta,
  generationName,
  generationPath,
  isTemporaryGeneration,
  LAYOUT,
  pointerTarget,
  temporaryGeneration,
} from "../../state-ops/layout.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";
import { exists, type OnProgress, splitPath, withDirectory, writeNewFile } from "./beneath.ts";
import { cloneTree } from "./clone-tree.ts";
import { readMeta, readPointer } from "./data-filesystem.ts";
import type { Adapted, BuiltGeneration } from "./merge/adapt.ts";
import { emptyTrash, moveToTrash, removeTree } from "./remove-tree.ts";

export interface GenerationOrder {
  plan: GenerationPlan;
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

export interface PreparedGeneration {
  number: number;
  /** Relative to the data filesystem's root: "gens/000017", as planState takes it. */
  path: string;
  /** What could not be tidied up. */
  warnings: string[];
  /** What became of the state; see {@link Adapted}. */
  notes: string[];
}

/**
 * Makes the slot point at the generation that the plan names, built first where it is a new one. On return all of it is
 * durable. Throws KernelError or Error; the slot's pointer is then the old or the new one, and a half-made generation is
 * deleted now or by the next run.
 */
export function prepareGeneration(
  kernel: Kernel,
  data: Descriptor,
  order: GenerationOrder,
  onProgress: OnProgress,
): PreparedGeneration {
  const { plan, slot } = order;
  const number = plan.do === "continue" ? plan.generation : plan.to;
  const warnings: string[] = [];
  const notes: string[] = [];
  if (plan.do !== "continue") {
    warnings.push(...deleteUnfinished(kernel, data, onProgress));
    notes.push(...build(kernel, data, order, number, onProgress));
  }
  setPointer(kernel, data, slot, number);
  return { number, path: generationPath(number), warnings, notes };
}

/** Deletes generations whose building was interrupted, and what else lies in trash/. Returns warnings. */
export function deleteUnfinished(kernel: Kernel, data: Descriptor, onProgress: OnProgress): string[] {
  withDirectory(kernel, data, LAYOUT.generations, (generations) => {
    for (const { name } of kernel.readDirectory(generations)) {
      const text = new TextDecoder().decode(name);
      if (isTemporaryGeneration(text)) moveToTrash(kernel, data, generations, text);
    }
  });
  return emptyTrash(kernel, data, onProgress);
}

/** Returns notes. */
function build(kernel: Kernel, data: Descriptor, order: GenerationOrder, number: number, onProgress: OnProgress): string[] {
  const aside = splitPath(temporaryGeneration(number, `attempt-${order.attempt}`))[1];
  return withDirectory(kernel, data, LAYOUT.generations, (generations) => {
    kernel.makeDirectory(aside, 0o700, generations);
    try {
      const notes = withDirectory(kernel, generations, aside, (directory) => {
        for (const name of [GENERATION.tree, GENERATION.overlays]) kernel.makeDirectory(name, 0o700, directory);
        const { files, notes } = fill(kernel, generations, directory, order, number, onProgress);
        seal(kernel, data, directory, { ...files, [GENERATION.meta]: formatMeta(metaOf(order, number)) });
        return notes;
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

function fill(
  kernel: Kernel,
  generations: Descriptor,
  directory: Descriptor,
  order: GenerationOrder,
  number: number,
  onProgress: OnProgress,
): Adapted {
  const { plan, imageId, operators, newRoot } = order;
  const built = { directory, number, imageId, operators, newRoot };
  if (plan.do !== "clone") return order.adapt(kernel, { ...built, parent: null }, onProgress);
  return withDirectory(kernel, generations, generationName(plan.from), (source) => {
    cloneStores(kernel, source, directory, onProgress);
    const meta = readMeta(kernel, source);
    return order.adapt(kernel, { ...built, parent: meta === null ? null : { directory: source, meta } }, onProgress);
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

function metaOf({ plan, slot, imageId, controlDigest, attempt }: GenerationOrder, number: number): GenerationMeta {
  return { schema: 1, number, parent: plan.do === "clone" ? plan.from : null, imageId, slot, controlDigest, attempt };
}

/** Copies every store. What was being seeded when the power failed is no store. */
function cloneStores(kernel: Kernel, source: Descriptor, target: Descriptor, onProgress: OnProgress): void {
  const progress = accumulated(onProgress);
  const cloneEach = (from: Descriptor, to: Descriptor): void => {
    for (const { name } of kernel.readDirectory(from)) {
      if (name[0] === 0x2e) continue;
      const done = cloneTree(
        kernel,
        { at: from, name },
        { at: to, name },
        { onProgress: progress.report, dropOptionalAttributes: false },
      );
      progress.add(done.bytes, done.files);
    }
  };
  const both = (name: string, use: (from: Descriptor, to: Descriptor) => void) => (from: Descriptor, to: Descriptor) =>
    withDirectory(kernel, from, name, (inner) => withDirectory(kernel, to, name, (made) => use(inner, made)));
  both(GENERATION.tree, cloneEach)(source, target);
  both(GENERATION.overlays, (from, to) => {
    for (const entry of kernel.readDirectory(from)) {
      const id = new TextDecoder().decode(entry.name);
      kernel.makeDirectory(id, 0o700, to);
      both(id, cloneEach)(from, to);
    }
  })(source, target);
}

/** Progress over several trees, each of which counts from zero. */
function accumulated(onProgress: OnProgress): { report: OnProgress; add: OnProgress } {
  let before = { bytes: 0, files: 0 };
  const report: OnProgress = (bytes, files) => onProgress(before.bytes + bytes, before.files + files);
  return {
    report,
    add: (bytes, files) => {
      before = { bytes: before.bytes + bytes, files: before.files + files };
      report(0, 0);
    },
  };
}

/** Everything below is on disk before COMPLETE vouches for it. `files` are texts by name. */
function seal(kernel: Kernel, data: Descriptor, generation: Descriptor, files: Record<string, string>): void {
  for (const [name, text] of Object.entries(files)) writeNewFile(kernel, generation, name, text, 0o600);
  kernel.syncFilesystem(data);
  writeNewFile(kernel, generation, GENERATION.complete, formatComplete(files), 0o600);
  kernel.sync(generation);
}

/** Replaces the slot's pointer where it says anything else. */
function setPointer(kernel: Kernel, data: Descriptor, slot: string, number: number): void {
  withDirectory(kernel, data, LAYOUT.slots, (slots) => {
    if (readPointer(kernel, slots, slot) === number) return;
    const aside = `${slot}.tmp`;
    removeTree(kernel, slots, aside, () => {});
    // A directory in a pointer's place could not be replaced by a rename.
    if (exists(kernel, slots, slot) && kernel.statusAt(slot, slots).kind === "directory") moveToTrash(kernel, data, slots, slot);
    kernel.makeSymlink(pointerTarget(number), aside, slots);
    kernel.rename(aside, slot, { at: slots });
    kernel.sync(slots);
  });
}
