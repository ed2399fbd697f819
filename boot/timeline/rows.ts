/** Times of a boot, from the kernel's start to the default target, brought together from those who noted them. */
import { covered, endOf, isWithin, type Part, rounded, type Stretch, whyNoTime } from "./parts.ts";
import type { SystemdTimes } from "./systemd.ts";

/** Whose time it is. "firmware" is what came before the kernel, the loader too. */
export type Owner = "firmware" | "kernel" | "slipway" | "systemd";

/** One stretch of a boot; times before the kernel's start are negative. */
export interface TimelineRow extends Stretch {
  by: Owner;
  name: string;
  /** Its end is not known: it is at least that long. */
  open: boolean;
  /** Within how many others of the same owner it lies. */
  depth: number;
  /** Names of rows at the same time, of which neither lies within the other. */
  overlaps: string[];
}

export interface BootTimeline {
  rows: TimelineRow[];
  /** What could not be shown, or is not known; one sentence each. */
  notes: string[];
}

/** A boot has some twenty, and a recovery a few more for each slot that it tries. */
const MOST_PARTS = 500;

/** Before anybody compared it with the others. */
type Bare = Omit<TimelineRow, "depth" | "overlaps">;

function bare(by: Owner, name: string, startMs: number, endMs: number, open = false): Bare {
  return { by, name, startMs: rounded(startMs), lengthMs: rounded(endMs - startMs), open };
}

/**
 * The rows of a boot, in the order of their starts.
 *
 * @param parts `timeline` of boot.json, in any order
 * @param systemd null where no systemd tells
 */
export function bootTimeline(parts: readonly Part[], systemd: SystemdTimes | null): BootTimeline {
  const notes: string[] = [];
  const known = parts.slice(0, MOST_PARTS).filter((part) => {
    const why = whyNoTime(part);
    if (why !== null) notes.push(`the part ${JSON.stringify(part.name)} is left out: it ${why}`);
    return why === null;
  });
  if (parts.length > MOST_PARTS) notes.push(`${parts.length - MOST_PARTS} more parts are left out`);
  const userspaceMs = systemd?.userspaceMs ?? null;
  const own = known.map((part) => closed(part, userspaceMs));
  const last = own.find(({ open }) => open);
  if (last !== undefined) notes.push(`the end of ${JSON.stringify(last.name)} is not known: ${whyOpen(userspaceMs)}`);
  const first = Math.min(...own.map(({ startMs }) => startMs), userspaceMs ?? Number.POSITIVE_INFINITY);
  const rows = [
    ...(systemd === null ? [] : firmwareRows(systemd)),
    ...(Number.isFinite(first) ? [bare("kernel", "kernel", 0, first)] : []),
    ...own,
    ...(systemd === null ? [] : systemdRows(systemd)),
  ];
  return { rows: compared(rows), notes };
}

function whyOpen(userspaceMs: number | null): string {
  return userspaceMs === null ? "no systemd tells when it started" : "by its own clock systemd started before that part did";
}

/** What went on when boot.json was written ended where the next init began. */
function closed({ name, startMs, lengthMs, open }: Part, userspaceMs: number | null): Bare {
  const noted = bare("slipway", name, startMs, startMs + lengthMs, open === true);
  if (open !== true || userspaceMs === null || userspaceMs < endOf(noted)) return noted;
  return bare("slipway", name, startMs, userspaceMs);
}

/** As systemd-analyze reckons: both are counted back from the kernel's start, and the loader's time is part of the firmware's. */
function firmwareRows({ firmwareMs, loaderMs }: SystemdTimes): Bare[] {
  const loader = loaderMs ?? 0;
  return [
    ...(firmwareMs !== null && firmwareMs > loader ? [bare("firmware", "firmware", -firmwareMs, -loader)] : []),
    ...(loader > 0 ? [bare("firmware", "loader", -loader, 0)] : []),
  ];
}

function systemdRows({ userspaceMs, stages, finishMs, nowMs }: SystemdTimes): Bare[] {
  const setUpMs = stages.find(({ name }) => name !== "security")?.startMs ?? userspaceMs;
  const loadedMs = Math.max(userspaceMs, ...stages.map(({ endMs }) => endMs));
  return [
    ...(setUpMs > userspaceMs ? [bare("systemd", "set-up", userspaceMs, setUpMs)] : []),
    ...stages.map(({ name, startMs, endMs }) => bare("systemd", name, startMs, endMs)),
    bare("systemd", "default target", loadedMs, Math.max(loadedMs, finishMs ?? nowMs), finishMs === null),
  ];
}

function compared(rows: readonly Bare[]): TimelineRow[] {
  const sorted = rows.toSorted((left, right) => left.startMs - right.startMs || right.lengthMs - left.lengthMs);
  return sorted.map((row, index) => {
    const isOuter = (other: Bare, at: number) =>
      at !== index && other.by === row.by && isWithin(row, other) && (at < index || !isWithin(other, row));
    const isBeside = (other: Bare) => meet(row, other) && !isWithin(row, other) && !isWithin(other, row);
    const overlaps = sorted.filter(isBeside).map(({ name }) => name);
    return { ...row, depth: sorted.filter(isOuter).length, overlaps };
  });
}

function meet(one: Stretch, other: Stretch): boolean {
  return one.startMs < endOf(other) && other.startMs < endOf(one);
}

/** What one owner's rows come to, each moment counted once; and from the start of its first to the end of its last. */
export interface Total {
  by: Owner;
  /** In rows. */
  notedMs: number;
  /** From the first one's start to the last one's end. */
  wholeMs: number;
  /** As a row's. */
  open: boolean;
}

/** The totals of those that have rows, in the order of their starts. */
export function totals(rows: readonly TimelineRow[]): Total[] {
  return [...new Set(rows.map(({ by }) => by))].map((by) => {
    const own = rows.filter((row) => row.by === by);
    const start = Math.min(...own.map(({ startMs }) => startMs));
    const end = Math.max(...own.map(endOf));
    return { by, notedMs: covered(own), wholeMs: rounded(end - start), open: own.some((row) => row.open && endOf(row) === end) };
  });
}
