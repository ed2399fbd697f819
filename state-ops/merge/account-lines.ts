/**
 * The lines of passwd(5), group(5), shadow(5), gshadow(5), subuid(5) and subgid(5). Texts have one character a byte
 * (latin1), so that any bytes survive.
 */
import type { KeyedFile } from "./keyed-files.ts";

/** A line with a name. */
export interface AccountRecord {
  name: string;
  fields: readonly string[];
}

/**
 * Any other line is carried along whole: comments, empty lines, NIS lines ("+", "-"), shapes that nothing is known of, and a
 * second line of one name (`again`), which the C library never sees.
 */
export type Line = { record: AccountRecord; raw: string } | { record: null; raw: string; nis: boolean; again: string | null };

export interface Shape {
  /** How many fields a line has. */
  fields: number;
  /** The field that has the uid or gid of the name. */
  number: number | null;
  /** Fields that are lists of names. */
  lists: readonly number[];
  /** What else there is, each merged as one: fields that mean something only together are together. */
  units: readonly { name: string; fields: readonly number[] }[];
}

const unit = (name: string, ...fields: number[]) => ({ name, fields });

/** A passwd line's primary group. */
export const PRIMARY_GROUP = 3;

export const SHAPES: Record<KeyedFile, Shape> = {
  passwd: {
    fields: 7,
    number: 2,
    lists: [],
    units: [unit("password", 1), unit("primary group", PRIMARY_GROUP), unit("comment", 4), unit("home", 5), unit("shell", 6)],
  },
  group: { fields: 4, number: 2, lists: [3], units: [unit("password", 1)] },
  shadow: {
    fields: 9,
    number: null,
    lists: [],
    units: [
      unit("password", 1, 2),
      unit("minimum age", 3),
      unit("maximum age", 4),
      unit("warning period", 5),
      unit("inactivity period", 6),
      unit("expiry", 7),
      unit("reserved field", 8),
    ],
  },
  gshadow: { fields: 4, number: null, lists: [2, 3], units: [unit("password", 1)] },
  subuid: { fields: 3, number: null, lists: [], units: [] },
  subgid: { fields: 3, number: null, lists: [], units: [] },
};

/** A file's lines, and its records by name; of two records with one name the second is a line like any other. */
export interface AccountTable {
  lines: readonly Line[];
  records: ReadonlyMap<string, AccountRecord>;
}

export function readTable(file: KeyedFile, text: string | null): AccountTable {
  const raws = text === null || text === "" ? [] : (text.endsWith("\n") ? text.slice(0, -1) : text).split("\n");
  const records = new Map<string, AccountRecord>();
  const many = file === "subuid" || file === "subgid";
  const lines = raws.map((raw): Line => {
    const record = readRecord(file, raw);
    if (record === null) return { record, raw, nis: /^[+-]/.test(raw), again: null };
    if (records.has(record.name) && !many) return { record: null, raw, nis: false, again: record.name };
    if (!records.has(record.name)) records.set(record.name, record);
    return { record, raw };
  });
  return { lines, records };
}

/** A uid, gid or count of a well-formed field; null for anything else. */
export function accountNumber(field: string | undefined): number | null {
  const value = field !== undefined && /^[0-9]{1,10}$/.test(field) ? Number(field) : -1;
  return value >= 0 && value <= 0xffff_ffff ? value : null;
}

/** The number of a passwd or group record. */
export function numberOf(record: AccountRecord): number {
  return accountNumber(record.fields[2]) ?? 0;
}

export function withField(record: AccountRecord, index: number, value: string): AccountRecord {
  return { name: record.name, fields: record.fields.with(index, value) };
}

export function sameRecord(left: AccountRecord | null | undefined, right: AccountRecord | null | undefined): boolean {
  return left?.fields.join(":") === right?.fields.join(":");
}

/** The names in a list field. */
export function listNames(field: string | undefined): string[] {
  return (field ?? "").split(",").filter((name) => name !== "");
}

function readRecord(file: KeyedFile, raw: string): AccountRecord | null {
  const all = raw.split(":");
  const last = SHAPES[file].fields - 1;
  // The last field takes the rest, as in the C library.
  const fields = all.length > last ? [...all.slice(0, last), all.slice(last).join(":")] : all;
  const name = fields[0] ?? "";
  if (fields.length !== SHAPES[file].fields || !/^[^\s#+-]/.test(name)) return null;
  const numbers = file === "passwd" ? [2, 3] : file === "group" ? [2] : file.startsWith("sub") ? [1, 2] : [];
  return numbers.every((index) => accountNumber(fields[index]) !== null) ? { name, fields } : null;
}
