import { type BootTimes, spreadOf } from "./facts.ts";
import { rows } from "./table.ts";
import type { Part } from "./timeline.ts";

/** Boots of one filesystem, bare or with tree, seal and an initrd that asks for a signature. */
export interface MeasuredProof {
  name: string;
  runs: (Pick<BootTimes, "initToExecMs" | "kernelToExecMs"> & {
    /** slipway's own account of where the time went. */
    timeline: Part[];
  })[];
}

/** Medians in milliseconds with the least and the most, of the whole and of each part, and what the last adds to the first. */
export function proofTable(measured: readonly MeasuredProof[]): string {
  const names = [...new Set(measured.flatMap(({ runs }) => runs.flatMap(({ timeline }) => timeline.map(({ name }) => name))))];
  const lengthOf = (timeline: readonly Part[], name: string) =>
    timeline.reduce((sum, part) => (part.name === name ? sum + part.lengthMs : sum), 0);
  const lines: [string, (run: MeasuredProof["runs"][number]) => number][] = [
    ["Run /init to exec", ({ initToExecMs }) => initToExecMs],
    ["kernel start to exec", ({ kernelToExecMs }) => kernelToExecMs],
    ...names.map((name): [string, (run: MeasuredProof["runs"][number]) => number] => [
      `  ${name}`,
      ({ timeline }) => lengthOf(timeline, name),
    ]),
  ];
  const [first, last] = [measured[0], measured.at(-1)];
  const body = lines.map(([title, of]) => {
    const spreads = measured.map(({ runs }) => spreadOf(runs.map(of)));
    const medians = [first, last].map((entry) => (entry === undefined ? 0 : spreadOf(entry.runs.map(of)).median));
    const [base = 0, proven = 0] = medians;
    const cells = spreads.map(({ median, min, max }) => `${median.toFixed(0)} (${min.toFixed(0)}-${max.toFixed(0)})`);
    return [title, ...cells, (proven - base).toFixed(0), base === 0 ? "" : (proven / base).toFixed(2)];
  });
  const head = ["ms", ...measured.map(({ name }) => name), "more", `of ${first?.name ?? ""}`];
  const note = "Medians (least-most), of one filesystem and one kernel; below the wholes, slipway's own timeline.";
  return [...rows([head, ...body]), "", note].join("\n");
}
