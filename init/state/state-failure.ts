import { KernelError } from "../kernel/kernel.ts";

/** A declared path could not be laid. The message names the operator's origin, the path, what failed and the remedy. */
export class StateFailure extends Error {
  override readonly name = "StateFailure";

  constructor(
    /** "/var/lib/app" */
    readonly path: string,
    /** What failed and the remedy, without the path. */
    readonly reason: string,
    origin: string,
  ) {
    super(`state ${path} (${origin}): ${reason}`);
  }
}

/** What failed, and what somebody can do about it. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof KernelError)) return error instanceof Error ? error.message : String(error);
  return `${error.message}; ${remedies[error.code] ?? "check the data filesystem with fsck"}`;
}

const remedies: Record<string, string> = {
  ELOOP: "a symbolic link lies in the path, and none is followed; remove it",
  EXDEV: "the path leads out of its filesystem; remove what leads there",
  ENOTDIR: "something else is in the place of a directory; move it away",
  EINVAL: "something of another kind is in its place, or the kernel does not know the mount's options",
  EPERM: "it may be immutable (chattr +i), or the kernel forbids it",
  EACCES: "a device or a program is in its place, or the kernel forbids it",
  EISDIR: "a directory is in the place of a file; move it away",
  EBUSY: "something is mounted there",
  E2BIG: "an attribute is larger than its filesystem takes; remove it",
  ENAMETOOLONG: "a name there is longer than the kernel takes; rename it",
  EIO: "its device or filesystem is damaged; check it with fsck",
  EUCLEAN: "the data filesystem is damaged; check it with fsck",
  ENOSPC: "its filesystem is full; delete what is not needed there, or make it larger",
  EDQUOT: "a quota of the data filesystem is used up; raise it",
  EROFS: "the data filesystem is read-only; check it with fsck",
  ENOENT: "a part of the path is missing",
  ENODEV: "the kernel has no such filesystem; add its module to the initrd",
  ENOMEM: "too little memory",
  EMFILE: "the directories are too deep to be copied; flatten them",
};
