/**
 * U-Boot's environment: a checksum, and "name=value" records that end with a NUL each; one more NUL ends them, and what
 * follows is anything, but under the checksum. Numbers are little endian, as on every machine that slipway runs on. Source:
 * U-Boot's include/env_internal.h, env/common.c, env/flash.c, lib/hashtable.c (himport_r); libubootenv's uboot_env.c.
 *
 *   one copy:    0  4  CRC-32 over bytes 4 to the end      two copies:  0  4  CRC-32 over bytes 5 to the end
 *                4     records                                          4  1  flags, under no checksum
 *                                                                       5     records
 */
import { crc32 } from "../devices/crc32.ts";

/**
 * `single`: one copy, overwritten. Two copies, of which the older is overwritten: `incremental` counts the writes in the
 * flags, modulo 256 (MMC, SATA, files on FAT and ext4); `boolean` marks the newer with 1 and then the older with 0, since
 * NOR clears bits without erasing.
 */
export type EnvironmentLayout = "single" | "incremental" | "boolean";

export type CopyNumber = 0 | 1;

/**
 * What the copies hold. Names and values are as they are stored, a byte a character (Latin-1): U-Boot writes a backslash
 * before a backslash.
 */
export type EnvironmentReading = {
  /** All that stands before the end mark, in its order. */
  records: readonly string[];
  /** The copy that U-Boot takes; null: none, it starts with its built-in defaults. */
  current: CopyNumber | null;
  /** Flags of that copy; 0 where there are none. */
  flags: number;
} & (
  | { condition: "valid"; variables: ReadonlyMap<string, string>; reason: string | null }
  | { condition: "empty" | "unreadable"; variables: null; reason: string }
);

/** Bytes for one copy. Each write is durable before the next one begins. */
export interface EnvironmentWrite {
  copy: CopyNumber;
  /** From the copy's start. 0: the whole copy, whose sectors a flash erases before. */
  offset: number;
  bytes: Uint8Array;
}

/** No writes: what is stored says it already. */
export type EnvironmentChange = { writes: EnvironmentWrite[]; reason: null } | { writes: null; reason: string };

const ACTIVE = 1;
const OBSOLETE = 0;
const ERASED = 0xff;
const FLAGS_AT = 4;

/** Bytes before the records. */
const headerOf = (layout: EnvironmentLayout): number => (layout === "single" ? 4 : 5);

type Copy = { bytes: Uint8Array; flags: number; fault: null } | { fault: string };

/**
 * What `copies` hold: one of them for `single`, else two of one size. Null is a copy that could not be read. Never throws.
 */
export function readEnvironment(copies: readonly (Uint8Array | null)[], layout: EnvironmentLayout): EnvironmentReading {
  const read = (layout === "single" ? copies.slice(0, 1) : [copies[0] ?? null, copies[1] ?? null]).map((bytes) =>
    readCopy(bytes, layout),
  );
  const faults = read.flatMap(({ fault }, number) => (fault === null ? [] : [`${nameOf(number, layout)} ${fault}`]));
  const current = newest(read, layout);
  const copy = current === null ? undefined : read[current];
  if (current === null || copy === undefined || copy.fault !== null) {
    const erased = copies.length > 0 && copies.every((bytes) => bytes !== null && isErased(bytes));
    return {
      condition: erased ? "empty" : "unreadable",
      variables: null,
      records: [],
      current: null,
      flags: 0,
      reason: faults.join("; "),
    };
  }
  const { records, ended } = recordsIn(copy.bytes.subarray(headerOf(layout)));
  const place = { current, flags: copy.flags };
  const known = records.filter((record) => nameIn(record) !== "");
  if (known.length < records.length) {
    const reason = `${nameOf(current, layout)} has a record without a name, for which U-Boot drops all and takes its defaults`;
    return { condition: "unreadable", variables: null, records: known, ...place, reason };
  }
  if (!ended) faults.push(`${nameOf(current, layout)} has no end mark`);
  const reason = faults.length > 0 ? faults.join("; ") : null;
  return { condition: "valid", variables: variablesOf(records), records, ...place, reason };
}

const nameOf = (number: number, layout: EnvironmentLayout): string =>
  layout === "single" ? "U-Boot's environment" : `copy ${number + 1} of U-Boot's environment`;

function readCopy(bytes: Uint8Array | null, layout: EnvironmentLayout): Copy {
  if (bytes === null) return { fault: "cannot be read" };
  if (bytes.length <= headerOf(layout)) return { fault: `has only ${bytes.length} bytes` };
  if (isErased(bytes)) return { fault: "was never written" };
  const stored = view(bytes).getUint32(0, true);
  const sums = (from: number): boolean => crc32(bytes.subarray(from)) === stored;
  if (sums(headerOf(layout))) return { bytes, flags: layout === "single" ? 0 : (bytes[FLAGS_AT] ?? 0), fault: null };
  if (bytes.length > 5 && sums(layout === "single" ? 5 : 4)) {
    const [is, said] = layout === "single" ? ["two copies", "one"] : ["one copy", "two"];
    return { fault: `is one of an environment of ${is}, and fw_env.config says ${said}; does its size fit U-Boot's?` };
  }
  return { fault: "has a wrong checksum: it is torn, or its place or size is not what fw_env.config says" };
}

