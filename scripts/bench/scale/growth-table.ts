import { rows } from "../table.ts";
import { type GrowthRow, growthOf, type Measure, measureNames, measures, type Series } from "./growth.ts";

/** A table for each subject: what each size costs, and both as multiples of the smallest one. */
export function growthTable(all: readonly Series[]): string {
  const subjects = [...new Set(all.map(({ subject }) => subject))];
  const tables = subjects.map((subject) =>
    subjectTable(
      subject,
      all.filter((series) => series.subject === subject),
    ),
  );
  const worse = all.flatMap((series) =>
    growthOf(series).flatMap(({ size, worse: names }) =>
      names.map((name) => `${series.subject}: ${series.what} at ${size} ${series.unit} (${measures[name].title})`),
    ),
  );
  const verdict = worse.length === 0 ? ["Nothing grows worse than its input."] : ["These grow worse than their input:", ...worse];
  return [
    ...tables,
    "Medians; x is the multiple of the smallest size, of the input and then of each cost. A cost grows worse than its input",
    "where one more of the input costs more than it did before, beyond what the runs differ by. Time is shown and not judged.",
    ...verdict,
  ].join("\n");
}

function subjectTable(subject: string, all: readonly Series[]): string {
  const used = measureNames.filter((name) => all.some(({ points }) => points.some(({ costs }) => costs[name] !== undefined)));
  const head = [subject, "size", "x", ...used.flatMap((name) => [measures[name].title, "x"]), ""];
  const body = all.flatMap((series) =>
    growthOf(series).map((row, index) => [
      index === 0 ? series.what : "",
      `${row.size} ${series.unit}`,
      factorText(row.input),
      ...used.flatMap((name) => costCells(row, name)),
      row.worse.length === 0 ? "" : `grows worse than its input: ${row.worse.map((name) => measures[name].title).join(", ")}`,
    ]),
  );
  return `${rows([head, ...body])
    .map((line) => line.trimEnd())
    .join("\n")}\n`;
}

function costCells(row: GrowthRow, name: Measure): [value: string, factor: string] {
  const cost = row.costs[name];
  return cost === undefined ? ["", ""] : [measures[name].text(cost.median), factorText(cost.factor)];
}

function factorText(factor: number | null): string {
  return factor === null ? "" : factor.toFixed(factor < 10 ? 1 : 0);
}

/** What `--json` prints: every run, the factors and the verdicts. */
export function growthJson(all: readonly Series[]) {
  const scale = all.map((series) => ({ ...series, rows: growthOf(series) }));
  return { scale, worse: scale.some((series) => series.rows.some(({ worse }) => worse.length > 0)) };
}
