/** What an install would fetch, or has fetched, in words. */
import { sizeText } from "../../state-ops/size-text.ts";
import { BLOCK } from "../image/verity.ts";
import type { Amounts } from "./window-plan.ts";

/** Where an image's blocks come from. */
export interface Planned extends Amounts {
  /** Blocks that are fetched with the missing ones, since that costs less than a request each. */
  between: number;
  /** Blocks of the hash tree that come from the source. */
  tree: number;
}

/** The same in bytes, donors by name. */
export interface PlannedBytes {
  sourceBytes: number;
  betweenBytes: number;
  treeBytes: number;
  donorBytes: Record<string, number>;
  targetBytes: number;
  thereBytes: number;
  zeroBytes: number;
}

export function bytesOf(planned: Planned, donors: readonly string[]): PlannedBytes {
  return {
    sourceBytes: planned.source * BLOCK,
    betweenBytes: planned.between * BLOCK,
    treeBytes: planned.tree * BLOCK,
    donorBytes: Object.fromEntries(donors.map((name, donor) => [name, (planned.donors[donor] ?? 0) * BLOCK])),
    targetBytes: planned.target * BLOCK,
    thereBytes: planned.there * BLOCK,
    zeroBytes: planned.zero * BLOCK,
  };
}

/** One line for each place that something comes from. */
export function amountsText(bytes: PlannedBytes, slot: string): string[] {
  const { sourceBytes, betweenBytes, treeBytes, donorBytes, targetBytes, thereBytes, zeroBytes } = bytes;
  const fetched = sourceBytes + betweenBytes + treeBytes;
  const lines: [number, string][] = [
    [
      fetched,
      `from the source: ${sizeText(sourceBytes)} missing, ${sizeText(betweenBytes)} between them, ${sizeText(treeBytes)} of hash tree`,
    ],
    ...Object.entries(donorBytes).map(([name, count]): [number, string] => [count, `from slot ${name}`]),
    [targetBytes, `from elsewhere in slot ${slot}`],
    [thereBytes, `in slot ${slot} already`],
    [zeroBytes, "zeros"],
  ];
  return lines.filter(([count]) => count > 0).map(([count, text]) => `  ${sizeText(count).padStart(8)}  ${text}`);
}
