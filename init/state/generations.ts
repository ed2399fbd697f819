/**
 * Carries out what was decided about a slot's generation, and about the others. Power may fail between any two calls here:
 * before the rename to gens/N there is only rubbish in gens/.tmp-*, which the next run deletes; before the rename of the
 * pointer the slot still points at its old generation; what is deleted is renamed into trash/ first.
 */

import type { GenerationWork, PinOrder } from "../../state-ops/generation-work.ts";
import {
  GENERATION,
  generationName,
  generationPath,
  isTemporaryGeneration,
  LAYOUT,
  pointerTarget,
} from "../../state-ops/layout.ts";
import type { GenerationPlan } from "../../state-ops/planned-generation.ts";
import type { Descriptor, Kernel } from "../kernel/kernel.ts";
import { exists, isCode, type OnProgress, warningOf, withDirectory } from "./beneath.ts";
import { type BuildOrder, buildGeneration } from "./build-generation.ts";
import { readPointer } from "./data-filesystem.ts";
import { confirmGeneration, pinGeneration, unpinGeneration } from "./pins.ts";
import { emptyTrash, moveToTrash, removeTree } from "./remove-tree.ts";

export interface GenerationOrder extends Omit<BuildOrder, "plan"> {
  plan: GenerationPlan;
  work: GenerationWork;
}

export interface PreparedGeneration {
  number: number;
  /** Relative to the data filesystem's root: "gens/000017", as planState takes it. */
  path: string;
  /** What could not be tidied up. */
  warnings: string[];
  /** What became of the state: see Adapted, and what was deleted for space. */
  notes: string[];
}

/**
 * Makes the slot point at the generation that the plan names, built first where it is a new one. On return all of it is
 * durable. Where there is no space, what the work allows is deleted, one generation after another. Throws KernelError or
 * Error; the slot's pointer is then the old or the new one, and a half-made generation is deleted now or by the next run.
 */
export function prepareGeneration(
  kernel: Kernel,
  data: Descriptor,
  order: GenerationOrder,
  onProgress: OnProgress,
): PreparedGeneration {
  const { plan, slot, work, attempt } = order;
  const warnings: string[] = [];
  const notes: string[] = [];
  if (work.factory) warnings.push(...moveAllToTrash(kernel, data));
  const mark = ({ number, ...pin }: PinOrder): void => pinGeneration(kernel, data, number, { ...pin, attempt });
  const pin = (wanted: PinOrder): string[] => tolerated("pinned", wanted.number, () => mark(wanted));
  for (const made of work.confirm) {
    warnings.push(...tolerated("taken for its slot's own", made, () => confirmGeneration(kernel, data, made)));
  }
  const unmarked = work.pins.filter((wanted) => pin(wanted).length > 0);
  const number = plan.do === "continue" ? plan.generation : plan.to;
  if (plan.do !== "continue") {
    warnings.push(...deleteGenerations(kernel, data, work.collect, onProgress));
    notes.push(...buildWhereSpaceIs(kernel, data, { ...order, plan }, onProgress));
  }
  // What was deleted for the build has made room for a mark, and only the pointer still protects what it is to protect.
  for (const wanted of unmarked) {
    if (wanted.by === undefined) warnings.push(...pin(wanted));
    else mark(wanted);
  }
  setPointer(kernel, data, slot, number, onProgress);
  const { unpin } = work;
  if (unpin !== null) warnings.push(...tolerated("unpinned", unpin, () => unpinGeneration(kernel, data, unpin)));
  return { number, path: generationPath(number), warnings, notes };
}

/** A mark or a deletion that fails is no reason not to boot. Returns a warning then. */
function tolerated(done: string, generation: number | string, work: () => void): string[] {
  const name = typeof generation === "number" ? generationName(generation) : generation;
  return warningOf(work, (message) => `generation ${name} could not be ${done}: ${message}`);
}

/**
 * Deletes generations, others whose building was interrupted, and what else lies in trash/. Returns warnings.
 */
