/** Writing a GUID Partition Table: UEFI specification 2.10, chapter 5.3. What is not known here is kept as it was. */

import { isZero } from "../record/frame.ts";
import { crc32 } from "./crc32.ts";
import { type GptCopy, type GptPartition, type ReadAt, readEntries, readGptCopy, readGptHeader } from "./gpt.ts";
import { protectiveMbr } from "./protective-mbr.ts";

/** Both copies of a disk's table as they were read, and its first sector. A string says why a copy is none. */
export interface GptPair {
  primary: GptCopy | string;
  /** The one at the disk's last sector; what a disk that grew has elsewhere is none. */
  backup: GptCopy | string;
  mbr: Uint8Array;
  /** Where the entries of the primary copy begin, as far as that can still be made out. */
  primaryEntriesLba: bigint;
  sectorSize: number;
  lastLba: bigint;
}

/** A table to be written, for a disk whose last sector is `lastLba`. */
export interface GptTable {
  sectorSize: number;
  lastLba: bigint;
  firstUsableLba: bigint;
  lastUsableLba: bigint;
  primaryEntriesLba: bigint;
  entryCount: number;
  entrySize: number;
  entries: Uint8Array;
  /** One sector: revision, size, GUID and all that is not known are taken from it. */
  header: Uint8Array;
}

export interface Piece {
  /** From the start of the disk, bytes. */
  offset: bigint;
  bytes: Uint8Array;
}

/**
 * Writes in stages: each has to be on the disk before the next one begins. Whatever part of a stage got there before the power
 * went, one valid copy of the table is left, the old one or the new one.
 */
export type TableRewrite = Piece[][];

/** Where nothing else says it: right behind the header. */
const USUAL_ENTRIES_LBA = 2n;

/** Entries that every new table has room for: 16 KiB of 128 bytes each. */
const ENTRY_COUNT = 128;
const ENTRY_SIZE = 128;

/** Both copies of the table of a device of `sizeBytes` bytes. Throws nothing of its own. */
export function readGptPair(read: ReadAt, sizeBytes: bigint, sectorSize: number): GptPair {
  const lastLba = sizeBytes / BigInt(sectorSize) - 1n;
  const tooSmall = `a device of ${sizeBytes} bytes is too small for a GPT`;
  const small = lastLba < 2n * sectorsOf(ENTRY_COUNT * ENTRY_SIZE, sectorSize) + 3n;
  const primary = small ? tooSmall : readGptCopy(read, 1n, sectorSize);
  const backup = small ? tooSmall : readGptCopy(read, lastLba, sectorSize);
  return {
    primary,
    backup,
    mbr: read(0n, sectorSize),
    primaryEntriesLba: small ? USUAL_ENTRIES_LBA : entriesPlace(read, primary, backup, sectorSize),
    sectorSize,
    lastLba,
  };
}

/**
 * Boards whose loader lies behind the first sectors have the primary's entries farther on, and only its header says where. Where
 * that is lost: at the usual place, or right before what may be used, whichever holds the backup's entries, or else nothing.
 */
function entriesPlace(read: ReadAt, primary: GptCopy | string, backup: GptCopy | string, sectorSize: number): bigint {
  if (typeof primary !== "string") return primary.entriesLba;
  const header = readGptHeader(read(BigInt(sectorSize), sectorSize), 1n);
  if (typeof header !== "string") return header.entriesLba;
  if (typeof backup === "string") return USUAL_ENTRIES_LBA;
  const length = backup.entries.length;
  const before = backup.firstUsableLba - sectorsOf(length, sectorSize);
  const places = [USUAL_ENTRIES_LBA, before].filter((lba) => lba >= USUAL_ENTRIES_LBA);
  const contents = places.map((lba) => ({ lba, bytes: read(lba * BigInt(sectorSize), length) }));
  const found =
    contents.find(({ bytes }) => Buffer.compare(bytes, backup.entries) === 0) ?? contents.find(({ bytes }) => isZero(bytes));
  return found?.lba ?? USUAL_ENTRIES_LBA;
}

/** How many sectors `bytes` bytes take. */
export function sectorsOf(bytes: number, sectorSize: number): bigint {
  return BigInt(Math.ceil(bytes / sectorSize));
}

/** 16 bytes of a GUID as {@link printGuid} prints it. */
export function guidBytes(guid: string): Uint8Array {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(guid)) throw new RangeError(`"${guid}" is no GUID in lower case`);
  const bytes = Uint8Array.fromHex(guid.replaceAll("-", ""));
  bytes.subarray(0, 4).reverse();
  bytes.subarray(4, 6).reverse();
  bytes.subarray(6, 8).reverse();
  return bytes;
}

/** A table without partitions. The first usable sector is the first one behind the entries. */
export function emptyTable(lastLba: bigint, sectorSize: number, diskGuid: string): GptTable {
  const entries = new Uint8Array(ENTRY_COUNT * ENTRY_SIZE);
  const length = sectorsOf(entries.length, sectorSize);
  const header = new Uint8Array(sectorSize);
  const view = new DataView(header.buffer);
  header.set(new TextEncoder().encode("EFI PART"));
  view.setUint32(8, 0x00010000, true);
  view.setUint32(12, 92, true);
  header.set(guidBytes(diskGuid), 56);
  return {
    ...{ sectorSize, lastLba, entries, header, primaryEntriesLba: USUAL_ENTRIES_LBA },
    ...{ firstUsableLba: USUAL_ENTRIES_LBA + length, lastUsableLba: lastLba - length - 1n },
    ...{ entryCount: ENTRY_COUNT, entrySize: ENTRY_SIZE },
  };
}

