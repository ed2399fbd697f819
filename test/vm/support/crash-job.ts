/** What crash-check.ts is asked, and what it answers. */
import type { DataFilesystem } from "../../../state-ops/control.ts";
import type { planGeneration } from "../../../state-ops/generation-plan.ts";
import type { RebuildJob } from "./rebuild-disk.ts";

/** Paths below a store ("." is the store itself), each with all that must be the same. */
export type Content = Record<string, string>;

export type GenerationFacts = Parameters<typeof planGeneration>[0];

/** The slot that boots next after the crash, as PID 1 would know it. */
export type NextBoot = Pick<GenerationFacts, "slot" | "imageId" | "controlDigest" | "trial" | "committed">;

export interface CrashJob extends RebuildJob {
  filesystem: DataFilesystem;
  slots: string[];
  next: NextBoot[];
}

/** What is on the disk at one point, in the order of the job's points: one line of JSON each. */
export interface CrashFacts {
  /** Why the filesystem could not be mounted before its own checker had been at it; null in an ordinary case. */
  repaired: string | null;
  /** What slipway's own readers say against it: each a sentence. */
  complaints: string[];
  record: "valid" | "empty" | "unreadable";
  /** What each slot's pointer says. */
  pointers: Record<string, number | null>;
  /** Each directory in gens/ with a number: whether slipway takes it as complete, and whether all that COMPLETE names is as it says. */
  generations: { number: number; complete: boolean; whole: boolean }[];
  /** By path on the data filesystem ("gens/000001/tree/home", "shared/id"): everything under a finished store's name. */
  stores: Record<string, Content>;
  /** What the next boot would do about the generation of each of `next`. */
  plans: { slot: string; do: "continue" | "clone" | "create"; from: number | null; reason: string | null }[];
}
