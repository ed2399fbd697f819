/**
 * Priority, tries and success of a slot in the attributes of its entry in the GUID partition table, as ChromeOS, Flatcar and
 * Bottlerocket keep them (vboot's gpt_misc.h, signpost's gptprio.rs; UEFI leaves bits 48 to 63 to the partition's type). All other
 * bits of an entry stay as they are.
 *
 * Both dialects have the same bits and boot the highest priority above 0 of an entry that is successful or has tries left, of two
 * equal ones the first. They differ in how they count: `chromeos` leaves a successful entry alone, and takes the priority away with
 * the last try (vboot, GptUpdateKernelWithEntry); `gptprio` takes a try wherever there is one (GRUB's module of CoreOS).
 */
import { crc32 } from "../devices/crc32.ts";
import type { GptCopy, ReadAt } from "../devices/gpt.ts";
import { readEntries, readGptCopy } from "../devices/gpt.ts";
import { type GptPair, type Piece, readGptPair, sectorsOf, type TableRewrite } from "../devices/gpt-table.ts";
import { isZero } from "../record/frame.ts";
import { isBad } from "./startable.ts";
import type { LoaderSlot, StoreReading, StoreSlot, StoreView } from "./view.ts";

/** Highest priority and most tries that four bits hold. */
const MOST_IN_ATTRIBUTES = 15;

/** A slot, and the number of its partition. */
export interface GptSlot extends StoreSlot {
  number: number;
}

export interface BootBits {
  /** 15 boots first, 0 never. */
  priority: number;
  tries: number;
  successful: boolean;
}

const PRIORITY = 48n;
const TRIES = 52n;
const SUCCESSFUL = 56n;
const OURS = (0xfn << PRIORITY) | (0xfn << TRIES) | (1n << SUCCESSFUL);

export function bootBits(attributes: bigint): BootBits {
  return {
    priority: Number((attributes >> PRIORITY) & 0xfn),
    tries: Number((attributes >> TRIES) & 0xfn),
    successful: ((attributes >> SUCCESSFUL) & 1n) === 1n,
  };
}

/** The attributes with these bits, and all others as they were. */
export function withBootBits(attributes: bigint, { priority, tries, successful }: BootBits): bigint {
  const bits = (BigInt(priority) << PRIORITY) | (BigInt(tries) << TRIES) | (BigInt(successful) << SUCCESSFUL);
  return (attributes & ~OURS) | bits;
}

/** Both copies of a table: the one that counts, and where the other one is. */
export interface GptTables {
  pair: GptPair;
  /** The primary, or the backup where the primary is damaged. A string says why there is no table. */
  table: GptCopy | string;
  /** Where the primary says that it is, which on a disk that grew is not the last sector. A string says why it is none. */
  backup: GptCopy | string;
  /** Whether something else than zeros or a backup lies at the disk's end, where everybody looks for one. */
  endIsTaken: boolean;
}

/** Reads a disk's table of `sizeBytes` bytes, in sectors of `sectorSize`. */
export function readGptTables(read: ReadAt, sizeBytes: bigint, sectorSize: number): GptTables {
  const pair = readGptPair(read, sizeBytes, sectorSize);
  const { primary, lastLba } = pair;
  if (typeof primary === "string") {
    const { backup } = pair;
    const table = typeof backup === "string" ? `primary: ${primary}; backup: ${backup}` : backup;
    return { pair, table, backup, endIsTaken: false };
  }
  const { otherLba } = primary;
  if (otherLba === lastLba) return { pair, table: primary, backup: pair.backup, endIsTaken: false };
  if (otherLba > lastLba || otherLba <= primary.lastUsableLba) {
    const backup = `the primary says that it is at LBA ${otherLba}, and the disk ends at ${lastLba}`;
    return { pair, table: primary, backup, endIsTaken: true };
  }
  const isFree = typeof pair.backup !== "string" || isFreeForBackup(read, primary, lastLba);
  return { pair, table: primary, backup: readGptCopy(read, otherLba, sectorSize), endIsTaken: !isFree };
}

