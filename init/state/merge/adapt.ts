import type { Operator } from "../../../state-ops/control.ts";
import { GENERATION, type GenerationMeta, generationName } from "../../../state-ops/layout.ts";
import type { Baseline } from "../../../state-ops/merge/baseline.ts";
import { formatMergeReport, MERGE_REPORT, type MergeReport, mergeReason } from "../../../state-ops/merge/report.ts";
import { writeVolatile } from "../../kernel/files.ts";
import type { Descriptor, Kernel } from "../../kernel/kernel.ts";
import type { OnProgress } from "../beneath.ts";
import { applyMerge } from "./apply-merge.ts";
import { nextBaseline, readBaseline } from "./baseline-file.ts";
import { Gatherer } from "./gather.ts";
import { type PlannedMerge, planMerge, readImages } from "./plan-merge.ts";

/** A generation that is being built: all stores are there, nothing vouches for it yet. */
export interface BuiltGeneration {
  /** Its directory, in gens/.tmp-*. */
  directory: Descriptor;
  number: number;
  imageId: string;
  /** Digest of the image's control file. */
  controlDigest: string;
  operators: readonly Operator[];
  /** Root of the image, over which nothing is laid yet. */
  newRoot: Descriptor;
  /** The generation it was cloned from; null for one made from the image's own content. */
  parent: { directory: Descriptor; meta: GenerationMeta } | null;
}

export interface Adapted {
  /** Texts of further files that COMPLETE is to vouch for, by name; they are not written yet. */
  files: Record<string, string>;
  /** One sentence each, for the boot journal and the report. */
  notes: string[];
}

/**
 * Makes the stores of a generation that was cloned from another image's fit the image that boots: merges what both sides
 * changed, and remembers what the image has, for the next time. What was merged is told in {@link MERGE_REPORT} (0600: it
 * names files and accounts). Writes nothing else outside the generation. Throws Error where a rule is `fail` and both sides
 * changed something, KernelError that names the path where a store cannot be read or written.
 */
export function adaptGeneration(kernel: Kernel, built: BuiltGeneration, onProgress: OnProgress): Adapted {
  const { parent, operators, newRoot, imageId } = built;
  const notes: string[] = [];
  let before: Baseline | null = null;
  if (parent !== null) {
    const read = readBaseline(kernel, parent.directory);
    if (sameImage(built, parent.meta) && "text" in read) return { files: { [GENERATION.baseline]: read.text }, notes };
    if ("baseline" in read) before = read.baseline;
    else notes.push(`generation ${generationName(parent.meta.number)} says nothing of what its image had: ${read.missing}`);
  }
  const gatherer = new Gatherer(kernel, operators, onProgress);
  const images = readImages(kernel, gatherer, newRoot, operators);
  if (parent !== null && !sameImage(built, parent.meta)) {
    const sources = { generation: built.directory, baseline: before, operators, newRoot, images, beforeClone: false };
    const planned = planMerge(kernel, gatherer, sources, onProgress);
    notes.push(...planned.notes, ...tell(kernel, built, parent.meta, planned));
    applyMerge(kernel, { generation: built.directory, newRoot, operators, onProgress }, planned);
  }
  const text = nextBaseline(before, operators, images, imageId);
  if (text === null)
    notes.push("the image has too many files at the places of its state to be remembered: the next image's are not merged");
  return { files: text === null ? {} : { [GENERATION.baseline]: text }, notes };
}

/** Whether a generation needs no merge for an image. One that was changed in place brings another control file, even under one id. */
export function sameImage(image: Pick<GenerationMeta, "imageId" | "controlDigest">, meta: GenerationMeta): boolean {
  return image.imageId === meta.imageId && image.controlDigest === meta.controlDigest;
}

/** Writes the report. Returns what the journal says; throws where a rule refuses the merge. */
function tell(kernel: Kernel, { number, imageId }: BuiltGeneration, from: GenerationMeta, planned: PlannedMerge): string[] {
  const { stores, refused } = planned;
  const names = { from: generationName(from.number), to: generationName(number) };
  const report: MergeReport = { schema: 1, dryRun: false, ...names, imageId, refused, stores };
  writeVolatile(kernel, MERGE_REPORT, formatMergeReport(report), 0o600);
  const reason = mergeReason(report);
  if (refused) throw new Error(reason ?? "state cannot be merged: both sides changed something");
  return reason === null ? [] : [reason];
}
