/** What is done to a partition table, as data: nothing here touches a disk. A string says why it cannot be done. */

import type { LayoutPartition } from "../../state-ops/recovery.ts";
import type { GptCopy, GptPartition } from "./gpt.ts";
import {
  byPlace,
  emptyTable,
  encodeCopy,
  type GptPair,
  type GptTable,
  sectorsOf,
  type TableRewrite,
  tableFault,
  tableFrom,
  withPartition,
} from "./gpt-table.ts";
import { mbrKind, protectiveMbr } from "./protective-mbr.ts";

/** Where partitions begin and end, bytes. */
export const ALIGNMENT = 1024n * 1024n;

/**
 * Makes the kernel see the table again: the primary from the backup at the disk's last sector, or the first sector alone where
 * that is all that is missing. The backup is not written. Null: nothing is missing.
 */
export function restorePrimary(pair: GptPair): TableRewrite | string | null {
  const first = protectiveMbr(pair.mbr, pair.lastLba + 1n);
  if (first === null) return "the first sector holds an MBR with partitions of its own";
  const firstPiece = mbrKind(pair.mbr) === "none" ? [{ offset: 0n, bytes: first }] : [];
  if (typeof pair.primary !== "string") return firstPiece.length === 0 ? null : [firstPiece];
  if (typeof pair.backup === "string") return `primary: ${pair.primary}; backup: ${pair.backup}`;
  const table = tableFrom(pair.backup, pair);
  const fault = tableFault(table) ?? (pair.backup.otherLba === 1n ? null : "the backup is that of another place than LBA 1");
  if (fault !== null) return fault;
  const { entries, header } = encodeCopy(table, "primary");
  return [[entries, header, ...firstPiece]];
}

/** The backup from the primary, where it is damaged or another one. Null: it is as it should be. */
export function restoreBackup(pair: GptPair): TableRewrite | string | null {
  const { primary, backup } = pair;
  if (typeof primary === "string") return `primary: ${primary}`;
  if (primary.otherLba !== pair.lastLba) return elsewhere(primary, pair.lastLba);
  if (typeof backup !== "string" && isSameTable(primary, backup)) return null;
  const table = tableFrom(primary, pair);
  const fault = tableFault(table);
  if (fault !== null) return fault;
  const { entries, header } = encodeCopy(table, "backup");
  return [[entries, header]];
}

/** Whether two copies hold the same, each for its place. */
export function isSameTable(
  one: Pick<GptCopy, "diskGuid" | "firstUsableLba" | "lastUsableLba" | "entryCount" | "entrySize" | "entries">,
  other: typeof one,
): boolean {
  return (
    one.diskGuid === other.diskGuid &&
    one.firstUsableLba === other.firstUsableLba &&
    one.lastUsableLba === other.lastUsableLba &&
    one.entryCount === other.entryCount &&
    one.entrySize === other.entrySize &&
    Buffer.compare(one.entries, other.entries) === 0
  );
}

function elsewhere(primary: GptCopy, lastLba: bigint): string {
  const made = primary.otherLba < lastLba ? "smaller" : "larger";
  return `the table is that of a ${made} disk: it knows its backup at LBA ${primary.otherLba}, the last one is ${lastLba}`;
}

/** The primary's table for the disk as large as it is now: all up to the backup's new place may be used. */
export function moveBackup(pair: GptPair): GptTable | string {
  const { primary, lastLba } = pair;
  if (typeof primary === "string") return `its table is damaged, or there is none (${primary})`;
  if (primary.otherLba > lastLba) return elsewhere(primary, lastLba);
  const table = tableFrom(primary, pair);
  // A table that leaves room on purpose at the end of its own disk is not widened.
  if (primary.otherLba === lastLba) return tableFault(table) ?? table;
  const grown = { ...table, lastUsableLba: lastLba - sectorsOf(table.entries.length, table.sectorSize) - 1n };
  return tableFault(grown) ?? grown;
}