/** Whether nothing lies at the disk's end, or only sectors of a backup of this table that a power cut left there. */
function isFreeForBackup(read: ReadAt, primary: GptCopy, lastLba: bigint): boolean {
  const { sectorSize, entries, otherLba } = primary;
  const first = lastLba - sectorsOf(entries.length, sectorSize);
  if (first <= otherLba) return false;
  const header = read(lastLba * BigInt(sectorSize), sectorSize);
  if (!isZero(header) && !String.fromCharCode(...header.subarray(0, 8)).startsWith("EFI PART")) return false;
  const found = withoutBits(read(first * BigInt(sectorSize), entries.length), primary);
  const own = withoutBits(entries, primary);
  for (let at = 0; at < own.length; at += sectorSize) {
    const sector = found.subarray(at, at + sectorSize);
    if (!isZero(sector) && Buffer.compare(sector, own.subarray(at, at + sectorSize)) !== 0) return false;
  }
  return true;
}

function withoutBits(entries: Uint8Array, { entrySize }: GptCopy): Uint8Array {
  const bytes = entries.slice();
  const view = new DataView(bytes.buffer);
  for (let at = 48; at + 8 <= bytes.length; at += entrySize) {
    view.setBigUint64(at, view.getBigUint64(at, true) & ~OURS, true);
  }
  return bytes;
}

/** What the table says of the slots. */
export function gptReading(tables: GptTables, slots: readonly GptSlot[]): StoreReading {
  const { table, pair, backup } = tables;
  if (typeof table === "string") return { condition: "unreadable", view: null, reason: table };
  const entries = new Map(readEntries(table).map((entry) => [entry.number, entry]));
  const found = slots.flatMap((slot) => {
    const entry = entries.get(slot.number);
    return entry === undefined ? [] : [{ slot, bits: bootBits(entry.attributes) }];
  });
  const isWritten = found.some(({ bits }) => bits.priority > 0 || bits.tries > 0 || bits.successful);
  if (!isWritten) return { condition: "empty", view: null, reason: "no slot's partition has priority, tries or success" };
  const ranks = found
    .filter(({ bits }) => bits.priority > 0)
    .sort((one, other) => one.bits.priority - other.bits.priority || other.slot.number - one.slot.number)
    .map(({ slot }) => slot.name);
  const view: StoreView = {
    slots: Object.fromEntries(found.map(({ slot, bits }) => [slot.name, loaderSlot(bits, ranks.indexOf(slot.name) + 1)])),
    nonce: null,
  };
  return { condition: "valid", view, reason: noteOn(pair, backup) };
}

function loaderSlot({ tries, successful, priority }: BootBits, rank: number): LoaderSlot {
  if (priority === 0) return { priority: 0, tries, good: false };
  return successful ? { priority: rank, tries: null, good: true } : { priority: rank, tries, good: null };
}

function noteOn({ primary, lastLba }: GptPair, backup: GptCopy | string): string | null {
  if (typeof primary === "string") return `the primary table is damaged (${primary}); the backup is used`;
  if (typeof backup === "string") return `the backup table is damaged (${backup})`;
  if (backup.lba === lastLba) return null;
  return `the backup table is at LBA ${backup.lba}, not at the last, ${lastLba}; "sgdisk -e" moves it`;
}

/** The bits that make a view true of a slot. */
export function bitsOf(slot: LoaderSlot): BootBits {
  if (isBad(slot)) return { priority: 0, tries: 0, successful: false };
  const { priority, tries, good } = slot;
  const most = (value: number) => Math.min(MOST_IN_ATTRIBUTES, Math.max(0, value));
  // Tries of a successful entry would be counted down by one dialect, and mean nothing to the other.
  return { priority: most(priority), tries: good ? 0 : most(tries ?? MOST_IN_ATTRIBUTES), successful: good === true };
}

/** What {@link gptReading} says of the slots once `view` was written; null where there is no table. */
export function foreseeView(tables: GptTables, view: StoreView, slots: readonly GptSlot[]): StoreView | null {
  const { table } = tables;
  if (typeof table === "string") return null;
  return gptReading({ ...tables, table: { ...table, entries: entriesWith(table, view, slots) } }, slots).view;
}

function entriesWith(table: GptCopy, view: StoreView, slots: readonly GptSlot[]): Uint8Array {
  const entries = table.entries.slice();
  const data = new DataView(entries.buffer);
  const there = new Set(readEntries(table).map(({ number }) => number));
  for (const { name, number } of slots) {
    const said = view.slots[name];
    if (said === undefined || !there.has(number)) continue;
    const at = (number - 1) * table.entrySize + 48;
    data.setBigUint64(at, withBootBits(data.getBigUint64(at, true), bitsOf(said)), true);
  }
  return entries;
}

