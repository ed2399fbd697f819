/** Where a filesystem says what it is: what a slot must not have while its image is not whole. */
import type { FilesystemType } from "../devices/superblock.ts";

/**
 * Blocks in which a filesystem's superblock lies, so that zeros in them leave nothing to mount: erofs, squashfs, ext4 and xfs
 * have theirs in the first, btrfs at 64 KiB. They are written last, and nothing is copied from where they lie.
 */
export const HEAD_BLOCKS: readonly number[] = [0, 16];

/** What a disk writes whole or not at all, bytes. */
export const SECTOR = 512;

/** Offset of the sector with the magic number: without it nobody takes the rest for a filesystem. */
const MAGIC_SECTORS: Record<FilesystemType, number> = {
  erofs: 1024,
  ext2: 1024,
  ext3: 1024,
  ext4: 1024,
  squashfs: 0,
  xfs: 0,
  vfat: 0,
  btrfs: 65536,
  iso9660: 32768,
};

/** Offset of the sector that is written last of an image's data: {@link SECTOR} bytes, of an image within one of {@link HEAD_BLOCKS}. */
export function magicSector(filesystem: FilesystemType): number {
  return MAGIC_SECTORS[filesystem];
}
