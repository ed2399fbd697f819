/** How the reading of a whole slot is told of. Pure. */
import { sizeText } from "../../state-ops/size-text.ts";

/** "reading slot a: 512 MiB of 1.0 GiB, 120 MiB/s, 4 s left" */
export function checkLine(slot: string, { done, total, elapsedMs }: { done: number; total: number; elapsedMs: number }): string {
  const rate = elapsedMs > 0 ? (done * 1000) / elapsedMs : 0;
  const left = rate > 0 ? Math.ceil((total - done) / rate) : null;
  const time = left === null ? [] : [`${left} s left`];
  return [
    `reading slot ${slot}: ${sizeText(done)} of ${sizeText(total)}`,
    ...(rate > 0 ? [`${sizeText(rate)}/s`] : []),
    ...time,
  ].join(", ");
}
