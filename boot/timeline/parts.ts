import type { BootReport } from "../report.ts";

export type Part = BootReport["timeline"][number];

/** A stretch of time, milliseconds. */
export interface Stretch {
  startMs: number;
  lengthMs: number;
}

/** No boot takes ten years, milliseconds: a time beyond that is none. */
const BEYOND = 10 * 365 * 24 * 3600 * 1000;

/** Microseconds, so that sums of times with three decimals have three decimals. */
export function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}

export function endOf({ startMs, lengthMs }: Stretch): number {
  return rounded(startMs + lengthMs);
}

/** Why a part cannot be what it says; null where it can. */
export function whyNoTime({ startMs, lengthMs }: Stretch): string | null {
  if (!(startMs >= 0 && startMs < BEYOND)) return `starts at ${startMs} ms`;
  if (!(lengthMs >= 0 && lengthMs < BEYOND)) return `took ${lengthMs} ms`;
  return null;
}

/** Whether `inner` lies within `outer`. */
export function isWithin(inner: Stretch, outer: Stretch): boolean {
  return inner.startMs >= outer.startMs && endOf(inner) <= endOf(outer);
}

/** How much of the time is covered by at least one of the stretches, so that what lies in another is counted once. */
export function covered(stretches: readonly Stretch[]): number {
  let sum = 0;
  let until = Number.NEGATIVE_INFINITY;
  for (const stretch of stretches.toSorted((left, right) => left.startMs - right.startMs)) {
    const end = endOf(stretch);
    if (end > until) sum += end - Math.max(until, stretch.startMs);
    until = Math.max(until, end);
  }
  return rounded(sum);
}

/** What `part` took beside the parts that lie within it. Of two of the same extent the second lies within the first. */
export function ownMs(part: Stretch, parts: readonly Stretch[]): number {
  const at = parts.indexOf(part);
  const inner = parts.filter((other, index) => index !== at && isWithin(other, part) && (index > at || !isWithin(part, other)));
  return rounded(part.lengthMs - covered(inner));
}
