/** What may be on a disk after a power failure, given the log of its writes. */
import type { LogEntry } from "./write-log.ts";

/** One state of a disk that lost its power. */
export interface CrashPoint {
  /** All entries before this index are on the disk. */
  durable: number;
  /** Indexes of writes and discards behind, that came through too, in the order in which they did. */
  later: readonly number[];
  /** Of the last of `later` only these sectors of 512 bytes came through; null: all of it. */
  torn: readonly number[] | null;
}

/** The smallest piece that a disk writes whole, bytes. */
export const SECTOR = 512;

/** The state at every flush, and that at the end: all that was written before, nothing of what came later. */
export function flushBoundaries(entries: readonly LogEntry[]): CrashPoint[] {
  const ends = entries.flatMap((entry, index) => (entry.kind === "flush" && entries[index - 1]?.kind !== "flush" ? [index] : []));
  if (entries.length > 0 && entries.at(-1)?.kind !== "flush") ends.push(entries.length);
  return ends.map((durable) => ({ durable, later: [], torn: null }));
}

/**
 * `count` states between two flushes, where a disk may keep any of the writes, in any order: a random part of them, shuffled,
 * the last one of every second state torn. Empty where no two flushes have a write between them.
 * @param random numbers from 0 to 1
 */
export function reorderings(entries: readonly LogEntry[], count: number, random: () => number): CrashPoint[] {
  const spans = pendingSpans(entries);
  if (spans.length === 0) return [];
  return Array.from({ length: count }, (_, index) => {
    const pending = spans[Math.floor(random() * spans.length)] ?? [];
    const share = random();
    const kept = pending.filter((at) => isDurable(entries[at]) || random() < share);
    const later = kept.length > 0 ? shuffled(kept, random) : [pending[Math.floor(random() * pending.length)] ?? 0];
    const last = entries[later.at(-1) ?? 0];
    const torn = index % 2 === 0 && last?.kind === "write" && !last.durable ? tornSectors(last.length / SECTOR, random) : null;
    return { durable: pending[0] ?? 0, later, torn };
  });
}

/** Indexes of the writes and discards between two flushes, where there are any. */
function pendingSpans(entries: readonly LogEntry[]): number[][] {
  const spans: number[][] = [];
  let span: number[] = [];
  entries.forEach((entry, index) => {
    if (entry.kind !== "flush") span.push(index);
    else {
      if (span.length > 0) spans.push(span);
      span = [];
    }
  });
  if (span.length > 0) spans.push(span);
  return spans;
}

function isDurable(entry: LogEntry | undefined): boolean {
  return entry?.kind === "write" && entry.durable;
}

function shuffled(values: readonly number[], random: () => number): number[] {
  const result = [...values];
  for (let index = result.length - 1; index > 0; index--) {
    const other = Math.floor(random() * (index + 1));
    const [left, right] = [result[index], result[other]];
    if (left !== undefined && right !== undefined) [result[index], result[other]] = [right, left];
  }
  return result;
}

/** Some of `count` sectors, not all: the first ones half of the time, as a disk writes them, else any. */
function tornSectors(count: number, random: () => number): number[] | null {
  if (count < 2) return null;
  const all = Array.from({ length: count }, (_, index) => index);
  if (random() < 0.5) return all.slice(0, 1 + Math.floor(random() * (count - 1)));
  const some = all.filter(() => random() < 0.5);
  return some.length === count ? some.slice(1) : some;
}

/** A disk that is being rebuilt. */
export interface RebuiltDisk {
  write(offset: number, bytes: Uint8Array): void;
  /** What is read there afterwards is not said; zeros here. */
  discard(offset: number, length: number): void;
}

/** Does what the entries from index `from` up to `to` did. */
export function applyEntries(disk: RebuiltDisk, log: Uint8Array, entries: readonly LogEntry[], from: number, to: number): void {
  for (let index = from; index < to; index++) applyEntry(disk, log, entries[index], null);
}

/** Does what came through behind the flush of `point`, on a disk that has all that was before it. */
export function applyLater(disk: RebuiltDisk, log: Uint8Array, entries: readonly LogEntry[], point: CrashPoint): void {
  point.later.forEach((at, position) => {
    applyEntry(disk, log, entries[at], position === point.later.length - 1 ? point.torn : null);
  });
}

function applyEntry(disk: RebuiltDisk, log: Uint8Array, entry: LogEntry | undefined, torn: readonly number[] | null): void {
  if (entry === undefined) throw new Error("the crash point belongs to another log: it has an entry that is not there");
  if (entry.kind === "flush") return;
  if (entry.kind === "discard") {
    disk.discard(entry.offset, entry.length);
    return;
  }
  const bytes = log.subarray(entry.dataAt, entry.dataAt + entry.length);
  if (torn === null) disk.write(entry.offset, bytes);
  else
    for (const sector of torn) disk.write(entry.offset + sector * SECTOR, bytes.subarray(sector * SECTOR, (sector + 1) * SECTOR));
}

/** "after 37 of 120 entries, and 40, 38 (5 sectors of it)" */
export function describePoint(point: CrashPoint, entries: readonly LogEntry[]): string {
  const torn = point.torn === null ? "" : ` (of the last only the sectors ${point.torn.join(" ") || "none"})`;
  const later = point.later.length === 0 ? "" : `, and ${point.later.join(", ")}${torn}`;
  return `after ${point.durable} of ${entries.length} entries${later}`;
}
