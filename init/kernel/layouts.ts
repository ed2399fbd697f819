/** Structures that the kernel fills, little endian. Sources: include/uapi/linux/stat.h, asm-generic/statfs.h, dirent64. */
import type { DirectoryEntry, FileKind, FileStatus, FilesystemStatus } from "./kernel.ts";

/** STATX_BASIC_STATS. */
export const STATX_BASIC = 0x7ff;

/** By the four bits of st_mode above the permissions, which are also the values of dirent64's d_type. */
const kinds = new Map<number, FileKind>([
  [1, "fifo"],
  [2, "character"],
  [4, "directory"],
  [6, "block"],
  [8, "file"],
  [10, "symlink"],
  [12, "socket"],
]);

/** struct statx, 256 bytes. */
export function fileStatus(bytes: Uint8Array<ArrayBuffer>): FileStatus {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const mode = view.getUint16(0x1c, true);
  const time = (offset: number) => view.getBigInt64(offset, true) * 1_000_000_000n + BigInt(view.getUint32(offset + 8, true));
  return {
    kind: kinds.get(mode >> 12) ?? "file",
    mode: mode & 0o7777,
    links: view.getUint32(0x10, true),
    owner: view.getUint32(0x14, true),
    group: view.getUint32(0x18, true),
    inode: view.getBigUint64(0x20, true),
    size: view.getBigUint64(0x28, true),
    allocated: view.getBigUint64(0x30, true) * 512n,
    accessed: time(0x40),
    modified: time(0x70),
    node: { major: view.getUint32(0x80, true), minor: view.getUint32(0x84, true) },
    device: { major: view.getUint32(0x88, true), minor: view.getUint32(0x8c, true) },
  };
}

/** struct statfs of 64-bit machines, 120 bytes. */
export function filesystemStatus(bytes: Uint8Array<ArrayBuffer>): FilesystemStatus {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    magic: Number(view.getBigUint64(0, true) & 0xffffffffn),
    blockSize: Number(view.getBigUint64(8, true)),
    blocks: view.getBigUint64(16, true),
    available: view.getBigUint64(32, true),
    inodes: view.getBigUint64(40, true),
    inodesFree: view.getBigUint64(48, true),
  };
}

/** The entries in one buffer of getdents64(2), without "." and "..". Filesystems that tell no kind are asked by name. */
export function directoryEntries(
  bytes: Uint8Array<ArrayBuffer>,
  length: number,
  kindOf: (name: Uint8Array) => FileKind,
): DirectoryEntry[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const entries: DirectoryEntry[] = [];
  for (let offset = 0; offset < length; offset += view.getUint16(offset + 16, true)) {
    const start = offset + 19;
    const name = bytes.slice(start, bytes.indexOf(0, start));
    const dots = name.length <= 2 && name.every((byte) => byte === 0x2e);
    if (!dots) entries.push({ name, kind: kinds.get(view.getUint8(offset + 18)) ?? kindOf(name) });
  }
  return entries;
}
