import type { Operator } from "../../../state-ops/control.ts";
import type { GenerationMeta } from "../../../state-ops/layout.ts";
import type { Descriptor, Kernel } from "../../kernel/kernel.ts";
import type { OnProgress } from "../beneath.ts";

/** A generation that is being built: all stores are there, nothing vouches for it yet. */
export interface BuiltGeneration {
  /** Its directory, in gens/.tmp-*. */
  directory: Descriptor;
  number: number;
  imageId: string;
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
 * changed. Throws Error where a rule is `fail` and both sides changed something.
 */
export function adaptGeneration(_kernel: Kernel, _built: BuiltGeneration, _onProgress: OnProgress): Adapted {
  return { files: {}, notes: [] };
}
