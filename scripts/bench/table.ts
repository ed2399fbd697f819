import { type BootTimes, spreadOf } from "./facts.ts";
import type { Part } from "./timeline.ts";

export interface Measured {
  name: string;
  note: string;
  initrdBytes: number;
  runs: (BootTimes & { timeline?: Part[] })[];
}

const columns = ["initToExecMs", "kernelToExecMs", "kernelToInitMs"] as const;
const titles = { initToExecMs: "Run /init to exec", kernelToExecMs: "kernel start to exec", kernelToInitMs: "to Run /init" };

/** What `--json` prints: medians, and every run. */
export function jsonOf(measured: Measured[]) {
  const peers = measured.map(({ name, initrdBytes, runs }) => {
    const median = (column: (typeof columns)[number]) => spreadOf(runs.map((run) => run[column])).median;
    const medians = { kernelToInitMs: median("kernelToInitMs"), initToExecMs: median("initToExecMs") };
    return { name, initrdBytes, ...medians, kernelToExecMs: median("kernelToExecMs"), runs };
  });
  return { peers };
}

/** Lines whose columns stand below each other: the first flush left, the others right. */
export const rows = (lines: string[][]): string[] => {
  const width = (column: number) => Math.max(...lines.map((line) => line[column]?.length ?? 0));
  const cell = (text: string, column: number) => (column === 0 ? text.padEnd(width(0)) : text.padStart(width(column)));
  return lines.map((line) => line.map(cell).join("   "));
};

const ms = (value: number): string => `${value.toFixed(0)}`;

/**
 * The table for people: medians in milliseconds with the least and the most, and the ratio of the medians to those of
 * `reference`; below it the notes, and the timeline of each peer that keeps one.
 */
export function tableOf(measured: Measured[], reference: string): string {
  const of = ({ runs }: Measured, column: (typeof columns)[number]) => spreadOf(runs.map((run) => run[column]));
  const base = measured.find(({ name }) => name === reference);
  const ratio = (peer: Measured, column: (typeof columns)[number]) =>
    base === undefined ? "" : (of(peer, column).median / of(base, column).median).toFixed(2);
  const cells = (peer: Measured, column: (typeof columns)[number]) => {
    const { median, min, max } = of(peer, column);
    return [`${ms(median)} (${ms(min)}-${ms(max)})`, ratio(peer, column)];
  };
  const head = ["", ...columns.flatMap((column) => [`${titles[column]}, ms`, `of ${reference}`]), "initrd, bytes"];
  const body = measured.map((peer) => [
    peer.name,
    ...columns.flatMap((column) => cells(peer, column)),
    peer.initrdBytes.toLocaleString("en-US"),
  ]);
  const notes = measured.map(({ name, note }) => `  ${name}: ${note}`);
  return [...rows([head, ...body]), "", "Medians (least-most).", ...notes, ...measured.flatMap(timelineLines)].join("\n");
}

function timelineLines({ name, runs }: Measured): string[] {
  const names = runs[0]?.timeline?.map((part) => part.name) ?? [];
  if (names.length === 0) return [];
  const lines = names.map((part) => {
    const lengths = runs.flatMap((run) => run.timeline?.filter((other) => other.name === part) ?? []);
    const { median, min, max } = spreadOf(lengths.map(({ lengthMs }) => lengthMs));
    return [`  ${part}`, ms(median), `(${ms(min)}-${ms(max)})`];
  });
  return ["", `Where the time of ${name} goes, ms:`, ...rows(lines)];
}
