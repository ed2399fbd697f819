/**
 * What is written down of the kernel's interface, against the kernel's own headers: of this machine, and of the other
 * architecture where its cross compiler is installed (npm run build -- --arch).
 */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { ARCHITECTURE, type Architecture, architectures } from "../../boot/architecture.ts";
import {
  BLKPG,
  FILESYSTEM_MAGIC,
  IOCTL,
  MNT,
  MS,
  NETLINK,
  openFlags,
  RESOLVE,
  RLIMIT,
  SIGNAL,
  SO,
  SOL,
} from "../../init/kernel/constants.ts";
import { FLASH_TYPE } from "../../init/kernel/flash-layouts.ts";
import { KEXEC_FILE_NO_INITRAMFS, KEXEC_FILE_UNLOAD, REBOOT, RESTART2 } from "../../init/kernel/linux.ts";
import { SYSTEM_CALLS } from "../../init/kernel/syscall.ts";
import { ownArchitecture } from "../../init/version.ts";
import { runProgram } from "../../qemu/program.ts";

/** Expressions of C, and what each is taken to be. */
type Expected = Record<string, number>;

const headers = [
  "stddef.h",
  ...["asm/unistd.h", "asm/fcntl.h", "asm/signal.h", "asm/resource.h", "asm/socket.h", "asm/ioctls.h", "asm/termbits.h"],
  ...["asm/statfs.h", "linux/stat.h", "linux/mount.h", "linux/openat2.h", "linux/fs.h", "linux/btrfs.h", "linux/loop.h"],
  ...["linux/dm-ioctl.h", "linux/watchdog.h", "linux/blkpg.h", "linux/netlink.h", "linux/magic.h", "linux/errno.h"],
  ...["linux/reboot.h", "linux/kexec.h", "mtd/mtd-abi.h"],
];

const prefixed = (prefix: string, values: Record<string, number>): Expected =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [`${prefix}${name}`, value]));

/** Kernels have these in no header for user space. */
const { EXT4_IOC_RESIZE_FS: _resize, XFS_IOC_FSGEOMETRY_V1: _geometry, XFS_IOC_FSGROWFSDATA: _grow, ...ioctls } = IOCTL;

/** umount2(2)'s are in no header for user space either, but for glibc's sys/mount.h. */
assert.equal(MNT, { FORCE: 1, DETACH: 2, EXPIRE: 4, NOFOLLOW: 8 });

function expectedOf(architecture: Architecture): Expected {
  const column = architecture === "arm64" ? 1 : 0;
  const calls = Object.entries(SYSTEM_CALLS).map(([name, numbers]): [string, number] => [`__NR_${name}`, numbers[column]]);
  return {
    ...Object.fromEntries(calls),
    ...prefixed("O_", openFlags(architecture)),
    ...prefixed("MS_", MS),
    ...prefixed("RESOLVE_", RESOLVE),
    ...Object.fromEntries(Object.entries(ioctls).map(([name, value]) => [name.replace(/^BTRFS_(?!IOC_)/, "BTRFS_IOC_"), value])),
    ...prefixed("NETLINK_", NETLINK),
    SOL_SOCKET: SOL.SOCKET,
    ...prefixed("SO_", SO),
    ...prefixed("SIG", SIGNAL),
    ...prefixed("RLIMIT_", RLIMIT),
    ...{ BLKPG: BLKPG.ioctl, BLKPG_ADD_PARTITION: BLKPG.op.add, BLKPG_RESIZE_PARTITION: BLKPG.op.resize },
    ...{
      LINUX_REBOOT_CMD_RESTART: REBOOT.restart,
      LINUX_REBOOT_CMD_RESTART2: RESTART2,
      LINUX_REBOOT_CMD_POWER_OFF: REBOOT["power-off"],
    },
    ...{ LINUX_REBOOT_CMD_HALT: REBOOT.halt, LINUX_REBOOT_CMD_KEXEC: REBOOT.kexec },
    ...{ KEXEC_FILE_NO_INITRAMFS, KEXEC_FILE_UNLOAD },
    ...{ RAMFS_MAGIC: FILESYSTEM_MAGIC.ramfs, TMPFS_MAGIC: FILESYSTEM_MAGIC.tmpfs },
    ...{ OVERLAYFS_SUPER_MAGIC: FILESYSTEM_MAGIC.overlay, BTRFS_SUPER_MAGIC: FILESYSTEM_MAGIC.btrfs },
    ...prefixed("MTD_", FLASH_TYPE),
    // Structures, as init/kernel/layouts.ts and linux*.ts lay them out.
    ...{ "sizeof(struct statx)": 256, "sizeof(struct statfs)": 120, "sizeof(struct open_how)": 24 },
    ...{ "sizeof(struct loop_config)": 304, "sizeof(struct loop_info64)": 232, "sizeof(struct dm_ioctl)": 312 },
    ...{ "sizeof(struct btrfs_ioctl_vol_args)": 4096, "sizeof(struct btrfs_ioctl_vol_args_v2)": 4096 },
    ...{ "sizeof(struct sigaction)": 32, "sizeof(struct termios)": 36, "sizeof(struct blkpg_partition)": 152 },
    ...{ "sizeof(struct mtd_info_user)": 32, "offsetof(struct mtd_info_user, erasesize)": 12 },
    ...{ "offsetof(struct mtd_info_user, size)": 8, "sizeof(struct erase_info_user)": 8 },
    ...{ "offsetof(struct statx, stx_mode)": 0x1c, "offsetof(struct statx, stx_mtime)": 0x70 },
    ...{ "offsetof(struct statx, stx_rdev_major)": 0x80, "offsetof(struct statfs, f_bavail)": 32 },
    ...{ "offsetof(struct loop_config, info.lo_flags)": 60, "offsetof(struct loop_config, info.lo_file_name)": 64 },
    ...{ "offsetof(struct termios, c_lflag)": 12, "offsetof(struct termios, c_cc)": 17, NCCS: 19 },
  };
}

