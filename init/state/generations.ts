/**
 * Carries out what was decided about a slot's generation. Power may fail between any two calls here: before the rename to
 * gens/N there is only rubbish in gens/.tmp-*, which the next run deletes; before the rename of the pointer the slot still
 * points at its old generation.
 */

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
import { readPointer } from "./data-filesystem.ts";
import { emptyTrash, moveToTrash, removeTree } from "./remove-tree.ts";

export interface GenerationOrder {
  plan: GenerationPlan;
  slot: string;
  imageId: string;
  /** Digest of the image's control file. */
  controlDigest: string;
  /** Number of the attempt that boots. */
  attempt: number;
}

export interface PreparedGeneration {
  number: number;
  /** Relative to the data filesystem's root: "gens/000017", as planState takes it. */
  path: string;
  /** What could not be tidied up. */
  warnings: string[];
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
  if (plan.do !== "continue") {
    warnings.push(...deleteUnfinished(kernel, data, onProgress));
    build(kernel, data, order, number, onProgress);
  }
  setPointer(kernel, data, slot, number);
  return { number, path: generationPath(number), warnings };
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

function build(kernel: Kernel, data: Descriptor, order: GenerationOrder, number: number, onProgress: OnProgress): void {
  const aside = splitPath(temporaryGeneration(number, `attempt-${order.attempt}`))[1];
  withDirectory(kernel, data, LAYOUT.generations, (generations) => {
    kernel.makeDirectory(aside, 0o700, generations);
    try {
      withDirectory(kernel, generations, aside, (target) => {
        const { plan } = order;
        for (const name of [GENERATION.tree, GENERATION.overlays]) kernel.makeDirectory(name, 0o700, target);
        if (plan.do === "clone") {
          withDirectory(kernel, generations, generationName(plan.from), (source) =>
            cloneStores(kernel, source, target, onProgress),
          );
        }
        seal(kernel, data, target, metaOf(order, number));
      });
      kernel.rename(aside, generationName(number), { at: generations, exclusive: true });
      kernel.sync(generations);
    } catch (error) {
      giveSpaceBack(kernel, data, generations, aside, onProgress);
      throw error;
    }
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

/** Everything below is on disk before COMPLETE vouches for it. */
function seal(kernel: Kernel, data: Descriptor, generation: Descriptor, meta: GenerationMeta): void {
  const text = formatMeta(meta);
  writeNewFile(kernel, generation, GENERATION.meta, text, 0o600);
  kernel.syncFilesystem(data);
  writeNewFile(kernel, generation, GENERATION.complete, formatComplete({ [GENERATION.meta]: text }), 0o600);
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
