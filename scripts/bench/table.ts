import { bootChart } from "./chart.ts";
import { spreadOf } from "./facts.ts";
import { type Column, columns, type Measured, ratio, spread } from "./measured.ts";
import type { PeerName } from "./peers.ts";
import { targetLine, targetsOf } from "./targets.ts";

/** What the times are told in: of a wall clock, or a nanosecond for each instruction. */
export type Unit = "ms" | "million instructions";

/** What `--json` prints: medians, their spread, and every run. */
export function jsonOf(measured: readonly Measured[]) {
  const peers = measured.map((peer) => {
    const { name, note, initrdBytes, leastMemoryMiB, leastMemoryOtherwise, runs } = peer;
    const median = (column: Column) => spread(peer, column).median;
    return {
      name,
      initrdBytes,
      kernelToInitMs: median("kernelToInitMs"),
      initToExecMs: median("initToExecMs"),
      kernelToExecMs: median("kernelToExecMs"),
      leastMemoryMiB,
      heldAfterKiB: median("heldAfterKiB"),
      ...(leastMemoryOtherwise === undefined ? {} : { leastMemoryOtherwise }),
      spread: Object.fromEntries(columns.map((column) => [column, spread(peer, column)])),
      note,
      runs,
    };
  });
  return { peers };
}

/** The same of counted instructions, in millions. */
export function instructionsJsonOf(measured: readonly Measured[]) {
  const peers = measured.map((peer) => {
    const median = (column: Column) => spread(peer, column).median;
    return {
      name: peer.name,
      initrdBytes: peer.initrdBytes,
      kernelToInitMInstructions: median("kernelToInitMs"),
      initToExecMInstructions: median("initToExecMs"),
      kernelToExecMInstructions: median("kernelToExecMs"),
      runs: peer.runs,
    };
  });
  return { peers };
}

/** The chart of the medians, from the shortest to the longest. A bar is as long as the median of the whole. */
export function chartOf(measured: readonly Measured[]): string {
  const median = (peer: Measured, column: Column) => spread(peer, column).median;
  const bars = measured.map((peer) => ({
    name: peer.name,
    kernelMs: median(peer, "kernelToInitMs"),
    initrdMs: median(peer, "kernelToExecMs") - median(peer, "kernelToInitMs"),
  }));
  const total = ({ kernelMs, initrdMs }: { kernelMs: number; initrdMs: number }) => kernelMs + initrdMs;
  const sorted = bars.toSorted((left, right) => total(left) - total(right));
  return bootChart("From the kernel's start to the system's init", sorted, "slipway");
}

/** Lines whose columns stand below each other: the first flush left, the others right. */
export const rows = (lines: string[][]): string[] => {
  const width = (column: number) => Math.max(...lines.map((line) => line[column]?.length ?? 0));
  const cell = (text: string, column: number) => (column === 0 ? text.padEnd(width(0)) : text.padStart(width(column)));
  return lines.map((line) => line.map(cell).join("   "));
};

const whole = (value: number): string => value.toFixed(0);

const references: readonly PeerName[] = ["busybox", "initramfs-tools", "dracut"];

/**
 * The table for people: medians with the least and the most, and the ratio of the medians to those of three peers; below it
 * the targets, the notes, and the timeline of each peer that keeps one.
 */
export function tableOf(measured: readonly Measured[], unit: Unit = "ms"): string {
  const told = (peer: Measured, column: Column) => {
    const { median, min, max } = spread(peer, column);
    return `${whole(median)} (${whole(min)}-${whole(max)})`;
  };
  const known = references.filter((name) => measured.some((peer) => peer.name === name));
  const memory = unit === "ms";
  const inUnit = memory ? ", ms" : "";
  const head = ["", "initrd, bytes", `to Run /init${inUnit}`, `Run /init to exec${inUnit}`, `kernel start to exec${inUnit}`];
  head.push(...known.map((name) => `of ${name}`), ...(memory ? ["least memory, MiB", "held after, KiB"] : []));
  const body = measured.map((peer) => [
    peer.name,
    peer.initrdBytes.toLocaleString("en-US"),
    told(peer, "kernelToInitMs"),
    told(peer, "initToExecMs"),
    told(peer, "kernelToExecMs"),
    ...known.map((name) => ratio(measured, peer.name, name, "kernelToExecMs")?.toFixed(2) ?? ""),
    ...(memory ? [peer.leastMemoryMiB === null ? "?" : `${peer.leastMemoryMiB}`, told(peer, "heldAfterKiB")] : []),
  ]);
  const targets = measured.some(({ name }) => name === "slipway") ? targetsOf(measured, memory) : [];
  return [
    ...rows([head, ...body]),
    "",
    `Medians (least-most)${memory ? "" : `, ${unit}`}.`,
    ...measured.flatMap(notes),
    ...(targets.length === 0 ? [] : ["", "Targets:", ...targets.map((target) => `  ${targetLine(target)}`)]),
    ...measured.flatMap((peer) => timelineLines(peer, memory ? "" : ", waits included")),
  ].join("\n");
}

function notes({ name, note, leastMemoryOtherwise: otherwise }: Measured): string[] {
  const lines = [`  ${name}: ${note}`];
  if (otherwise !== undefined)
    lines.push(`  ${name} with ${otherwise.words} on the kernel's command line: least memory ${otherwise.memoryMiB ?? "?"} MiB`);
  return lines;
}

function timelineLines({ name, runs }: Measured, more: string): string[] {
  const names = runs[0]?.timeline?.map((part) => part.name) ?? [];
  if (names.length === 0) return [];
  const lines = names.map((part) => {
    const lengths = runs.flatMap((run) => run.timeline?.filter((other) => other.name === part) ?? []);
    const { median, min, max } = spreadOf(lengths.map(({ lengthMs }) => lengthMs));
    return [`  ${part}`, whole(median), `(${whole(min)}-${whole(max)})`];
  });
  return ["", `Where the time of ${name} goes${more}:`, ...rows(lines)];
}