/** The end of the last whole piece of `alignment` that may be used, exclusive, in sectors. */
function alignedEnd({ lastUsableLba, sectorSize }: GptTable, alignment: bigint): bigint {
  const piece = alignment / BigInt(sectorSize);
  return ((lastUsableLba + 1n) / piece) * piece;
}

/** The partition `number`, which has to be the last on the disk, up to the end of what may be used. The same table: it is there. */
export function growLast(table: GptTable, number: number, alignment = ALIGNMENT): GptTable | string {
  const last = byPlace(table).at(-1);
  if (last === undefined || last.number !== number) {
    return `partition ${number} is not the last on the disk, ${last === undefined ? "which has none" : `number ${last.number} is`}`;
  }
  const lastLba = alignedEnd(table, alignment) - 1n;
  return lastLba > last.lastLba ? withPartition(table, { ...last, lastLba }) : table;
}

/** A new partition in all that is left behind the last one, with the lowest number that is free. */
export function appendPartition(
  table: GptTable,
  partition: Pick<GptPartition, "type" | "unique" | "label" | "attributes">,
  smallest: bigint,
  alignment = ALIGNMENT,
): { table: GptTable; added: GptPartition } | string {
  const partitions = byPlace(table);
  const piece = alignment / BigInt(table.sectorSize);
  const start = (partitions.at(-1)?.lastLba ?? table.firstUsableLba - 1n) + 1n;
  const firstLba = ((start + piece - 1n) / piece) * piece;
  const end = alignedEnd(table, alignment);
  const bytes = (end - firstLba) * BigInt(table.sectorSize);
  if (bytes < smallest) return `${bytes < 0n ? 0n : bytes} bytes are left behind the last partition, it needs ${smallest}`;
  const taken = new Set(partitions.map(({ number }) => number));
  const number = Array.from({ length: table.entryCount }, (_, index) => index + 1).find((free) => !taken.has(free));
  if (number === undefined) return `all ${table.entryCount} entries of the table are used`;
  const added = { ...partition, number, firstLba, lastLba: end - 1n };
  return { table: withPartition(table, added), added };
}

/** A partition of a new table, sizes in bytes; null: all that is left, for the last one only. */
export interface NewPartition extends LayoutPartition {
  unique: string;
  attributes: bigint;
}

/** What the last partition must have where all that is left is its. */
export const LEAST_REST = 16n * ALIGNMENT;

/** The least that a disk must have for `partitions`, bytes. */
export function smallestDisk(partitions: readonly LayoutPartition[]): bigint {
  const sizes = partitions.map(({ size }) => (size === null ? LEAST_REST : BigInt(size)));
  return sizes.reduce((sum, size) => sum + size, 2n * ALIGNMENT);
}

/**
 * A whole table for a disk with nothing on it: `partitions` one behind the other from 1 MiB on, all on whole MiB.
 *
 * @param sizeBytes of the disk
 */
export function layoutBlank(
  partitions: readonly NewPartition[],
  disk: { sizeBytes: bigint; sectorSize: number; guid: string },
): GptTable | string {
  const sector = BigInt(disk.sectorSize);
  let table = emptyTable(disk.sizeBytes / sector - 1n, disk.sectorSize, disk.guid);
  const end = alignedEnd(table, ALIGNMENT) * sector;
  let at = ALIGNMENT;
  for (const [index, { size, ...partition }] of partitions.entries()) {
    const length = size === null ? end - at : BigInt(size);
    const least = size === null ? LEAST_REST : ALIGNMENT;
    if (length < least || at + length > end) {
      return `a disk of ${disk.sizeBytes} bytes is too small: ${partition.label} needs ${size ?? `at least ${LEAST_REST}`} bytes from byte ${at} on, partitions end at ${end}`;
    }
    const [firstLba, lastLba] = [at / sector, (at + length) / sector - 1n];
    table = withPartition(table, { ...partition, number: index + 1, firstLba, lastLba });
    at += length;
  }
  return tableFault(table) ?? table;
}
