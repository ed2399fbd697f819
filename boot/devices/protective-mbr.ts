/** The MBR that keeps old programs away from a GPT: UEFI specification 2.10, chapter 5.2.3. Numbers are little-endian. */

/**
 * What the first 512 bytes of a disk are. `protective`: one entry, for the whole disk; the kernel reads the GPT. `hybrid`: others
 * beside it; the kernel reads the GPT as well. `none`: no partition, so that the kernel does not even look for a GPT. `foreign`:
 * partitions of its own, or a filesystem's boot sector.
 */
export type MbrKind = "protective" | "hybrid" | "none" | "foreign";

const ENTRIES = 446;
const ENTRY_BYTES = 16;
const PROTECTS = 0xee;

interface MbrEntry {
  at: number;
  type: number;
  firstLba: number;
}

function entriesOf(sector: Uint8Array): MbrEntry[] {
  const view = new DataView(sector.buffer, sector.byteOffset, sector.byteLength);
  return [0, 1, 2, 3].map((index) => {
    const at = ENTRIES + ENTRY_BYTES * index;
    return { at, type: view.getUint8(at + 4), firstLba: view.getUint32(at + 8, true) };
  });
}

/** What `sector`, at least the first 512 bytes of a disk, is. As the kernel judges it: block/partitions/efi.c, is_pmbr_valid. */
export function mbrKind(sector: Uint8Array): MbrKind {
  if (sector.length < 512 || sector[510] !== 0x55 || sector[511] !== 0xaa) return "none";
  const used = entriesOf(sector).filter(({ type }) => type !== 0);
  if (used.length === 0) return "none";
  if (!used.some(({ type, firstLba }) => type === PROTECTS && firstLba === 1)) return "foreign";
  return used.length === 1 ? "protective" : "hybrid";
}

/**
 * The first sector of a disk of `sectors` sectors with a GPT. Boot code and disk signature of `present` are kept, and all of a
 * hybrid one. Null: it is foreign, and must not be written over.
 */
export function protectiveMbr(present: Uint8Array, sectors: bigint): Uint8Array | null {
  const kind = mbrKind(present);
  if (kind === "foreign") return null;
  const sector = present.slice();
  if (kind === "hybrid") return sector;
  const signed = present[510] === 0x55 && present[511] === 0xaa;
  // What is no MBR at all has no boot code to keep.
  if (!signed) sector.fill(0);
  const view = new DataView(sector.buffer);
  const at = entriesOf(sector).find(({ type }) => type === PROTECTS)?.at ?? ENTRIES;
  if (kind === "none") {
    sector.fill(0, ENTRIES, 510);
    sector.set([0x00, 0x00, 0x02, 0x00, PROTECTS, 0xff, 0xff, 0xff], at);
    view.setUint32(at + 8, 1, true);
  }
  view.setUint32(at + 12, Number(sectors - 1n > 0xffffffffn ? 0xffffffffn : sectors - 1n), true);
  sector.set([0x55, 0xaa], 510);
  return sector;
}
