/** Whether what a larger input costs grows worse than the input. */
import { spreadOf } from "../facts.ts";

/** What is measured of each run. */
export type Measure = "calls" | "instructions" | "cpuMs" | "peakKiB" | "bytes" | "wallMs";

interface MeasureRule {
  /** In the table's head. */
  title: string;
  /** What it may be more by, for one more of the input, than it was before. Null: it is shown and not judged. */
  tolerance: number | null;
  /** What is less than this is noise. */
  grain: number;
  text(value: number): string;
}

export const measures: Record<Measure, MeasureRule> = {
  // A file that is longer is read in more pieces.
  calls: { title: "kernel calls", tolerance: 1.02, grain: 64, text: (value) => value.toFixed(0) },
  // With more work comes the runtime's first collection of garbage, once: a step, which is no growth.
  instructions: {
    title: "million instructions",
    tolerance: 1.25,
    grain: 2e6,
    text: (value) => (value / 1e6).toFixed(1),
  },
  // A square over ten times the input is ten times as much for each; caches and neighbours make it up to twice as much.
  cpuMs: { title: "CPU, ms", tolerance: 2, grain: 10, text: (value) => value.toFixed(value < 10 ? 1 : 0) },
  // The runtime collects its garbage when it likes, and what it got for a former step it uses again unseen.
  peakKiB: { title: "peak, MiB", tolerance: 1.5, grain: 64 * 1024, text: (value) => (value / 1024).toFixed(1) },
  bytes: { title: "bytes", tolerance: 1.05, grain: 64 * 1024, text: (value) => value.toFixed(0) },
  wallMs: { title: "time, ms", tolerance: null, grain: 0, text: (value) => value.toFixed(0) },
};

export const measureNames: readonly Measure[] = ["calls", "instructions", "cpuMs", "peakKiB", "bytes", "wallMs"];

/** What one size of an input cost: the values of each run. */
export interface Point {
  size: number;
  costs: Partial<Record<Measure, readonly number[]>>;
}

/** The same work on inputs of several sizes. */
export interface Series {
  /** What the input is: "operators", "disks". */
  subject: string;
  /** "state compile" */
  what: string;
  /** Of a size: "operators", "GiB". */
  unit: string;
  /** Ascending. The first may be of size 0: what the same costs without any input. */
  points: readonly Point[];
}

export interface GrowthRow {
  size: number;
  /** As a multiple of the first size that is not 0; null for size 0. */
  input: number | null;
  costs: Partial<Record<Measure, { median: number /** As a multiple of the same first one. */; factor: number | null }>>;
  /** The measures by which it grows worse than its input. */
  worse: Measure[];
}

/**
 * A row for each size. It grows worse where one more of the input costs more than it did up to the size before: what any
 * input costs does not hide it. The least of the runs is compared with the most that the runs before allow, so that a busy
 * machine accuses nobody.
 */
export function growthOf({ points }: Pick<Series, "points">): GrowthRow[] {
  const first = points.find(({ size }) => size > 0);
  return points.map((point, index) => {
    const costs: GrowthRow["costs"] = {};
    for (const measure of measureNames) {
      const values = point.costs[measure];
      if (values === undefined) continue;
      const { median } = spreadOf(values);
      const base = first?.costs[measure];
      const factor = base === undefined || point.size === 0 ? null : median / spreadOf(base).median;
      costs[measure] = { median, factor: factor !== null && Number.isFinite(factor) ? factor : null };
    }
    const input = point.size === 0 || first === undefined ? null : point.size / first.size;
    return { size: point.size, input, costs, worse: measureNames.filter((measure) => isWorse(points, index, measure)) };
  });
}

function isWorse(points: readonly Point[], index: number, measure: Measure): boolean {
  const { tolerance, grain } = measures[measure];
  const [here, before] = [points[index], points[index - 1]];
  if (tolerance === null || here === undefined || before === undefined || before.size === 0) return false;
  const now = between(before, here, measure);
  const then = between(points[index - 2] ?? { size: 0, costs: { [measure]: [0] } }, before, measure);
  if (now === null || then === null) return false;
  return (now.least - Math.max(0, then.most) * tolerance) * (here.size - before.size) > grain;
}

/** What one more of the input cost from one size to the next. */
function between(from: Point, to: Point, measure: Measure): { least: number; most: number } | null {
  const [lower, upper] = [from.costs[measure], to.costs[measure]];
  if (lower === undefined || upper === undefined) return null;
  const [low, high] = [spreadOf(lower), spreadOf(upper)];
  const more = to.size - from.size;
  return { least: (high.min - low.max) / more, most: (high.max - low.min) / more };
}

/** Puts together what workers tell run by run. */
export class Collected {
  readonly #series = new Map<string, { subject: string; what: string; unit: string; points: Map<number, Point> }>();

  add(entry: Sample): void {
    const { subject, what, unit, size, costs } = entry;
    const key = `${subject}\0${what}`;
    const series = this.#series.get(key) ?? { subject, what, unit, points: new Map<number, Point>() };
    this.#series.set(key, series);
    const point = series.points.get(size) ?? { size, costs: {} };
    series.points.set(size, point);
    for (const measure of measureNames) {
      const value = costs[measure];
      if (value !== undefined) point.costs[measure] = [...(point.costs[measure] ?? []), value];
    }
  }

  series(): Series[] {
    return [...this.#series.values()].map(({ points, ...named }) => ({
      ...named,
      points: [...points.values()].sort((left, right) => left.size - right.size),
    }));
  }
}

/** One run, as a worker tells it: a line of JSON. */
export interface Sample {
  subject: string;
  what: string;
  unit: string;
  size: number;
  costs: Partial<Record<Measure, number>>;
}