const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** All 0xff, as flash is after erasing, or all zeros. */
function isErased(bytes: Uint8Array): boolean {
  const [first] = bytes;
  return (first === 0 || first === ERASED) && bytes.every((byte) => byte === first);
}

/** Which of the copies U-Boot takes. */
function newest([first, second]: readonly Copy[], layout: EnvironmentLayout): CopyNumber | null {
  const good = [first, second].map((copy) => (copy !== undefined && copy.fault === null ? copy.flags : null));
  const [one = null, two = null] = good;
  if (one === null || two === null) return one !== null ? 0 : two !== null ? 1 : null;
  if (one === two) return 0;
  if (layout === "boolean") return newerOnNor(one, two);
  if (one === 255 && two === 0) return 1;
  if (two === 255 && one === 0) return 0;
  return one > two ? 0 : 1;
}

/** Flags that U-Boot knows not at all leave it without an environment; the copy that is not obsolete is the better guess. */
function newerOnNor(one: number, two: number): CopyNumber {
  if (one === ACTIVE && two === OBSOLETE) return 0;
  if (one === OBSOLETE && two === ACTIVE) return 1;
  if (one === ERASED) return 0;
  if (two === ERASED) return 1;
  return one === OBSOLETE ? 1 : 0;
}

function recordsIn(bytes: Uint8Array): { records: string[]; ended: boolean } {
  const records: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf(0, at);
    if (end === at) return { records, ended: true };
    records.push(Buffer.from(bytes.subarray(at, end < 0 ? bytes.length : end)).toString("latin1"));
    if (end < 0) break;
    at = end + 1;
  }
  return { records, ended: false };
}

/** Name in a record as U-Boot's himport_r takes it: blanks before it are skipped; null for a comment. */
function nameIn(record: string): string | null {
  const text = record.replace(/^[ \t]+/, "");
  if (text.startsWith("#")) return null;
  const equals = text.indexOf("=");
  return equals < 0 ? text : text.slice(0, equals);
}

/** Of records with one name the last holds; one without an equals sign takes the name away. */
function variablesOf(records: readonly string[]): Map<string, string> {
  const variables = new Map<string, string>();
  for (const record of records) {
    const name = nameIn(record);
    if (name === null) continue;
    const equals = record.indexOf("=");
    if (equals < 0) variables.delete(name);
    else variables.set(name, record.slice(equals + 1));
  }
  return variables;
}

/**
 * What to write so that the variables in `changes` have their new values; null removes one. All other records stay, in
 * their order. Always the copy that is not in use is written.
 * @param size bytes of a copy
 */
export function changeEnvironment(
  reading: EnvironmentReading,
  layout: EnvironmentLayout,
  size: number,
  changes: ReadonlyMap<string, string | null>,
): EnvironmentChange {
  for (const [name, value] of changes) {
    if (!/^[!-<>-~]+$/.test(name) || name.startsWith("#") || !/^[ -~]*$/.test(value ?? "")) {
      return {
        writes: null,
        reason: `U-Boot's environment has no room for ${JSON.stringify(`${name}=${value}`)}: not plain ASCII`,
      };
    }
  }
  const records = changedRecords(reading.records, changes);
  const same = records.length === reading.records.length && records.every((record, at) => record === reading.records[at]);
  if (same && reading.condition === "valid") return { writes: [], reason: null };
  const data = Buffer.from(`${records.map((record) => `${record}\0`).join("")}\0`, "latin1");
  const room = size - headerOf(layout);
  if (data.length > room) {
    return { writes: null, reason: `U-Boot's environment is full: ${data.length} bytes of variables, room for ${room}` };
  }
  const { current } = reading;
  const copy: CopyNumber = layout !== "single" && current === 0 ? 1 : 0;
  const bytes = new Uint8Array(size);
  bytes.set(data, headerOf(layout));
  if (layout !== "single") bytes[FLAGS_AT] = layout === "boolean" ? ACTIVE : (reading.flags + 1) & 0xff;
  view(bytes).setUint32(0, crc32(bytes.subarray(headerOf(layout))), true);
  const writes: EnvironmentWrite[] = [{ copy, offset: 0, bytes }];
  if (layout === "boolean" && current !== null) {
    writes.push({ copy: current, offset: FLAGS_AT, bytes: Uint8Array.of(OBSOLETE) });
  }
  return { writes, reason: null };
}

/** A changed variable takes the place of its last record; a new one comes last. */
function changedRecords(records: readonly string[], changes: ReadonlyMap<string, string | null>): string[] {
  const lasts = new Map(records.map((record, at) => [nameIn(record), at]));
  const kept = records.flatMap((record, at) => {
    const name = nameIn(record);
    const value = name === null ? undefined : changes.get(name);
    if (value === undefined) return [record];
    return value !== null && lasts.get(name) === at ? [`${name}=${value}`] : [];
  });
  const added = [...changes].filter(([name, value]) => value !== null && !lasts.has(name));
  return [...kept, ...added.map(([name, value]) => `${name}=${value}`)];
}
