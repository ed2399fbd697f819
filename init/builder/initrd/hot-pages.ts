/**
 * The list of an executable's pages that a boot touches. `npm run trace-start` makes it from traced boots; see
 * scripts/trace-start.ts.
 */
import { type ElfSection, readElfBuildId, readElfSections } from "../../../boot/elf.ts";
import { BadInput } from "../../../state-ops/outcome.ts";
import { BLOCK_SIZE } from "./runtime-image.ts";

/** Bytes of a page, in the list and in the hot file. */
export const PAGE = 4096;

/** Our own JavaScript and its bytecode, behind all that belongs to the runtime. */
export const OWN_SECTION = ".bun";

/** Where the source text of a program begins in {@link OWN_SECTION}; all bytecode lies before it. */
const SOURCE_BEGINS = "// @bun @bytecode";

/**
 * Pages at the start of the file that are taken whatever the list says: the kernel reads the first one where it is, and has the
 * whole block of the squashfs unpacked for it, which is quickly done where the rest of the block is zeros.
 */
const FIRST_BLOCK = BLOCK_SIZE.cold / PAGE;

/** Pages from `start` to before `end` of the file. */
export interface PageRun {
  start: number;
  end: number;
}

export interface HotPageList {
  /** Build id of the runtime in the executable: pages of another one lie elsewhere. */
  buildId: string;
  /** Sorted, apart from each other, before {@link OWN_SECTION}. */
  runs: PageRun[];
}

/**
 * Reads a list: lines "runtime BUILD-ID" and "pages START-END …" with numbers of pages, END not among them; "#" begins a
 * comment. Throws BadInput, which names `what` and the line.
 */
export function parseHotPages(what: string, text: string): HotPageList {
  let buildId: string | null = null;
  const runs: PageRun[] = [];
  for (const [index, whole] of text.split("\n").entries()) {
    const bad = (why: string): BadInput => new BadInput(`${what}, line ${index + 1}: ${why}; npm run trace-start makes a list`);
    const [word = "", ...values] = whole.replace(/#.*/, "").trim().split(/\s+/);
    if (word === "") continue;
    if (word === "runtime" && buildId === null && values.length === 1 && /^([0-9a-f]{2})+$/.test(values[0] ?? "")) {
      buildId = values[0] ?? "";
    } else if (word === "pages") {
      for (const value of values) runs.push(parseRun(value, runs.at(-1)?.end ?? -1, bad));
    } else throw bad(`neither one "runtime BUILD-ID" nor "pages START-END": "${whole.slice(0, 60)}"`);
  }
  if (buildId === null) throw new BadInput(`${what} has no line "runtime BUILD-ID"; npm run trace-start makes a list`);
  return { buildId, runs };
}

function parseRun(text: string, before: number, bad: (why: string) => BadInput): PageRun {
  const found = /^(\d{1,9})-(\d{1,9})$/.exec(text);
  if (!found) throw bad(`"${text.slice(0, 60)}" is no START-END`);
  const [start, end] = [Number(found[1]), Number(found[2])];
  if (end <= start) throw bad(`${text} holds no page`);
  if (start <= before) throw bad(`${text} does not lie behind page ${before}`);
  return { start, end };
}

/** The same list as text, with `comment` lines at its head. */
export function writeHotPages(list: HotPageList, comment: readonly string[]): string {
  const lines: string[] = [];
  for (let at = 0; at < list.runs.length; at += 12) {
    const row = list.runs.slice(at, at + 12).map(({ start, end }) => `${start}-${end}`);
    lines.push(`pages ${row.join(" ")}`);
  }
  return [...comment.map((line) => `# ${line}`), `runtime ${list.buildId}`, ...lines, ""].join("\n");
}

/** `pages` in runs; those with no more than `gap` pages between them become one. */
export function pageRuns(pages: Iterable<number>, gap: number): PageRun[] {
  const runs: PageRun[] = [];
  for (const page of [...pages].sort((one, other) => one - other)) {
    const last = runs.at(-1);
    if (last !== undefined && page - last.end <= gap) last.end = Math.max(last.end, page + 1);
    else runs.push({ start: page, end: page + 1 });
  }
  return runs;
}

/**
 * The pages of `executable` that a boot touches: those of `lists` for its runtime, its first block, and of our own section the bytecode, which
 * is read as a whole, and the tables at its end. Null where no list is for its runtime.
 */
export function hotPagesOf(executable: Uint8Array, lists: readonly HotPageList[]): PageRun[] | null {
  const buildId = readElfBuildId(executable);
  const list = buildId === null ? undefined : lists.find((candidate) => candidate.buildId === buildId);
  if (list === undefined) return null;
  const pages = [{ start: 0, end: FIRST_BLOCK }, ...list.runs].flatMap(pagesOf);
  const own = readElfSections(executable).find(({ name }) => name === OWN_SECTION);
  return pageRuns(own === undefined ? pages : [...pages, ...ownPages(executable, own)], 1);
}

function pagesOf({ start, end }: PageRun): number[] {
  return Array.from({ length: end - start }, (_, index) => start + index);
}

function ownPages(executable: Uint8Array, { start, end }: ElfSection): number[] {
  const section = Buffer.from(executable.buffer, executable.byteOffset + start, end - start);
  const source = section.indexOf(SOURCE_BEGINS);
  const bytecode = source < 0 ? end : start + source;
  const page = (offset: number): number => Math.floor(offset / PAGE);
  return [...pagesOf({ start: page(start), end: page(bytecode) + 1 }), page(end - 1)];
}
