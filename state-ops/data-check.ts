/** The data filesystems' own checkers: how each is asked to repair what it can unattended, and what its answer means. */
import type { DataFilesystem } from "./control.ts";

/** How a child ended: its exit code, or the signal that killed it. */
export interface CheckEnd {
  exitCode: number | null;
  signal: number | null;
}

/**
 * `clean`: there are no errors. `repaired`: all that was found was put right. `left`: damage is there, or the checker could
 * not tell.
 */
export interface CheckVerdict {
  result: "clean" | "repaired" | "left";
  /** What it found, without its name: "errors are left that it does not repair unattended (exit 4)". */
  text: string;
}

export interface Checker {
  /** "e2fsck" */
  name: string;
  /** Where the initrd may have it. */
  programs: string[];
  /** Without the program's name. */
  words(device: string): string[];
  judge(end: CheckEnd): CheckVerdict;
}

function places(name: string): string[] {
  return [`/usr/sbin/${name}`, `/usr/bin/${name}`];
}

function killed({ signal }: CheckEnd): CheckVerdict {
  return { result: "left", text: `it was killed by signal ${signal}` };
}

/**
 * e2fsck(8), EXIT CODE: a sum. 2 asks for a reboot where the filesystem was mounted meanwhile, which ours never is; 0 is there
 * after a few small repairs too. -p repairs what cannot lose anything and gives up on all else, with a mark in the superblock so
 * that the next boot asks again; -f looks even where the superblock says that all is well.
 */
const e2fsck: Checker = {
  name: "e2fsck",
  programs: places("e2fsck"),
  words: (device) => ["-p", "-f", device],
  judge(end) {
    const code = end.exitCode;
    if (code === null) return killed(end);
    if (code === 0) return { result: "clean", text: "no errors are left" };
    if (code <= 3) return { result: "repaired", text: "it put right what it found" };
    const meanings = [
      ...(code & 4 ? ["errors are left that it does not repair unattended"] : []),
      ...(code & 8 ? ["it could not work"] : []),
      ...(code & 16 ? ["it did not understand its arguments"] : []),
      ...(code & 32 ? ["it was cancelled"] : []),
      ...(code & 128 ? ["a shared library is missing"] : []),
    ];
    return { result: "left", text: `${meanings.join(", ") || "nobody knows what it means"} (exit ${code})` };
  },
};

/** xfs_repair(8), EXIT STATUS. Never with -L: that throws the log away, and what was written last with it. */
const xfsRepair: Checker = {
  name: "xfs_repair",
  programs: places("xfs_repair"),
  words: (device) => ["-e", device],
  judge(end) {
    if (end.exitCode === null) return killed(end);
    if (end.exitCode === 0) return { result: "clean", text: "it found nothing" };
    if (end.exitCode === 4) return { result: "repaired", text: "it put right what it found" };
    if (end.exitCode === 2) {
      return { result: "left", text: "the log cannot be replayed, and dropping it (xfs_repair -L) is left to somebody (exit 2)" };
    }
    return { result: "left", text: `it could not repair it (exit ${end.exitCode})` };
  },
};

/** btrfs-check(8): its repair is dangerous by its own words, so it only looks. */
const btrfsCheck: Checker = {
  name: "btrfs",
  programs: places("btrfs"),
  words: (device) => ["check", "--readonly", device],
  judge(end) {
    if (end.exitCode === null) return killed(end);
    if (end.exitCode === 0) return { result: "clean", text: "check --readonly found nothing" };
    return { result: "left", text: `check --readonly found errors, and repairs nothing (exit ${end.exitCode})` };
  },
};

export const CHECKERS: Record<DataFilesystem, Checker> = { ext4: e2fsck, xfs: xfsRepair, btrfs: btrfsCheck };

/** What to do in an initrd that has not the checker. */
export function missingChecker({ name, programs }: Checker): string {
  const path = programs[name === "btrfs" ? 1 : 0];
  return `the initrd has no ${name} to repair it: add it with slipway initrd build --extra ${path}=${path}`;
}

/** What a refused mount of the data filesystem means, by the kernel's error; each names the remedy. */
const MEANINGS: Record<string, string> = {
  ENODEV: "the kernel has no such filesystem; add its module to the initrd",
  ENOMEM: "too little memory",
  EACCES: "the device is write-protected; unlock the disk, or replace it",
  EROFS: "it can only be read; unlock the disk, or use a kernel that knows its features",
  EPERM: "the kernel forbids it",
  EBUSY: "it is in use",
  ENXIO: "the disk is gone",
  ENOTBLK: "it is no block device",
  EOPNOTSUPP: "it has features that this kernel does not know",
  ENOSPC: "it is full; delete what is not needed there, or make it larger",
  EIO: "the disk fails, or its journal is damaged",
  EINVAL: "its superblock is damaged, or has features that this kernel does not know",
  EUCLEAN: "it is damaged",
  EBADMSG: "it is damaged",
  ENOTDIR: "something else is in the place of a directory; move it away",
  ELOOP: "a link is in the place of a directory; remove it",
};

/** Errors that no checker can help with. */
const NO_DAMAGE = new Set([
  "ENODEV",
  "ENOMEM",
  "EACCES",
  "EROFS",
  "EPERM",
  "EBUSY",
  "ENXIO",
  "ENOTBLK",
  "EOPNOTSUPP",
  "ENOSPC",
  "EDQUOT",
]);

/** A call of the kernel that failed on the data filesystem: "mount", what it named, and "EUCLEAN". */
export interface FailedCall {
  call: string;
  message: string;
  code: string;
}

/** What the failure tells somebody. `device` is the data partition's. */
export function failureOn(device: string, { call, message, code }: FailedCall): string {
  const what =
    call === "mount" ? `${device} cannot be mounted (${code})` : message.includes(device) ? message : `${device}: ${message}`;
  const meaning = MEANINGS[code];
  return meaning === undefined ? what : `${what}: ${meaning}`;
}

/** Whether the filesystem may be damaged. What stands in another's place on a mounted one is no damage. */
export function mayBeDamage({ call, code }: FailedCall): boolean {
  return call === "mount" ? !NO_DAMAGE.has(code) : code === "EUCLEAN" || code === "EBADMSG" || code === "EIO";
}