/** The table that `copy` is a copy of. */
export function tableFrom(copy: GptCopy, pair: GptPair): GptTable {
  const { sectorSize, firstUsableLba, lastUsableLba, entryCount, entrySize, entries, header } = copy;
  const { lastLba, primaryEntriesLba } = pair;
  return {
    ...{ sectorSize, lastLba, firstUsableLba, lastUsableLba, primaryEntriesLba },
    ...{ entryCount, entrySize, entries, header },
  };
}

/** Why a table must not be written: its parts do not fit the disk or each other. Null: they do. */
export function tableFault(table: GptTable): string | null {
  const { lastLba, firstUsableLba, lastUsableLba, primaryEntriesLba, entries, sectorSize } = table;
  const length = sectorsOf(entries.length, sectorSize);
  if (primaryEntriesLba < 2n || primaryEntriesLba + length > firstUsableLba) {
    return `its entries, ${length} sectors from LBA ${primaryEntriesLba} on, reach into what may be used from LBA ${firstUsableLba} on`;
  }
  if (lastUsableLba < firstUsableLba || lastUsableLba + length >= lastLba) {
    return `what may be used, LBA ${firstUsableLba} to ${lastUsableLba}, leaves no room for the backup before LBA ${lastLba}`;
  }
  let before: GptPartition | null = null;
  for (const partition of byPlace(table)) {
    const { number, firstLba, lastLba: end } = partition;
    if (firstLba > end || firstLba < firstUsableLba || end > lastUsableLba) {
      return `partition ${number}, LBA ${firstLba} to ${end}, lies outside of LBA ${firstUsableLba} to ${lastUsableLba}`;
    }
    if (before !== null && before.lastLba >= firstLba) return `partitions ${before.number} and ${number} overlap`;
    before = partition;
  }
  return null;
}

/** The table's partitions, in the order in which they lie on the disk. */
export function byPlace(table: Pick<GptTable, "entries" | "entryCount" | "entrySize">): GptPartition[] {
  return readEntries(table).sort((left, right) => (left.firstLba < right.firstLba ? -1 : 1));
}

/** The table with one entry changed or added; of one that is there all that is not known is kept. */
export function withPartition(table: GptTable, partition: GptPartition): GptTable {
  const { entryCount, entrySize } = table;
  const { number, type, unique, label, firstLba, lastLba, attributes } = partition;
  if (number < 1 || number > entryCount) throw new RangeError(`a table of ${entryCount} entries has no number ${number}`);
  if (label.length > 36) throw new RangeError(`"${label}" is longer than the 36 UTF-16 units of a partition's name`);
  const entries = table.entries.slice();
  const start = (number - 1) * entrySize;
  const view = new DataView(entries.buffer);
  entries.set(guidBytes(type), start);
  entries.set(guidBytes(unique), start + 16);
  view.setBigUint64(start + 32, firstLba, true);
  view.setBigUint64(start + 40, lastLba, true);
  view.setBigUint64(start + 48, attributes, true);
  for (let unit = 0; unit < 36; unit++) {
    view.setUint16(start + 56 + 2 * unit, unit < label.length ? label.charCodeAt(unit) : 0, true);
  }
  return { ...table, entries };
}

/** One copy, ready to be written: its header and its entries. */
export function encodeCopy(table: GptTable, which: "primary" | "backup"): { header: Piece; entries: Piece } {
  const { sectorSize, lastLba, entries } = table;
  const own = which === "primary" ? 1n : lastLba;
  const other = which === "primary" ? lastLba : 1n;
  const entriesLba = which === "primary" ? table.primaryEntriesLba : lastLba - sectorsOf(entries.length, sectorSize);
  const header = table.header.slice();
  const view = new DataView(header.buffer);
  view.setBigUint64(24, own, true);
  view.setBigUint64(32, other, true);
  view.setBigUint64(40, table.firstUsableLba, true);
  view.setBigUint64(48, table.lastUsableLba, true);
  view.setBigUint64(72, entriesLba, true);
  view.setUint32(80, table.entryCount, true);
  view.setUint32(84, table.entrySize, true);
  view.setUint32(88, crc32(entries), true);
  view.setUint32(16, 0, true);
  view.setUint32(16, crc32(header.subarray(0, view.getUint32(12, true))), true);
  const sector = BigInt(sectorSize);
  return {
    header: { offset: own * sector, bytes: header },
    entries: { offset: entriesLba * sector, bytes: padded(entries, sectorSize) },
  };
}

function padded(bytes: Uint8Array, sectorSize: number): Uint8Array {
  const whole = new Uint8Array(Number(sectorsOf(bytes.length, sectorSize)) * sectorSize);
  whole.set(bytes);
  return whole;
}

/**
 * Both copies and the first sector, the backup first: as long as it is written the primary is the old one, and afterwards the
 * backup is there whatever becomes of the primary. A string says why the table must not be written over `mbr`.
 */
export function rewriteTable(table: GptTable, mbr: Uint8Array): TableRewrite | string {
  const fault = tableFault(table);
  if (fault !== null) return fault;
  const first = protectiveMbr(mbr, table.lastLba + 1n);
  if (first === null) return "the first sector holds an MBR with partitions of its own";
  const [primary, backup] = [encodeCopy(table, "primary"), encodeCopy(table, "backup")];
  const firstPiece = Buffer.compare(first, mbr) === 0 ? [] : [{ offset: 0n, bytes: first }];
  return [
    [backup.entries, backup.header],
    [primary.entries, primary.header, ...firstPiece],
  ];
}
