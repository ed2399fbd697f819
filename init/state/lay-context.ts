import type { MountFlag } from "../../state-ops/control.ts";
import type { StateStep } from "../../state-ops/state-plan.ts";
import { MS } from "../kernel/constants.ts";
import type { Descriptor, Kernel } from "../kernel/kernel.ts";
import type { OnProgress } from "./beneath.ts";
import type { MemoryRoom } from "./memory-room.ts";
import type { Stores } from "./stores.ts";

/** What the laying of every step works with. */
export interface LayContext {
  kernel: Kernel;
  newRoot: Descriptor;
  /** Root of /run's own tmpfs. */
  run: Descriptor;
  /** Stores on the data filesystem; null where there is none. */
  data: Stores | null;
  memory: MemoryRoom;
  /** In the order in which they were laid. */
  laid: readonly StateStep[];
  onProgress: OnProgress;
}

const mountFlags: Record<MountFlag, number> = {
  nodev: MS.NODEV,
  nosuid: MS.NOSUID,
  noexec: MS.NOEXEC,
  nosymfollow: MS.NOSYMFOLLOW,
};

/** The MS_* bits of a step's flags. */
export function flagsOf(step: StateStep): number {
  return step.flags.reduce((flags, flag) => flags | mountFlags[flag], 0);
}

/** Where a step's path begins, and the path from there. */
export function placeOf(context: Pick<LayContext, "newRoot" | "run">, step: StateStep): { root: Descriptor; path: string } {
  const { path, onRun } = step;
  return onRun ? { root: context.run, path: path.slice("run/".length) } : { root: context.newRoot, path };
}
