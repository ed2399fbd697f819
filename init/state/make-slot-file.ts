/** Making the file of a slot, before the first image goes into it. */
import type { FileSlot } from "../../state-ops/control.ts";
import { LAYOUT } from "../../state-ops/layout.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import { sizeText } from "../../state-ops/size-text.ts";
import { slotFileName } from "../../state-ops/slot-file.ts";
import { FILESYSTEM_MAGIC, IOCTL, O } from "../kernel/constants.ts";
import type { Descriptor, FileStatus, Kernel } from "../kernel/kernel.ts";
import { exists, isCode, openBeneath, withDescriptor } from "./beneath.ts";
import { openSlotFiles } from "./slot-files.ts";

/** FS_NOCOW_FL, linux/fs.h. */
const NO_COPY_ON_WRITE = 0x00800000;

/**
 * Opens the slot's file for writing, with all of its size allocated: what an install writes later has its place already, and the
 * disk that is full says so before anything of the slot was changed. A file that is larger than declared stays so. A power cut
 * leaves no file, or one that holds nothing: an empty slot.
 *
 * @param data root of the data filesystem
 * @throws Refusal where there is no room, or the filesystem cannot be written; Error where something else is in its place
 */
export function makeSlotFile(kernel: Kernel, data: Descriptor, slot: FileSlot): Descriptor {
  return withDescriptor(
    kernel,
    () => openOrMakeDirectory(kernel, data, slot.file),
    (directory) => {
      const name = slotFileName(slot.file);
      const made = !exists(kernel, directory, name);
      const fd = openFile(kernel, directory, slot.file, made);
      try {
        const status = kernel.status(fd);
        if (status.kind !== "file") {
          throw new Error(`${slot.file} on the data filesystem is a ${status.kind}, no file; move it away`);
        }
        if (made) noCopyOnWrite(kernel, fd);
        allocate(kernel, fd, slot, status);
        kernel.sync(fd);
        if (made) kernel.sync(directory);
        return fd;
      } catch (error) {
        kernel.close(fd);
        if (made) kernel.remove(name, { at: directory });
        throw error;
      }
    },
  );
}

function openOrMakeDirectory(kernel: Kernel, data: Descriptor, file: string): Descriptor {
  if (!exists(kernel, data, LAYOUT.images)) {
    writable(file, () => kernel.makeDirectory(LAYOUT.images, 0o700, data));
    kernel.sync(data);
  }
  return openSlotFiles(kernel, data, file);
}

function openFile(kernel: Kernel, directory: Descriptor, file: string, make: boolean): Descriptor {
  const flags = O.RDWR | O.NONBLOCK | (make ? O.CREAT | O.EXCL : 0);
  return writable(file, () => openBeneath(kernel, directory, slotFileName(file), flags, make ? 0o600 : undefined));
}

function writable<Result>(file: string, work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    if (isCode(error, "EROFS", "ENOSPC", "EDQUOT")) {
      const why = error.code === "EROFS" ? "it became read-only after an error; see the kernel's log" : "it is full";
      throw new Refusal(`${file} cannot be made on the data filesystem (${error.code}): ${why}`);
    }
    if (isCode(error, "ELOOP", "EXDEV", "EISDIR", "EACCES", "ENXIO")) {
      throw new Error(
        `${file} on the data filesystem cannot be opened (${error.code}): something else is in its place; move it away`,
      );
    }
    throw error;
  }
}

/**
 * What is written in place keeps its place. A btrfs would write every changed block to a new one: what is allocated would not be
 * used, and a full disk would be found halfway. Its checksums go with that; an image and a boot record have their own. Only a file
 * that is empty can be told.
 */
export function noCopyOnWrite(kernel: Kernel, fd: Descriptor): void {
  if (kernel.filesystemStatus(fd).magic !== FILESYSTEM_MAGIC.btrfs) return;
  const flags = new Uint8Array(new ArrayBuffer(8));
  const view = new DataView(flags.buffer);
  kernel.ioctl(fd, IOCTL.FS_IOC_GETFLAGS, flags);
  view.setUint32(0, view.getUint32(0, true) | NO_COPY_ON_WRITE, true);
  kernel.ioctl(fd, IOCTL.FS_IOC_SETFLAGS, flags);
}

function allocate(kernel: Kernel, fd: Descriptor, { file, size }: FileSlot, status: FileStatus): void {
  const { blockSize, available } = kernel.filesystemStatus(fd);
  const free = Number(available) * blockSize;
  const missing = size - Number(status.allocated);
  if (missing > free) {
    throw new Refusal(
      `${file} takes ${sizeText(size)}, of which ${sizeText(missing)} are not allocated yet, and the data filesystem has ${sizeText(free)} free; delete what is not needed there (slipway state gc --all), or make it larger`,
    );
  }
  try {
    kernel.allocate(fd, 0n, BigInt(size));
  } catch (error) {
    if (isCode(error, "ENOSPC", "EDQUOT", "EFBIG")) {
      kernel.truncate(fd, status.size);
      throw new Refusal(
        `${file} takes ${sizeText(size)}, which the data filesystem has not (${error.code}); delete what is not needed there`,
      );
    }
    // Some filesystems know nothing of it: then the file has holes, and its size all the same.
    if (!isCode(error, "EOPNOTSUPP", "ENOSYS")) throw error;
    if (status.size < BigInt(size)) kernel.truncate(fd, BigInt(size));
  }
}