export function deleteGenerations(
  kernel: Kernel,
  data: Descriptor,
  numbers: readonly number[],
  onProgress: OnProgress,
): string[] {
  const going = new Set(numbers.map(generationName));
  const warnings: string[] = [];
  withDirectory(kernel, data, LAYOUT.generations, (generations) => {
    let moved = false;
    for (const { name } of kernel.readDirectory(generations)) {
      const text = new TextDecoder().decode(name);
      if (!going.has(text) && !isTemporaryGeneration(text)) continue;
      warnings.push(...tolerated("deleted", text, () => moveToTrash(kernel, data, generations, name)));
      moved ||= going.has(text);
    }
    // A generation must not come back after a power cut, half deleted and yet complete by its seal.
    if (moved) kernel.sync(generations);
  });
  return [...warnings, ...emptyTrash(kernel, data, onProgress)];
}

/** Pointers first: none ever leads nowhere. */
function moveAllToTrash(kernel: Kernel, data: Descriptor): string[] {
  return [LAYOUT.slots, LAYOUT.generations].flatMap((name) =>
    withDirectory(kernel, data, name, (directory) => {
      const warnings = kernel.readDirectory(directory).flatMap((entry) => {
        const shown = new TextDecoder().decode(entry.name);
        return tolerated("deleted", `${name}/${shown}`, () => moveToTrash(kernel, data, directory, entry.name));
      });
      kernel.sync(directory);
      return warnings;
    }),
  );
}

/** Returns notes. */
function buildWhereSpaceIs(kernel: Kernel, data: Descriptor, order: BuildOrder & GenerationOrder, onProgress: OnProgress) {
  const spare = [...order.work.underPressure];
  const notes: string[] = [];
  for (;;) {
    try {
      return [...notes, ...buildGeneration(kernel, data, order, onProgress)];
    } catch (error) {
      const number = isFull(error) ? spare.shift() : undefined;
      if (number === undefined) throw error;
      notes.push(`generation ${generationName(number)} was deleted, since a new one had no space`);
      deleteGenerations(kernel, data, [number], onProgress);
    }
  }
}

/** Whether something failed for want of blocks or inodes. */
export function isFull(error: unknown): boolean {
  return isCode(error, "ENOSPC", "EDQUOT");
}

/**
 * Removes stores of a generation that its slot goes on with. Each is whole or gone: what is renamed to a hidden name is no
 * store any more.
 */
export function resetInPlace(kernel: Kernel, data: Descriptor, number: number, ids: readonly string[], onProgress: OnProgress) {
  withDirectory(kernel, data, generationPath(number), (generation) => {
    for (const name of [GENERATION.tree, GENERATION.overlays]) {
      withDirectory(kernel, generation, name, (directory) => {
        for (const id of ids) {
          const gone = `.gone-${id}`;
          removeTree(kernel, directory, gone, onProgress);
          if (!exists(kernel, directory, id)) continue;
          kernel.rename(id, gone, { at: directory });
          kernel.sync(directory);
          removeTree(kernel, directory, gone, onProgress);
        }
      });
    }
  });
}

/** Replaces the slot's pointer where it says anything else. */
function setPointer(kernel: Kernel, data: Descriptor, slot: string, number: number, onProgress: OnProgress): void {
  withDirectory(kernel, data, LAYOUT.slots, (slots) => {
    if (readPointer(kernel, slots, slot) === number) return;
    const aside = `${slot}.tmp`;
    removeTree(kernel, slots, aside, onProgress);
    // A directory in a pointer's place could not be replaced by a rename.
    if (exists(kernel, slots, slot) && kernel.statusAt(slot, slots).kind === "directory") moveToTrash(kernel, data, slots, slot);
    kernel.makeSymlink(pointerTarget(number), aside, slots);
    kernel.rename(aside, slot, { at: slots });
    kernel.sync(slots);
  });
}
