/**
 * In which order systemd-boot lists entries, of which it boots the first that its `default` allows: those without tries left
 * last; then by sort-key (ascending; entries without one behind), machine-id, version and file name (descending), tries left
 * and done. Source: config_entry_compare and config_entry_add_unified in src/boot/efi/boot.c of systemd 252.
 */
import { readEntryName } from "./bls-names.ts";
import { entryValue, releaseValue } from "./bls-text.ts";

/** A file of the directory. `text`: what a .conf holds; the os-release inside a unified kernel image, "" where it has none. */
export interface EntryFile {
  name: string;
  text: string;
}

const DIGITS = "0123456789";
const LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

function sign(a: number | string | boolean, b: number | string | boolean): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** How many characters of `text` from `at` on are among `set`. */
function span(text: string, at: number, set: string): number {
  let end = at;
  while (end < text.length && set.includes(text.charAt(end))) end++;
  return end - at;
}

/** systemd's strverscmp_improved: negative where `a` is older than `b`. `systemd-analyze compare-versions` shows the same. */
export function compareVersions(a: string, b: string): number {
  let i = 0;
  let j = 0;
  const known = `${DIGITS}${LETTERS}~-^.`;
  for (;;) {
    while (i < a.length && !known.includes(a.charAt(i))) i++;
    while (j < b.length && !known.includes(b.charAt(j))) j++;
    for (const mark of ["~", "", "-", "^", "."]) {
      if (mark === "") {
        if (i === a.length || j === b.length) return sign(i < a.length, j < b.length);
        continue;
      }
      const [here, there] = [a[i] === mark, b[j] === mark];
      if (here !== there) return here ? -1 : 1;
      if (here) {
        i++;
        j++;
      }
    }
    const numeric = span(a, i, DIGITS) > 0 || span(b, j, DIGITS) > 0;
    const set = numeric ? DIGITS : LETTERS;
    const ends = [i + span(a, i, set), j + span(b, j, set)] as const;
    const difference = numeric
      ? compareNumbers(a.slice(i, ends[0]), b.slice(j, ends[1]))
      : sign(a.slice(i, ends[0]), b.slice(j, ends[1]));
    if (difference !== 0) return difference;
    [i, j] = ends;
  }
}

function compareNumbers(a: string, b: string): number {
  if ((a === "") !== (b === "")) return a === "" ? -1 : 1;
  const [x, y] = [a.replace(/^0+/, ""), b.replace(/^0+/, "")];
  return sign(x.length, y.length) || sign(x, y);
}

function first(text: string, keys: readonly string[]): string | null {
  for (const key of keys) {
    const value = releaseValue(text, key);
    if (value !== null) return value;
  }
  return null;
}

function sortKeys({ name, text }: EntryFile): { sortKey: string | null; machine: string; version: string } {
  if (readEntryName(name)?.kind === "efi") {
    const version = first(text, ["IMAGE_VERSION", "VERSION", "VERSION_ID", "BUILD_ID"]) ?? "";
    return { sortKey: first(text, ["IMAGE_ID", "ID"]), machine: "", version };
  }
  const value = (key: string) => entryValue(text, key);
  return { sortKey: value("sort-key"), machine: value("machine-id") ?? "", version: value("version") ?? "" };
}

/** Negative where the loader lists `a` before `b`, tries left aside. */
export function compareEntries(a: EntryFile, b: EntryFile): number {
  const [x, y] = [sortKeys(a), sortKeys(b)];
  if ((x.sortKey === null) !== (y.sortKey === null)) return x.sortKey === null ? 1 : -1;
  if (x.sortKey !== null && y.sortKey !== null) {
    const keyed = sign(x.sortKey, y.sortKey) || sign(x.machine, y.machine) || -compareVersions(x.version, y.version);
    if (keyed !== 0) return keyed;
  }
  const named = -compareVersions(a.name.toLowerCase(), b.name.toLowerCase());
  if (named !== 0) return named;
  const [p, q] = [readEntryName(a.name)?.counter, readEntryName(b.name)?.counter];
  if (!p || !q) return 0;
  return -sign(p.left, q.left) || sign(p.done ?? 0, q.done ?? 0);
}

/** All entries among `files` that the loader reads, in its order. */
export function loaderOrder(files: readonly EntryFile[]): EntryFile[] {
  const read = files.filter(({ name, text }) => {
    const parsed = readEntryName(name);
    if (parsed === null) return false;
    if (parsed.kind === "efi") return first(text, ["PRETTY_NAME", "IMAGE_ID", "NAME", "ID"]) !== null;
    return entryValue(text, "linux") !== null || entryValue(text, "efi") !== null;
  });
  const spent = ({ name }: EntryFile) => readEntryName(name)?.counter?.left === 0;
  return read.sort((a, b) => sign(spent(a), spent(b)) || compareEntries(a, b));
}
