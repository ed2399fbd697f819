/** Numbers of Linux's user-space interface, the same on x86-64 and arm64 but for what says otherwise. Sources: include/uapi/linux. */
import type { Architecture } from "../../boot/architecture.ts";
import { ownArchitecture } from "../version.ts";

/** open(2), asm-generic/fcntl.h; asm/fcntl.h of arm64 has some of its own. */
export function openFlags(architecture: Architecture) {
  const arm = architecture === "arm64";
  return {
    RDONLY: 0,
    WRONLY: 1,
    RDWR: 2,
    CREAT: 0o100,
    EXCL: 0o200,
    NOCTTY: 0o400,
    TRUNC: 0o1000,
    APPEND: 0o2000,
    NONBLOCK: 0o4000,
    DSYNC: 0o10000,
    DIRECT: arm ? 0o200000 : 0o40000,
    DIRECTORY: arm ? 0o40000 : 0o200000,
    NOFOLLOW: arm ? 0o100000 : 0o400000,
    CLOEXEC: 0o2000000,
    PATH: 0o10000000,
    /** A file without a name, in a directory: __O_TMPFILE and O_DIRECTORY. */
    TMPFILE: 0o20000000 | (arm ? 0o40000 : 0o200000),
  } as const;
}

/** Those of this machine. */
export const O = openFlags(ownArchitecture);

/** openat2(2), linux/openat2.h. */
export const RESOLVE = { NO_XDEV: 0x01, NO_MAGICLINKS: 0x02, NO_SYMLINKS: 0x04, BENEATH: 0x08, IN_ROOT: 0x10 } as const;

/** mount(2), linux/mount.h. */
export const MS = {
  RDONLY: 1,
  NOSUID: 2,
  NODEV: 4,
  NOEXEC: 8,
  SYNCHRONOUS: 16,
  REMOUNT: 32,
  DIRSYNC: 128,
  NOSYMFOLLOW: 256,
  NOATIME: 1024,
  BIND: 4096,
  MOVE: 8192,
  REC: 16384,
  SILENT: 32768,
  PRIVATE: 1 << 18,
  SHARED: 1 << 20,
  RELATIME: 1 << 21,
  STRICTATIME: 1 << 24,
} as const;

/** umount2(2). */
export const MNT = { FORCE: 1, DETACH: 2, EXPIRE: 4, NOFOLLOW: 8 } as const;

/** ioctl(2) requests. */
export const IOCTL = {
  /** linux/fs.h */
  BLKROSET: 0x125d,
  BLKROGET: 0x125e,
  /** Reads the partition table again; refused (EBUSY) while one of its partitions is in use. */
  BLKRRPART: 0x125f,
  BLKGETSIZE64: 0x80081272,
  FICLONE: 0x40049409,
  FS_IOC_GETFLAGS: 0x80086601,
  FS_IOC_SETFLAGS: 0x40086602,
  /** fs/ext4/ext4.h, Documentation/filesystems/ext4: the new size in blocks, 64 bits. */
  EXT4_IOC_RESIZE_FS: 0x40086610,
  /** fs/xfs/libxfs/xfs_fs.h */
  XFS_IOC_FSGEOMETRY_V1: 0x80705864,
  XFS_IOC_FSGROWFSDATA: 0x4010586e,
  /** linux/btrfs.h */
  BTRFS_IOC_RESIZE: 0x50009403,
  BTRFS_SUBVOL_CREATE: 0x5000940e,
  BTRFS_SNAP_DESTROY: 0x5000940f,
  BTRFS_SNAP_CREATE_V2: 0x50009417,
  BTRFS_GET_SUBVOL_ROOTREF: 0xd000943d,
  /** linux/loop.h */
  LOOP_CTL_GET_FREE: 0x4c82,
  LOOP_CONFIGURE: 0x4c0a,
  LOOP_CLR_FD: 0x4c01,
  LOOP_GET_STATUS64: 0x4c05,
  /** linux/dm-ioctl.h */
  DM_DEV_CREATE: 0xc138fd03,
  DM_DEV_REMOVE: 0xc138fd04,
  DM_DEV_SUSPEND: 0xc138fd06,
  DM_TABLE_LOAD: 0xc138fd09,
  DM_TABLE_STATUS: 0xc138fd0c,
  DM_GET_TARGET_VERSION: 0xc138fd11,
  /** mtd/mtd-abi.h: flash, /dev/mtdN. */
  MEMGETINFO: 0x80204d01,
  MEMERASE: 0x40084d02,
  MEMLOCK: 0x40084d05,
  MEMUNLOCK: 0x40084d06,
  MEMISLOCKED: 0x80084d17,
  /** asm-generic/ioctls.h: terminals. */
  TCGETS: 0x5401,
  TCSETS: 0x5402,
  TCFLSH: 0x540b,
  TIOCOUTQ: 0x5411,
  TIOCGWINSZ: 0x5413,
  /** linux/watchdog.h */
  WDIOC_SETTIMEOUT: 0xc0045706,
  WDIOC_KEEPALIVE: 0x80045705,
  WDIOC_GETSUPPORT: 0x80285700,
} as const;

/** socket(2) families, linux/socket.h. */
export const AF = { INET: 2, INET6: 10, NETLINK: 16, PACKET: 17 } as const;

/** socket(2) types, linux/net.h. */
export const SOCK = { DGRAM: 2, RAW: 3 } as const;

/** Netlink's protocols, linux/netlink.h. */
export const NETLINK = { ROUTE: 0, KOBJECT_UEVENT: 15 } as const;

/** setsockopt(2) levels and options: asm-generic/socket.h, linux/netlink.h. */
export const SOL = { SOCKET: 1, NETLINK: 270 } as const;
export const SO = { RCVBUF: 8, ATTACH_FILTER: 26, RCVBUFFORCE: 33 } as const;

/** linux/blkpg.h */
export const BLKPG = { ioctl: 0x1269, op: { add: 1, resize: 3 } } as const;

/** Signals that matter here, asm-generic/signal.h. */
export const SIGNAL = { INT: 2, KILL: 9, PIPE: 13, TERM: 15, CHLD: 17, XFSZ: 25 } as const;

/** prlimit64(2) resources, asm-generic/resource.h. */
export const RLIMIT = { NOFILE: 7 } as const;

/** statfs(2) magics, linux/magic.h. */
export const FILESYSTEM_MAGIC = {
  ramfs: 0x858458f6,
  tmpfs: 0x01021994,
  overlay: 0x794c7630,
  btrfs: 0x9123683e,
  efivarfs: 0xde5e81e4,
} as const;
