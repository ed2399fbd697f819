/** Subvolumes and snapshots of btrfs. Requests and structures: include/uapi/linux/btrfs.h. */
import { FILESYSTEM_MAGIC, IOCTL } from "../kernel/constants.ts";
import type { Descriptor, Kernel, Path } from "../kernel/kernel.ts";
import { SUBVOLUME_INODE, snapshotArguments, subvolumeArguments, subvolumeChildren } from "../kernel/layouts.ts";
import { isCode } from "./beneath.ts";

/** What a kernel or filesystem answers that has no such thing, or does not allow it here. */
const refusals = ["ENOTTY", "EOPNOTSUPP", "ENOTSUP", "EINVAL", "EPERM", "EXDEV", "ENOSYS"];

function tried(work: () => void): boolean {
  try {
    work();
    return true;
  } catch (error) {
    if (!isCode(error, ...refusals)) throw error;
    return false;
  }
}

/** Whether subvolumes can be thought of at all; what is made of them is then tried. */
function hasSubvolumes(kernel: Kernel, directory: Descriptor): boolean {
  return kernel.filesystemStatus(directory).magic === FILESYSTEM_MAGIC.btrfs;
}

/** Makes `name` in an open directory a subvolume. False where there are none. */
export function makeSubvolume(kernel: Kernel, directory: Descriptor, name: string): boolean {
  if (!hasSubvolumes(kernel, directory)) return false;
  return tried(() => kernel.ioctl(directory, IOCTL.BTRFS_SUBVOL_CREATE, subvolumeArguments(name)));
}

/**
 * Makes `name` in an open directory a snapshot of `source`. False where that is no subvolume, or has others in it: a snapshot
 * shows them empty, so the state in them would be lost.
 */
export function makeSnapshot(kernel: Kernel, directory: Descriptor, name: string, source: Descriptor): boolean {
  if (!canSnapshot(kernel, source)) return false;
  return tried(() => kernel.ioctl(directory, IOCTL.BTRFS_SNAP_CREATE_V2, snapshotArguments(source, name)));
}

/** Whether a snapshot of `source` has all of it. */
export function canSnapshot(kernel: Kernel, source: Descriptor): boolean {
  if (!hasSubvolumes(kernel, source) || kernel.status(source).inode !== SUBVOLUME_INODE) return false;
  const children = new Uint8Array(new ArrayBuffer(4096));
  return tried(() => kernel.ioctl(source, IOCTL.BTRFS_GET_SUBVOL_ROOTREF, children)) && subvolumeChildren(children) === 0;
}

/** Deletes a subvolume with all it holds; `inode` is that of `name`. False where it must be deleted as a directory is. */
export function deleteSubvolume(kernel: Kernel, directory: Descriptor, name: Path, inode: bigint): boolean {
  if (inode !== SUBVOLUME_INODE || !hasSubvolumes(kernel, directory)) return false;
  try {
    kernel.ioctl(directory, IOCTL.BTRFS_SNAP_DESTROY, subvolumeArguments(name));
    return true;
  } catch (error) {
    if (!isCode(error, ...refusals, "ENOTEMPTY")) throw error;
    return false;
  }
}
