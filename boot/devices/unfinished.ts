/**
 * The partition's filesystem is about to be made: one of the attribute bits 48 to 63, whose meaning is its type's own (UEFI
 * specification 2.10, table 5.6); the Discoverable Partitions Specification and Microsoft's types use 59 to 63. Set before mkfs
 * begins and cleared when the filesystem is on the disk, so that one which the power interrupted is made anew, and nothing that
 * somebody else left half done ever is.
 */
export const UNFINISHED = 1n << 58n;