/** What a compiler makes of constant expressions: it writes them into its assembly, and nothing of it is run. */
async function evaluated(compiler: string, includes: string[], expressions: string[]): Promise<Expected> {
  const source = [
    ...includes.map((header) => `#include <${header}>`),
    "void f(void) {",
    ...expressions.map((text, index) => `__asm__ volatile("VALUE ${index} %0" : : "i"((long)(${text})));`),
    "}",
  ].join("\n");
  const said = await runProgram(compiler, ["-S", "-x", "c", "-o", "-", "-"], { input: source });
  return Object.fromEntries(
    [...said.matchAll(/VALUE (\d+) [$#]?(-?\d+)/g)].map(([, index, value]) => [expressions[Number(index)] ?? "", Number(value)]),
  );
}

for (const architecture of architectures) {
  const compiler = architecture === ownArchitecture ? "gcc" : `${ARCHITECTURE[architecture].gnu}-linux-gnu-gcc`;
  const there = Bun.which(compiler) !== null;
  const other = architecture === ownArchitecture || there ? test : test.skip;

  other(`${architecture}: system calls, flags, ioctls and structures are those of the kernel's headers`, async () => {
    const expected = expectedOf(architecture);
    assert.ok(Object.keys(expected).length > 120);
    assert.equal(await evaluated(compiler, headers, Object.keys(expected)), expected);
  });

  other(`${architecture}: posix_spawn's attributes and actions fit into what is set aside for them`, async () => {
    const sizes = ["sizeof(posix_spawnattr_t)", "sizeof(posix_spawn_file_actions_t)", "sizeof(sigset_t)"];
    const expected = { [sizes[0] ?? ""]: 336, [sizes[1] ?? ""]: 80, [sizes[2] ?? ""]: 128, POSIX_SPAWN_SETSIGDEF: 4 };
    // Without the C library's headers for the other architecture there is nothing to compare with.
    const has = await runProgram(compiler, ["-E", "-x", "c", "-o", "/dev/null", "-"], { input: "#include <spawn.h>\n" }).then(
      () => true,
      () => false,
    );
    if (has || architecture === ownArchitecture) {
      assert.equal(await evaluated(compiler, ["spawn.h"], Object.keys(expected)), expected);
    }
  });
}

test("a number that is wrong would be found", async () => {
  assert.equal(await evaluated("gcc", headers, ["O_CREAT", "sizeof(struct statx)"]), {
    O_CREAT: 64,
    "sizeof(struct statx)": 256,
  });
  assert.is.not(openFlags("arm64").DIRECTORY, openFlags("x86-64").DIRECTORY);
});

test.run();
