/** GUID Partition Table: UEFI specification 2.10, chapter 5.3. Numbers are little-endian, addresses count sectors. */

import { crc32 } from "./crc32.ts";

export interface GptPartition {
  /** Place in the table, from 1: the number the kernel gives it. */
  number: number;
  /** GUIDs are in lower case, mixed-endian as everybody prints them: "4f68bce3-e8cd-4db1-96e7-fbcaf984b709". */
  type: string;
  unique: string;
  label: string;
  firstLba: bigint;
  /** Inclusive. */
  lastLba: bigint;
  attributes: bigint;
}

export interface Gpt {
  diskGuid: string;
  sectorSize: number;
  firstUsableLba: bigint;
  lastUsableLba: bigint;
  /** Used entries, by number. */
  partitions: GptPartition[];
  /** The copy that was read. */
  from: "primary" | "backup";
  /** What is not as it should be, without keeping the table from being used. */
  notes: string[];
}

/** Reads `length` bytes at `offset`; fewer at the end of the device. */
export type ReadAt = (offset: bigint, length: number) => Uint8Array;

/** One copy of a table as it lies on its disk, with all that is not known here, so that it can be written again. */
export interface GptCopy {
  /** Where its header lies, and where it says that the other copy's lies. */
  lba: bigint;
  otherLba: bigint;
  sectorSize: number;
  firstUsableLba: bigint;
  lastUsableLba: bigint;
  diskGuid: string;
  entriesLba: bigint;
  entryCount: number;
  /** Bytes of one entry. */
  entrySize: number;
  entriesCrc: number;
  /** The header's whole sector. */
  header: Uint8Array;
  /** All entries, used or not. */
  entries: Uint8Array;
}

const signature = "EFI PART";

/** GUID of 16 bytes whose first three groups are little-endian. */
export function printGuid(bytes: Uint8Array): string {
  const hex = bytes.subarray(0, 16).toHex();
  const pairs = (...places: number[]) => places.map((place) => hex.slice(2 * place, 2 * place + 2)).join("");
  return [pairs(3, 2, 1, 0), pairs(5, 4), pairs(7, 6), hex.slice(16, 20), hex.slice(20, 32)].join("-");
}

/** The header in one sector, without the entries, or why it is none. */
export function readGptHeader(sector: Uint8Array, lba: bigint): Omit<GptCopy, "entries"> | string {
  if (sector.length < 512 || String.fromCharCode(...sector.subarray(0, 8)) !== signature) return "no GPT signature";
  const view = new DataView(sector.buffer, sector.byteOffset, sector.byteLength);
  const headerSize = view.getUint32(12, true);
  if (headerSize < 92 || headerSize > sector.length) return `header size ${headerSize} is impossible`;
  const summed = sector.slice(0, headerSize);
  summed.fill(0, 16, 20);
  if (crc32(summed) !== view.getUint32(16, true)) return "checksum of the header is wrong";
  const header = {
    lba: view.getBigUint64(24, true),
    otherLba: view.getBigUint64(32, true),
    sectorSize: sector.length,
    firstUsableLba: view.getBigUint64(40, true),
    lastUsableLba: view.getBigUint64(48, true),
    diskGuid: printGuid(sector.subarray(56, 72)),
    entriesLba: view.getBigUint64(72, true),
    entryCount: view.getUint32(80, true),
    entrySize: view.getUint32(84, true),
    entriesCrc: view.getUint32(88, true),
    header: sector,
  };
  if (header.lba !== lba) return `header at LBA ${lba} says it belongs at ${header.lba}`;
  if (header.entrySize < 128 || header.entrySize > 4096 || header.entrySize % 8 !== 0 || header.entryCount > 1024) {
    return `${header.entryCount} entries of ${header.entrySize} bytes are impossible`;
  }
  return header;
}

/** Used entries of a table, by number. */
export function readEntries({ entries, entryCount, entrySize }: Pick<GptCopy, "entries" | "entryCount" | "entrySize">) {
  const view = new DataView(entries.buffer, entries.byteOffset, entries.byteLength);
  const partitions: GptPartition[] = [];
  for (let index = 0; index < entryCount; index++) {
    const start = index * entrySize;
    const type = entries.subarray(start, start + 16);
    if (type.every((byte) => byte === 0)) continue;
    let label = "";
    for (let unit = 0; unit < 36; unit++) {
      const code = view.getUint16(start + 56 + 2 * unit, true);
      if (code === 0) break;
      label += String.fromCharCode(code);
    }
    partitions.push({
      number: index + 1,
      type: printGuid(type),
      unique: printGuid(entries.subarray(start + 16, start + 32)),
      label,
      firstLba: view.getBigUint64(start + 32, true),
      lastLba: view.getBigUint64(start + 40, true),
      attributes: view.getBigUint64(start + 48, true),
    });
  }
  return partitions;
}

/** The copy whose header is at `lba`, or why there is none. */
export function readGptCopy(read: ReadAt, lba: bigint, sectorSize: number): GptCopy | string {
  const header = readGptHeader(read(lba * BigInt(sectorSize), sectorSize), lba);
  if (typeof header === "string") return header;
  const length = header.entryCount * header.entrySize;
  const entries = read(header.entriesLba * BigInt(sectorSize), length);
  if (entries.length < length) return "the entries lie beyond the end of the device";
  if (crc32(entries) !== header.entriesCrc) return "checksum of the entries is wrong";
  return { ...header, entries };
}

function tableOf(copy: GptCopy, from: Gpt["from"], notes: string[]): Gpt {
  const { diskGuid, sectorSize, firstUsableLba, lastUsableLba } = copy;
  return { diskGuid, sectorSize, firstUsableLba, lastUsableLba, partitions: readEntries(copy), from, notes };
}

/**
 * The partition table of a device of `sizeBytes` bytes with sectors of `sectorSize` bytes: the primary copy, or the backup
 * at the last sector where the primary is damaged. A string says why there is none.
 *
 * A primary that knows its backup elsewhere than at the last sector (an image written to a larger disk) is accepted with a
 * note.
 */
export function readGpt(read: ReadAt, sizeBytes: bigint, sectorSize: number): Gpt | string {
  const lastLba = sizeBytes / BigInt(sectorSize) - 1n;
  if (lastLba < 3n) return `a device of ${sizeBytes} bytes is too small for a GPT`;
  const primary = readGptCopy(read, 1n, sectorSize);
  if (typeof primary !== "string") {
    if (primary.otherLba === lastLba) return tableOf(primary, "primary", []);
    const note = `the backup table is at LBA ${primary.otherLba}, not at the last, ${lastLba}; "sgdisk -e" moves it`;
    return tableOf(primary, "primary", [note]);
  }
  const backup = readGptCopy(read, lastLba, sectorSize);
  if (typeof backup === "string") return `primary: ${primary}; backup: ${backup}`;
  const note = `the primary table is damaged (${primary}); the backup is used; "sgdisk -r" repairs it`;
  return tableOf(backup, "backup", [note]);
}

/**
 * The disk signature of an MBR whose partitions the kernel uses, eight hex digits; their PARTUUID is
 * `signature-NN` with the number in hex. Null: `sector` (the first 512 bytes) is no MBR, or the one that protects a GPT.
 */
export function mbrSignature(sector: Uint8Array): string | null {
  if (sector.length < 512 || sector[510] !== 0x55 || sector[511] !== 0xaa) return null;
  const types = [0, 1, 2, 3].map((index) => sector[446 + 16 * index + 4]);
  if (types.includes(0xee)) return null;
  const signature = sector.slice(440, 444).reverse().toHex();
  return signature === "00000000" ? null : signature;
}
