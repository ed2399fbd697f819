/** The hot file: pages of the executable, together and packed. What reads it is init/interpreter/interpreter.c. */
import { type ElfSegment, readElfSegments } from "../../../boot/elf.ts";
import { PAGE, type PageRun } from "./hot-pages.ts";
import { packLz4 } from "./lz4.ts";

/** As init/interpreter/hot-file.h has them. */
const MAGIC = "SLIPHOT1";
const DIGEST = { start: 8, end: 40 } as const;
const HEADER = 72;
const RANGE = 24;

/** Padding of an ELF file's e_ident, in which the executable says which hot file is its own. */
const MARK = { start: 9, end: 16 } as const;

export interface SplitExecutable {
  /** The executable with zeros where the hot pages were, and the mark. It does not run without the hot file. */
  cold: Uint8Array;
  hot: Uint8Array;
}

/** Whole pages of one segment. */
interface HotRange {
  /** In memory. */
  address: bigint;
  /** In the executable, as a number of pages; so is `end`. */
  start: number;
  end: number;
  protection: number;
}

/**
 * Takes the pages `runs` out of `executable`, a whole ELF file. Its first page stays in it, since the kernel reads that, and so
 * do pages that no segment loads, or whose end the kernel clears when it loads them.
 */
export function splitExecutable(executable: Uint8Array, runs: readonly PageRun[]): SplitExecutable {
  const segments = readElfSegments(executable);
  const ranges = segments.flatMap((segment) => rangesIn(segment, runs));
  const hot = layTogether(executable, ranges);
  const cold = executable.slice();
  for (const { start, end } of runs) {
    for (let page = Math.max(start, 1); page < end; page++) {
      const loading = segments.filter((segment) => pagesOf(segment, true).some(({ start, end }) => page >= start && page < end));
      const laid = ranges.filter((range) => page >= range.start && page < range.end);
      if (loading.length > 0 && laid.length === loading.length) cold.fill(0, page * PAGE, (page + 1) * PAGE);
    }
  }
  cold.set(hot.subarray(DIGEST.start, DIGEST.start + MARK.end - MARK.start), MARK.start);
  return { cold, hot };
}

/** The pages of the file that `segment` loads, without a last one that the kernel fills up with zeros unless `all`. */
function pagesOf({ offset, fileSize, memorySize }: ElfSegment, all: boolean): PageRun[] {
  const start = Math.floor(offset / PAGE);
  const whole = all || memorySize === fileSize;
  const end = whole ? Math.ceil((offset + fileSize) / PAGE) : Math.floor((offset + fileSize) / PAGE);
  return end > start ? [{ start, end }] : [];
}

function rangesIn(segment: ElfSegment, runs: readonly PageRun[]): HotRange[] {
  const first = Math.floor(segment.offset / PAGE);
  const address = segment.address - (segment.address % BigInt(PAGE));
  return pagesOf(segment, false).flatMap((loaded) =>
    runs.flatMap(({ start, end }): HotRange[] => {
      const [from, to] = [Math.max(start, loaded.start, 1), Math.min(end, loaded.end)];
      if (to <= from) return [];
      const { readable, writable, executable } = segment;
      const protection = (readable ? 1 : 0) | (writable ? 2 : 0) | (executable ? 4 : 0); // PROT_READ, PROT_WRITE, PROT_EXEC
      return [{ address: address + BigInt((from - first) * PAGE), start: from, end: to, protection }];
    }),
  );
}

function layTogether(executable: Uint8Array, ranges: readonly HotRange[]): Uint8Array {
  const length = ({ start, end }: HotRange): number => (end - start) * PAGE;
  const pages = new Uint8Array(ranges.reduce((sum, range) => sum + length(range), 0));
  const header = new DataView(new ArrayBuffer(HEADER + ranges.length * RANGE));
  const put = (at: number, values: (bigint | number)[]): void => {
    for (const [index, value] of values.entries()) header.setBigUint64(at + index * 8, BigInt(value), true);
  };
  let at = 0;
  for (const [index, range] of ranges.entries()) {
    put(HEADER + index * RANGE, [range.address, length(range), range.protection]);
    pages.set(executable.subarray(range.start * PAGE, Math.min(range.end * PAGE, executable.length)), at);
    at += length(range);
  }
  const packed = packLz4(pages);
  put(DIGEST.end, [PAGE, ranges.length, packed.length, pages.length]);
  const hot = new Uint8Array(header.byteLength + packed.length);
  hot.set(new Uint8Array(header.buffer));
  hot.set(new TextEncoder().encode(MAGIC));
  hot.set(packed, header.byteLength);
  hot.set(new Bun.CryptoHasher("sha256").update(hot.subarray(DIGEST.end)).digest(), DIGEST.start);
  return hot;
}
