import { spreadOf } from "./facts.ts";
import { rows } from "./table.ts";

/** One way to clone the same tree, on one filesystem. */
export interface MeasuredClone {
  filesystem: string;
  name: string;
  /** Of each run, until all of the clone was durable. */
  ms: number[];
}

/** What all are compared with. */
export const plainCopy = "cp -a --reflink=never";
export const snapshot = "btrfs subvolume snapshot";

/** Medians in milliseconds with the least and the most, and the ratios of the medians to those of a copy and of a snapshot. */
export function clonesTable(measured: readonly MeasuredClone[]): string {
  const median = (filesystem: string, name: string): number | null => {
    const found = measured.find((clone) => clone.filesystem === filesystem && clone.name === name);
    return found === undefined ? null : spreadOf(found.ms).median;
  };
  const ratio = (own: number, other: number | null) => (other === null ? "" : (own / other).toPrecision(3));
  const body = measured.map(({ filesystem, name, ms }) => {
    const spread = spreadOf(ms);
    const times = `${spread.median.toFixed(0)} (${spread.min.toFixed(0)}-${spread.max.toFixed(0)})`;
    const compared = [plainCopy, snapshot].map((other) => ratio(spread.median, median(filesystem, other)));
    return [`${filesystem}: ${name}`, times, ...compared];
  });
  const head = ["1 GiB in 20,000 files", "ms until durable", "of a copy", "of a snapshot"];
  const note = "Medians (least-most). Each is followed by a sync of the filesystem, and begins with nothing of it in memory.";
  return [...rows([head, ...body]), "", note].join("\n");
}
