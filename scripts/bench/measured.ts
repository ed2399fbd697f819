import { type BootTimes, spreadOf } from "./facts.ts";
import type { PeerName } from "./peers.ts";
import type { Part } from "./timeline.ts";

/** One measured boot. */
export interface MeasuredRun extends BootTimes {
  heldAfterKiB: number;
  timeline?: Part[];
}

/** A peer and its boots, at least one. */
export interface Measured {
  name: PeerName;
  note: string;
  /** Of the file as the loader reads it. */
  initrdBytes: number;
  runs: MeasuredRun[];
  /** MiB, null where it was left out, or where the most that was tried is not enough. */
  leastMemoryMiB: number | null;
  /** The same with these words more on the kernel's command line. */
  leastMemoryOtherwise?: { words: string; memoryMiB: number | null };
}

export const columns = ["kernelToInitMs", "initToExecMs", "kernelToExecMs", "heldAfterKiB"] as const;
export type Column = (typeof columns)[number];

export const spread = ({ runs }: Pick<Measured, "runs">, column: Column) => spreadOf(runs.map((run) => run[column]));

/** A peer's median by that of another; null where one of them was not measured. */
export function ratio(measured: readonly Measured[], name: PeerName, reference: PeerName, column: Column): number | null {
  const [one, other] = [name, reference].map((wanted) => measured.find((peer) => peer.name === wanted));
  return one === undefined || other === undefined ? null : spread(one, column).median / spread(other, column).median;
}
