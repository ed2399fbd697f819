/** Superblocks of the filesystems that slots, data and media may have: enough to find them by LABEL= and UUID=. */

export type FilesystemType = "ext2" | "ext3" | "ext4" | "xfs" | "btrfs" | "erofs" | "squashfs" | "vfat" | "iso9660";

export interface Superblock {
  type: FilesystemType;
  /** Lower case, as blkid groups it: 8-4-4-4-12, for vfat 4-4, for iso9660 its date. Null where the format has none. */
  uuid: string | null;
  label: string | null;
  /** Bytes of the device that the filesystem says it takes, from its start. */
  size: bigint | null;
}

/** How many bytes from the start of a device {@link readSuperblock} wants: btrfs's superblock is the 4 KiB at 64 KiB. */
export const SUPERBLOCK_BYTES = 0x10000 + 0x1000;

const decoder = new TextDecoder();

function uuidAt(bytes: Uint8Array, offset: number): string | null {
  const hex = bytes.subarray(offset, offset + 16).toHex();
  if (hex === "0".repeat(hex.length)) return null;
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

/** Text up to the first NUL. */
function labelAt(bytes: Uint8Array, offset: number, length: number): string | null {
  const field = bytes.subarray(offset, offset + length);
  const end = field.indexOf(0);
  return decoder.decode(end < 0 ? field : field.subarray(0, end)) || null;
}

function asciiAt(bytes: Uint8Array, offset: number, length: number): string {
  return String.fromCharCode(...bytes.subarray(offset, offset + length));
}

/** Linux, Documentation/filesystems/ext4/super.rst; the features that make it ext2, ext3 or ext4 are util-linux's choice. */
function readExt(bytes: Uint8Array, view: DataView): Superblock | null {
  const start = 1024;
  if (bytes.length < start + 1024 || view.getUint16(start + 0x38, true) !== 0xef53) return null;
  const compatible = view.getUint32(start + 0x5c, true);
  const incompatible = view.getUint32(start + 0x60, true);
  const readOnlyCompatible = view.getUint32(start + 0x64, true);
  const journalDevice = 0x08;
  if (incompatible & journalDevice) return null;
  const hasJournal = (compatible & 0x04) !== 0;
  const fileType = 0x02;
  const needsRecovery = 0x04;
  const metaBlockGroups = 0x10;
  const known = fileType | metaBlockGroups | (hasJournal ? needsRecovery : 0);
  const old = (incompatible & ~known) === 0 && (readOnlyCompatible & ~0x07) === 0;
  const high = incompatible & 0x80 ? view.getUint32(start + 0x150, true) : 0;
  const blocks = (BigInt(high) << 32n) | BigInt(view.getUint32(start + 0x04, true));
  return {
    type: old ? (hasJournal ? "ext3" : "ext2") : "ext4",
    uuid: uuidAt(bytes, start + 0x68),
    label: labelAt(bytes, start + 0x78, 16),
    size: blocks << BigInt(10 + (view.getUint32(start + 0x18, true) & 0x1f)),
  };
}

/**
 * Whether an ext4 superblock says that errors were found on the filesystem, which only its checker takes back: s_state with
 * EXT4_ERROR_FS, or without EXT4_VALID_FS, which stays set while one with a journal is mounted, and which e2fsck clears where it
 * leaves errors. `bytes` as {@link readSuperblock} wants them, of an ext4.
 */
export function extErrors(bytes: Uint8Array): boolean {
  const state = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint16(1024 + 0x3a, true);
  const [valid, error] = [0x01, 0x02];
  return (state & error) !== 0 || (state & valid) === 0;
}

/** Linux, fs/xfs/libxfs/xfs_format.h, struct xfs_dsb: big-endian. */
function readXfs(bytes: Uint8Array, view: DataView): Superblock | null {
  if (bytes.length < 512 || asciiAt(bytes, 0, 4) !== "XFSB") return null;
  return {
    type: "xfs",
    uuid: uuidAt(bytes, 32),
    label: labelAt(bytes, 108, 12),
    size: view.getBigUint64(8, false) * BigInt(view.getUint32(4, false)),
  };
}

/** Linux, include/uapi/linux/btrfs_tree.h, struct btrfs_super_block; the size is this device's own (dev_item). */
function readBtrfs(bytes: Uint8Array, view: DataView): Superblock | null {
  const start = 0x10000;
  if (bytes.length < start + 0x22b || asciiAt(bytes, start + 0x40, 8) !== "_BHRfS_M") return null;
  return {
    type: "btrfs",
    uuid: uuidAt(bytes, start + 0x20),
    label: labelAt(bytes, start + 0x12b, 256),
    size: view.getBigUint64(start + 0xc9 + 8, true),
  };
}

/** Linux, fs/erofs/erofs_fs.h, struct erofs_super_block. */
function readErofs(bytes: Uint8Array, view: DataView): Superblock | null {
  const start = 1024;
  if (bytes.length < start + 128 || view.getUint32(start, true) !== 0xe0f5e1e2) return null;
  const wide = (view.getUint32(start + 80, true) & 0x80) !== 0;
  const high = wide ? view.getUint16(start + 14, true) : 0;
  const blocks = (BigInt(high) << 32n) | BigInt(view.getUint32(start + 36, true));
  return {
    type: "erofs",
    uuid: uuidAt(bytes, start + 48),
    label: labelAt(bytes, start + 64, 16),
    size: blocks << BigInt(view.getUint8(start + 12) & 0x3f),
  };
}

/** Linux, fs/squashfs/squashfs_fs.h, struct squashfs_super_block; version 4 has neither UUID nor label. */
function readSquashfs(bytes: Uint8Array, view: DataView): Superblock | null {
  if (bytes.length < 96 || asciiAt(bytes, 0, 4) !== "hsqs" || view.getUint16(28, true) !== 4) return null;
  return { type: "squashfs", uuid: null, label: null, size: view.getBigUint64(40, true) };
}

/**
 * Microsoft, "FAT: General Overview of On-Disk Format" 1.03. The label is the boot sector's, which mkfs.vfat -n writes;
 * one that was set later in the root directory alone is not seen.
 */
function readVfat(bytes: Uint8Array, view: DataView): Superblock | null {
  if (bytes.length < 512 || view.getUint16(510, true) !== 0xaa55) return null;
  const wide = asciiAt(bytes, 0x52, 8) === "FAT32   ";
  if (!wide && !/^FAT1[26] {3}$/.test(asciiAt(bytes, 0x36, 8))) return null;
  const sector = view.getUint16(0x0b, true);
  if (![512, 1024, 2048, 4096].includes(sector)) return null;
  const extended = wide ? 0x42 : 0x26;
  const serial = view
    .getUint32(extended + 1, true)
    .toString(16)
    .padStart(8, "0");
  const label = asciiAt(bytes, extended + 5, 11).trimEnd();
  return {
    type: "vfat",
    uuid: `${serial.slice(0, 4)}-${serial.slice(4)}`,
    label: label === "" || label === "NO NAME" ? null : label,
    size: BigInt(view.getUint16(0x13, true) || view.getUint32(0x20, true)) * BigInt(sector),
  };
}

/**
 * ECMA-119 (ISO 9660) 8.4, the primary volume descriptor, which every disc has as its first, in the 2 KiB sector 16. What stands for
 * a UUID is the date of the last change, else that of making (8.4.26), as blkid has it.
 */
function readIso9660(bytes: Uint8Array, view: DataView): Superblock | null {
  const start = 16 * 2048;
  const primary = 1;
  if (bytes.length < start + 2048 || asciiAt(bytes, start + 1, 5) !== "CD001" || bytes[start] !== primary) return null;
  const block = view.getUint16(start + 128, true);
  const dates = [asciiAt(bytes, start + 830, 16), asciiAt(bytes, start + 813, 16)];
  const date = dates.find((digits) => /^[0-9]{16}$/.test(digits) && !/^0*$/.test(digits)) ?? null;
  return {
    type: "iso9660",
    uuid: date === null ? null : date.replace(/^(....)(..)(..)(..)(..)(..)(..)$/, "$1-$2-$3-$4-$5-$6-$7"),
    label: asciiAt(bytes, start + 40, 32).replace(/[ \0]+$/, "") || null,
    size: BigInt(view.getUint32(start + 80, true)) * BigInt(block),
  };
}

/** The filesystem that starts at `bytes`, the first {@link SUPERBLOCK_BYTES} of a device, or all of a smaller one; null: none known. */
export function readSuperblock(bytes: Uint8Array): Superblock | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (const read of [readSquashfs, readErofs, readXfs, readBtrfs, readExt, readVfat, readIso9660]) {
    const superblock = read(bytes, view);
    if (superblock) return superblock;
  }
  return null;
}
