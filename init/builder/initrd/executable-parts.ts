/** What the bytes of the executable are for. */
import { readElfSections } from "../../../boot/elf.ts";
import { findIcuData } from "../../../boot/icu-data.ts";

export const executableParts = ["code", "constants", "languages", "runtime-javascript", "our-javascript", "rest"] as const;
export type ExecutablePart = (typeof executableParts)[number];

/** Bytes from `start` to before `end` of the file. */
export interface Range {
  start: number;
  end: number;
  part: ExecutablePart;
}

/**
 * The file in ranges that follow each other without a gap, by what each is for. A program that no Bun is in consists of code,
 * constants and the rest. Throws BadInput where it is no ELF file.
 */
export function executableRanges(file: Uint8Array): Range[] {
  const own: Record<string, ExecutablePart> = { ".bun": "our-javascript", ".bun_builtins": "runtime-javascript" };
  const sections = readElfSections(file)
    .filter(({ start, end }) => end > start)
    .map(({ name, start, end, code, constant }): Range => {
      return { start, end, part: own[name] ?? (code ? "code" : constant ? "constants" : "rest") };
    })
    .sort((left, right) => left.start - right.start);
  const ranges: Range[] = [];
  let at = 0;
  const put = (end: number, part: ExecutablePart): void => {
    if (end <= at) return;
    ranges.push({ start: at, end, part });
    at = end;
  };
  const icu = findIcuData(file);
  for (const { start, end, part } of sections) {
    put(start, "rest");
    if (icu !== null && icu.start >= start && icu.end <= end) {
      put(icu.start, part);
      put(icu.end, "languages");
    }
    put(Math.min(end, file.length), part);
  }
  put(file.length, "rest");
  return ranges;
}
