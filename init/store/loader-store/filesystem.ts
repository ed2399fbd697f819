/** The filesystem of a bootloader's files: mounted where nobody else sees it, for one look or change. */
import { type FilesystemType, readSuperblock, SUPERBLOCK_BYTES } from "../../../boot/devices/superblock.ts";
import { RUN } from "../../../boot/report.ts";
import { MNT, MS, O } from "../../kernel/constants.ts";
import { makeDirectories, withOpen } from "../../kernel/files.ts";
import { type Descriptor, type Kernel, KernelError } from "../../kernel/kernel.ts";
import { isCode, openBeneath, withDescriptor } from "../../state/beneath.ts";
import type { StoreDesk } from "./loader-store.ts";

/** Filesystems that a bootloader reads and whose files keep their blocks when they are written in place. */
const KNOWN = ["vfat", "ext4"];

const HARMLESS = MS.NOSUID | MS.NODEV | MS.NOEXEC | MS.NOATIME;

/** The store cannot be reached: why, with the remedy. */
export class StoreFailure extends Error {}

/**
 * Mounts the filesystem on `device`, for writing where `writable`, hands its root to `use`, and takes the mount away. Where the
 * system has it mounted read-only it is made writable for as long as that takes; nobody else can write there meanwhile.
 *
 * @throws StoreFailure where it cannot be mounted; what `use` throws
 */
export function withStoreFilesystem<Result>(
  desk: StoreDesk,
  device: string,
  writable: boolean,
  use: (root: Descriptor) => Result,
): Result {
  const { kernel } = desk;
  const type = typeOn(kernel, device);
  desk.loadForFilesystem(type);
  if (desk.look) return desk.look(device, type, use);
  const place = `${RUN.directory}/loader-${kernel.processId()}`;
  const before = told(device, () => {
    if (kernel.processId() !== 1) kernel.privateMounts();
    makeDirectories(kernel, place, 0o700);
    return mountEitherWay(kernel, device, place, type, writable);
  });
  const looked = () => withDescriptor(kernel, () => kernel.open(place, O.RDONLY | O.DIRECTORY | O.NOFOLLOW), use);
  const asBefore = () => {
    // The filesystem is one, however often it is mounted: what was read-only before is so again.
    if (before === "made writable") kernel.mount("none", place, "", MS.REMOUNT | MS.RDONLY | HARMLESS, "");
  };
  return andThen(
    () => andThen(looked, asBefore),
    () => {
      kernel.unmount(place, MNT.DETACH | MNT.NOFOLLOW);
      kernel.remove(place, { directory: true });
    },
  );
}

/** Does both, whichever fails. Throws what failed first. */
function andThen<Result>(work: () => Result, last: () => void): Result {
  let result: Result;
  try {
    result = work();
  } catch (error) {
    try {
      last();
    } catch {
      // What failed first says more.
    }
    throw error;
  }
  last();
  return result;
}

function typeOn(kernel: Kernel, device: string): FilesystemType {
  const read = () => withOpen(kernel, device, O.RDONLY, (fd) => readSuperblock(kernel.read(fd, SUPERBLOCK_BYTES, 0n)));
  const superblock = told(device, read);
  if (superblock !== null && KNOWN.includes(superblock.type)) return superblock.type;
  throw new StoreFailure(
    `${device} holds ${superblock === null ? "no filesystem that is known" : superblock.type}, a bootloader's files lie on ${KNOWN.join(" or ")}`,
  );
}

/** A filesystem that is mounted elsewhere can be mounted only as it is there. */
function mountEitherWay(
  kernel: Kernel,
  device: string,
  place: string,
  type: string,
  writable: boolean,
): "as asked" | "made writable" {
  const mount = (flags: number) => kernel.mount(device, place, type, flags | HARMLESS, "");
  try {
    // FAT has no journal: of a rename the new name is on the disk before the old one goes, so that a cut loses neither.
    mount(writable ? MS.DIRSYNC : MS.RDONLY);
    return "as asked";
  } catch (error) {
    if (!isCode(error, "EBUSY")) throw error;
    mount(writable ? MS.RDONLY : 0);
    if (!writable) return "as asked";
    try {
      kernel.mount("none", place, "", MS.REMOUNT | HARMLESS, "");
    } catch (failure) {
      kernel.unmount(place, MNT.DETACH | MNT.NOFOLLOW);
      throw failure;
    }
    return "made writable";
  }
}

const remedies: Record<string, string> = {
  ENOENT: "is the device there?",
  ENODEV: "the kernel does not know that filesystem; is its module there?",
  EROFS: "is the disk write-protected?",
  EACCES: "run this as root",
  EPERM: "run this as root",
};

function told<Result>(device: string, work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    throw new StoreFailure(`${device}: ${error.message}; ${remedies[error.code] ?? "is the filesystem sound?"}`);
  }
}

/**
 * What `read` gives with the flags to open by: past the page cache where that can be done, which is neither in every filesystem nor
 * with a place that does not begin and end with a sector (of 1024 bytes a disk with sectors of 4096 reads none so).
 */
export function pastCache<Result>(read: (flags: number) => Result): Result {
  try {
    return read(O.RDONLY | O.DIRECT);
  } catch (error) {
    if (!isCode(error, "EINVAL")) throw error;
    return read(O.RDONLY);
  }
}

/** Throws StoreFailure unless the file holds `bytes`, read past the page cache where the filesystem can do that. */
export function readBack(kernel: Kernel, directory: Descriptor, name: string, bytes: Uint8Array): void {
  const back = pastCache((flags) =>
    withDescriptor(
      kernel,
      () => openBeneath(kernel, directory, name, flags),
      (fd) => kernel.read(fd, bytes.length, 0n),
    ),
  );
  if (Buffer.compare(back, bytes) !== 0) {
    throw new StoreFailure(`${name} gave back other bytes than were written; the disk may be failing`);
  }
}
