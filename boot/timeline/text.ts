import { cutTo, plainText } from "../recovery/plain-text.ts";
import { endOf } from "./parts.ts";
import { type BootTimeline, type TimelineRow, totals } from "./rows.ts";
import { type Scale, scaleOf } from "./scale.ts";

/** Columns of the bar. */
const BAR = 30;

/** Names come from a file that another version may have written. */
export function nameText(name: string, length: number): string {
  return cutTo(plainText(name), length);
}

/** "1 340.123" would be no number for scripts: "1340.123". */
export function msText(ms: number): string {
  return ms.toFixed(3);
}

function bar(row: TimelineRow, scale: Scale): string {
  const from = Math.min(BAR - 1, Math.floor(scale.at(row.startMs) * BAR));
  const to = Math.max(from + 1, Math.round(scale.at(endOf(row)) * BAR));
  return `${" ".repeat(from)}${"#".repeat(to - from)}${row.open ? ">" : ""}`;
}

function totalText({ by, wholeMs, notedMs, open }: ReturnType<typeof totals>[number]): string {
  const between = wholeMs - notedMs;
  const whole = `${open ? "at least " : ""}${wholeMs.toFixed(1)} ms`;
  return `${by} ${whole}${between >= 0.05 ? ` (${between.toFixed(1)} ms of it in no part)` : ""}`;
}

/** The timeline as people read it: a line for each row, then what each owner took, and what is not known. */
export function timelineText({ rows, notes }: BootTimeline): string {
  const scale = scaleOf(rows);
  const lines = rows.map((row, index) => [
    rows[index - 1]?.by === row.by ? "" : row.by,
    `${"  ".repeat(Math.min(row.depth, 8))}${nameText(row.name, 40)}`,
    msText(row.startMs),
    `${msText(row.lengthMs)}${row.open ? "+" : " "}`,
    bar(row, scale),
    row.overlaps.length === 0 ? "" : `beside ${nameText(row.overlaps.join(", "), 60)}`,
  ]);
  const heads = ["", "PART", "START ms", "LENGTH ms ", "", ""];
  const width = (column: number) => Math.max(...[heads, ...lines].map((line) => line[column]?.length ?? 0));
  const widths = heads.map((_, column) => width(column));
  const isNumber = (column: number) => column === 2 || column === 3;
  const shown = [heads, ...lines].map((line) =>
    line
      .map((cell, column) => (isNumber(column) ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0)))
      .join("  ")
      .trimEnd(),
  );
  const cuts = scale.cuts.length === 0 ? [] : ["Bars are shortened where nothing begins or ends for more than 5 s."];
  const sums =
    rows.length === 0 ? ["Nothing is known of this boot's times."] : [`In all: ${totals(rows).map(totalText).join("; ")}.`];
  return [
    ...(rows.length === 0 ? [] : [...shown, ""]),
    ...sums,
    ...cuts,
    ...notes.map((note) => `Note: ${plainText(note)}`),
  ].join("\n");
}
