/**
 * The data package of ICU, the library of locales, that a JavaScript runtime has in its read-only data: where it lies and
 * what is in it. Format, after ICU's source/common/udata.h and ucmndata.h and
 * https://unicode-org.github.io/icu/userguide/icu_data/: a header (u16 size of it, bytes da 27, u16 size of the information,
 * u16 reserved, u8 big endian, u8 character set, u8 size of a character, u8 reserved, "CmnD", u8[4] version of the format 1.0,
 * u8[4] version of the data), behind it the table of contents (u32 count, then u32 offset of the name and u32 offset of the
 * item, from the table's start, sorted by name), the names, "icudt78l/en.res" with a zero, and the items in the table's order,
 * each with a header of its own. The sizes of items are not said: each ends where the next begins.
 */

/** One item: `start` is its first byte in the file, `end` the one behind its last. */
export interface IcuItem {
  /** Without the package's name: "en.res", "brkitr/word.brk". */
  name: string;
  start: number;
  end: number;
}

export interface IcuData {
  start: number;
  /** Of the last item whose end is known: the very last one's is not. */
  end: number;
  /** By position, without the very last one. */
  items: IcuItem[];
}

const FORMAT = new TextEncoder().encode("CmnD");
const FORMAT_AT = 12;
const MAGIC = [0xda, 0x27] as const;
/** More than any ICU has: what claims more is no table. */
const MOST_ITEMS = 100_000;

/** The one package in `file`; null where there is none, more than one, or one that is not as the format says. */
export function findIcuData(file: Uint8Array): IcuData | null {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
  let found: IcuData | null = null;
  for (let at = bytes.indexOf(FORMAT); at >= 0; at = bytes.indexOf(FORMAT, at + 1)) {
    const data = readPackage(bytes, at - FORMAT_AT);
    if (data === null) continue;
    if (found !== null) return null;
    found = data;
  }
  return found;
}

function readPackage(bytes: Buffer, start: number): IcuData | null {
  const header = headerSize(bytes, start);
  if (header === null || bytes[start + FORMAT_AT + FORMAT.length] !== 1) return null;
  const table = start + header;
  if (table + 4 > bytes.length) return null;
  const count = bytes.readUInt32LE(table);
  if (count < 2 || count > MOST_ITEMS || table + 4 + count * 8 > bytes.length) return null;
  const items: IcuItem[] = [];
  for (let index = 0; index < count; index++) {
    const name = nameAt(bytes, table + bytes.readUInt32LE(table + 4 + index * 8));
    const at = table + bytes.readUInt32LE(table + 8 + index * 8);
    const before = items.at(-1);
    if (name === null || at <= (before?.start ?? table + 4 + count * 8) || at + 4 > bytes.length) return null;
    if (before !== undefined) before.end = at;
    items.push({ name, start: at, end: at });
  }
  items.pop();
  return { start, end: items.at(-1)?.end ?? start, items };
}

/** The size of a little-endian header at `start`, null where there is none. */
function headerSize(bytes: Buffer, start: number): number | null {
  if (start < 0 || start + 24 > bytes.length) return null;
  const size = bytes.readUInt16LE(start);
  const [information, bigEndian] = [bytes.readUInt16LE(start + 4), bytes[start + 8]];
  if (bytes[start + 2] !== MAGIC[0] || bytes[start + 3] !== MAGIC[1] || bigEndian !== 0) return null;
  return information >= 20 && size >= 4 + information ? size : null;
}

/** The item's name at `at` without that of its package; null where there is no such name. */
function nameAt(bytes: Buffer, at: number): string | null {
  const end = bytes.indexOf(0, at);
  if (end < 0 || end - at > 200) return null;
  return /^icudt\d+l\/([\w/.-]+)$/.exec(bytes.toString("latin1", at, end))?.[1] ?? null;
}

/**
 * Whether a program that speaks English only can do without an item: another language's names, formats and order of letters,
 * dictionaries that find words in scripts without spaces, and the lists of languages, without which every language is formatted
 * as English. What is left serves characters, normal forms, host names, breaks, time zones, and English.
 */
export function isForeignItem(name: string): boolean {
  const file = name.slice(name.lastIndexOf("/") + 1);
  if (file.endsWith(".dict") || file === "res_index.res") return true;
  const language = /^([a-z]{2,3})(_[A-Z0-9_]\w*|_)?\.res$/.exec(file)?.[1];
  return language !== undefined && !["en", "und"].includes(language);
}
