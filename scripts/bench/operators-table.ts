import { type BootTimes, spreadOf } from "./facts.ts";
import { rows } from "./table.ts";

/** Boots of images that differ in nothing but in how many operators they declare. */
export interface MeasuredOperators {
  operators: number;
  runs: (Pick<BootTimes, "initToExecMs"> & {
    /** The part `state` of slipway's own timeline. */
    stateMs: number;
  })[];
}

/** Medians in milliseconds with the least and the most, and the ratios of the medians to those of the fewest operators. */
export function operatorsTable(measured: readonly MeasuredOperators[]): string {
  const columns = ["stateMs", "initToExecMs"] as const;
  const spread = ({ runs }: MeasuredOperators, column: (typeof columns)[number]) => spreadOf(runs.map((run) => run[column]));
  const [first] = measured;
  const body = measured.map((entry) => [
    String(entry.operators),
    ...columns.flatMap((column) => {
      const { median, min, max } = spread(entry, column);
      const base = first === undefined ? median : spread(first, column).median;
      return [
        `${median.toFixed(0)} (${min.toFixed(0)}-${max.toFixed(0)})`,
        (median / base).toFixed(2),
        (median - base).toFixed(0),
      ];
    }),
  ]);
  const of = `of ${first?.operators ?? 0}`;
  const head = ["operators", "the part state, ms", of, "more", "Run /init to exec, ms", of, "more"];
  return [...rows([head, ...body]), "", "Medians (least-most). A committed slot's boots, whose stores are there."].join("\n");
}
