/** Structures that the kernel fills, little endian. Sources: include/uapi/linux/stat.h, asm-generic/statfs.h, dirent64. */
import type { Descriptor, DeviceNumber, DirectoryEntry, FileKind, FileStatus, FilesystemStatus, Path } from "./kernel.ts";

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

/** Inode of a subvolume's root directory: BTRFS_FIRST_FREE_OBJECTID. */
export const SUBVOLUME_INODE = 256n;

/** struct btrfs_ioctl_vol_args: fd, name[4088]. */
export function subvolumeArguments(name: Path): Uint8Array<ArrayBuffer> {
  return namedArguments(name, 8);
}

/** struct btrfs_ioctl_vol_args_v2: fd, transid, flags, 32 bytes, name[4040]. `source` is the subvolume to take. */
export function snapshotArguments(source: Descriptor, name: Path): Uint8Array<ArrayBuffer> {
  const bytes = namedArguments(name, 56);
  new DataView(bytes.buffer).setBigInt64(0, BigInt(source), true);
  return bytes;
}

function namedArguments(name: Path, offset: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(new ArrayBuffer(4096));
  const text = typeof name === "string" ? new TextEncoder().encode(name) : name;
  // The names of slipway's own are short, and no name of a file is longer than 255 bytes.
  bytes.set(text.subarray(0, 255), offset);
  return bytes;
}

/** How many subvolumes lie directly in one: num_items of struct btrfs_ioctl_get_subvol_rootref_args, 4096 bytes. */
export function subvolumeChildren(bytes: Uint8Array<ArrayBuffer>): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint8(8 + 255 * 16);
}

/** lo_flags, linux/loop.h. */
export const LOOP_FLAG = { READ_ONLY: 1, AUTOCLEAR: 4, DIRECT_IO: 16 } as const;

/** Where struct loop_config has its parts: fd, block_size, then struct loop_info64 from byte 8 on. */
const LOOP_CONFIG = { length: 304, flags: 60, name: 64, longestName: 63 } as const;

/** struct loop_config for the whole of an open file. */
export function loopConfiguration(file: Descriptor, flags: number, name: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(new ArrayBuffer(LOOP_CONFIG.length));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, file, true);
  view.setUint32(LOOP_CONFIG.flags, flags, true);
  bytes.set(new TextEncoder().encode(name).subarray(0, LOOP_CONFIG.longestName), LOOP_CONFIG.name);
  return bytes;
}

/** What {@link loopConfiguration} was given. */
export function readLoopConfiguration(bytes: Uint8Array<ArrayBuffer>): { file: Descriptor; flags: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return { file: view.getUint32(0, true), flags: view.getUint32(LOOP_CONFIG.flags, true) };
}

/** struct loop_info64, for the kernel to fill. */
export function loopStatusBuffer(): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new ArrayBuffer(232));
}

/** Which file lies under a loop device: lo_device, as the kernel codes numbers for user space, and lo_inode. */
export function readLoopStatus(bytes: Uint8Array<ArrayBuffer>): { device: DeviceNumber; inode: bigint } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const coded = view.getUint32(0, true);
  const device = { major: (coded >>> 8) & 0xfff, minor: (coded & 0xff) | ((coded >>> 12) & 0xfff00) };
  return { device, inode: view.getBigUint64(8, true) };
}