/**
 * Writes both copies so that the table says `view` of these slots; no stages where it says so already, in both copies. The copy
 * that is damaged, or else the backup, is written first and is durable before the other one is touched: at each instant one of the
 * two is valid. A backup at another place than the disk's last sector stays there; since the kernel looks for one at the end alone,
 * one more is written there before the primary. A string says why it is not written.
 */
export function writeView(tables: GptTables, view: StoreView, slots: readonly GptSlot[]): TableRewrite | string {
  const { table, pair, backup } = tables;
  if (typeof table === "string") return table;
  const entries = entriesWith(table, view, slots);
  const primary = placedCopy(table, entries, {
    lba: 1n,
    otherLba: table.lba === 1n ? table.otherLba : pair.lastLba,
    entriesLba: pair.primaryEntriesLba,
  });
  const place = backupPlace(tables, entries.length);
  if (typeof place === "string") return place;
  const second = changed(placedCopy(table, entries, place), backup, pair.sectorSize);
  const atEnd = { lba: pair.lastLba, otherLba: 1n, entriesLba: pair.lastLba - sectorsOf(entries.length, pair.sectorSize) };
  const third = place.lba === pair.lastLba ? [] : changed(placedCopy(table, entries, atEnd), pair.backup, pair.sectorSize);
  const stages = [[...second, ...third], changed(primary, pair.primary, pair.sectorSize)];
  const ordered = typeof pair.primary === "string" ? stages.reverse() : stages;
  return ordered.filter((stage) => stage.length > 0);
}

interface CopyPlace {
  lba: bigint;
  otherLba: bigint;
  entriesLba: bigint;
}

function backupPlace({ table, backup, pair, endIsTaken }: GptTables, length: number): CopyPlace | string {
  if (endIsTaken) {
    return `there is no room for a backup of the table at LBA ${pair.lastLba}, where the kernel looks for it, and without one it is not safe to write it; "sgdisk -e" makes one`;
  }
  if (typeof backup !== "string" && backup.entries.length === length) {
    return { lba: backup.lba, otherLba: 1n, entriesLba: backup.entriesLba };
  }
  if (typeof table === "string") return table;
  const lba = table.lba === 1n ? table.otherLba : pair.lastLba;
  const entriesLba = lba - sectorsOf(length, pair.sectorSize);
  if (lba > pair.lastLba || entriesLba <= table.lastUsableLba) {
    return `there is no room for a backup of the table at LBA ${lba}, and without one it is not safe to write it; "sgdisk -e" makes one`;
  }
  return { lba, otherLba: 1n, entriesLba };
}

function placedCopy(table: GptCopy, entries: Uint8Array, place: CopyPlace): Piece[] {
  const { lba, otherLba, entriesLba } = place;
  const header = table.header.slice();
  const view = new DataView(header.buffer);
  view.setBigUint64(24, lba, true);
  view.setBigUint64(32, otherLba, true);
  view.setBigUint64(72, entriesLba, true);
  view.setUint32(88, crc32(entries), true);
  view.setUint32(16, 0, true);
  view.setUint32(16, crc32(header.subarray(0, view.getUint32(12, true))), true);
  return piecesOf({ ...place, sectorSize: table.sectorSize }, header, entries);
}

/** Entries in whole sectors, then the header. */
function piecesOf(
  { sectorSize, lba, entriesLba }: Pick<GptCopy, "sectorSize" | "lba" | "entriesLba">,
  header: Uint8Array,
  entries: Uint8Array,
): Piece[] {
  const whole = new Uint8Array(Number(sectorsOf(entries.length, sectorSize)) * sectorSize);
  whole.set(entries);
  const sector = BigInt(sectorSize);
  return [
    { offset: entriesLba * sector, bytes: whole },
    { offset: lba * sector, bytes: header },
  ];
}

/** Of the pieces the sectors that are not on the disk yet, each for itself. */
function changed(pieces: Piece[], before: GptCopy | string, sectorSize: number): Piece[] {
  const known = typeof before === "string" ? [] : piecesOf(before, before.header, before.entries);
  return pieces.flatMap(({ offset, bytes }, index) => {
    const old = known[index]?.offset === offset ? known[index].bytes : null;
    const sectors: Piece[] = [];
    for (let at = 0; at < bytes.length; at += sectorSize) {
      const sector = bytes.subarray(at, at + sectorSize);
      if (old !== null && Buffer.compare(old.subarray(at, at + sectorSize), sector) === 0) continue;
      sectors.push({ offset: offset + BigInt(at), bytes: sector });
    }
    return sectors;
  });
}
