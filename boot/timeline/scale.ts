/** Where on a line each moment of a boot lies: as long as its time, but for long stretches in which nothing begins or ends. */
import { endOf, type Stretch } from "./parts.ts";

/** A stretch that is longer is cut to this, milliseconds: the pause of a recovery must leave room for the rest. */
const LONGEST = 5000;

/** Most marks on the line, where it is not cut. */
const MOST_TICKS = 8;

export interface Scale {
  /** From 0, the first row's start, to 1, the last one's end; moments beyond are at the ends. */
  at(ms: number): number;
  /** Round times for marks. */
  ticks: number[];
  /** Stretches that are drawn shorter than they are. */
  cuts: Stretch[];
}

interface Segment extends Stretch {
  /** Where it begins on the line, and how long it is drawn, milliseconds. */
  drawnAt: number;
  drawn: number;
}

function segmentsOf(rows: readonly Stretch[]): Segment[] {
  const moments = [...new Set(rows.flatMap((row) => [row.startMs, endOf(row)]))].sort((left, right) => left - right);
  let drawnAt = 0;
  return moments.slice(1).map((end, index) => {
    const startMs = moments[index] ?? end;
    const lengthMs = end - startMs;
    const drawn = Math.min(lengthMs, LONGEST);
    const segment = { startMs, lengthMs, drawnAt, drawn };
    drawnAt += drawn;
    return segment;
  });
}

/** The scale on which all rows lie. */
export function scaleOf(rows: readonly Stretch[]): Scale {
  const segments = segmentsOf(rows);
  const last = segments.at(-1);
  const whole = last === undefined ? 0 : last.drawnAt + last.drawn;
  const at = (ms: number): number => {
    const segment = segments.findLast(({ startMs }) => startMs <= ms);
    if (segment === undefined || whole === 0) return 0;
    const share = Math.min(1, (ms - segment.startMs) / segment.lengthMs);
    return (segment.drawnAt + share * segment.drawn) / whole;
  };
  const isCut = ({ lengthMs, drawn }: Segment) => drawn < lengthMs;
  const step = roundStep(Math.max(0.001, whole / MOST_TICKS));
  const ticks = segments.filter((segment) => !isCut(segment)).flatMap((segment) => multiplesIn(segment, step));
  return { at, ticks: [...new Set(ticks)], cuts: segments.filter(isCut).map(({ startMs, lengthMs }) => ({ startMs, lengthMs })) };
}

/** The least that is 1, 2 or 5 times a power of ten and no less than `least`, which is above 0: a distance between marks. */
export function roundStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least));
  return power * ([1, 2, 5].find((factor) => factor * power >= least) ?? 10);
}

function multiplesIn(segment: Stretch, step: number): number[] {
  const first = Math.ceil(segment.startMs / step);
  const count = Math.floor(endOf(segment) / step) - first + 1;
  return Array.from({ length: Math.max(0, count) }, (_, index) => (first + index) * step);
}
