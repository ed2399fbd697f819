/** Slots that are files on the data filesystem: opened beneath its root, never through a link, and never anything but a file. */
import { LAYOUT } from "../../state-ops/layout.ts";
import { LEAST_SLOT_FILE, slotFileName } from "../../state-ops/slot-file.ts";
import { MS, O } from "../kernel/constants.ts";
import { makeDirectories } from "../kernel/files.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";
import { openBeneath, procPath, withDescriptor } from "./beneath.ts";
import { detachDataFilesystem } from "./data-filesystem.ts";

/** Why a slot has no image: nothing was ever installed into its file. */
export class NoSlotFile extends Error {}

const WHAT_IS_WRONG: Record<string, string> = {
  ELOOP: "a link is in its place; remove it, and install an image",
  EXDEV: "something is mounted over it; unmount it",
  ENOTDIR: `${LAYOUT.images} is no directory; move it away, and install an image`,
  EISDIR: "a directory is in its place; move it away, and install an image",
  EACCES: "a device is in its place; remove it, and install an image",
  ENXIO: "a socket or a device is in its place; remove it, and install an image",
};

function explained(file: string, error: unknown): unknown {
  if (!(error instanceof KernelError)) return error;
  if (error.code === "ENOENT") {
    return new NoSlotFile(`${file} is not on the data filesystem: the slot is empty; install an image`);
  }
  const what = WHAT_IS_WRONG[error.code];
  return what === undefined ? error : new Error(`${file} on the data filesystem cannot be opened (${error.code}): ${what}`);
}

/** The directory of the slots' files, where `file` is one of them. Throws {@link NoSlotFile} where it is not there. */
export function openSlotFiles(kernel: Kernel, data: Descriptor, file: string): Descriptor {
  try {
    return openBeneath(kernel, data, LAYOUT.images, O.RDONLY | O.DIRECTORY);
  } catch (error) {
    throw explained(file, error);
  }
}

/**
 * Mounts the directory of the slots' files alone at `place`, which is made, and opens it there: what is opened beneath it keeps
 * this mount busy, and not that of the whole filesystem. Throws as {@link openSlotFile}, before anything is mounted.
 */
export function mountSlotFiles(kernel: Kernel, data: Descriptor, place: string, file: string): Descriptor {
  const open = () => openSlotFiles(kernel, data, file);
  return withDescriptor(kernel, open, (directory) => {
    kernel.close(openSlotFile(kernel, directory, file, O.RDONLY));
    makeDirectories(kernel, place, 0o700);
    try {
      kernel.mount(procPath(directory), place, "", MS.BIND, "");
    } catch (error) {
      kernel.remove(place, { directory: true });
      throw error;
    }
    try {
      return kernel.open(place, O.RDONLY | O.DIRECTORY | O.NOFOLLOW);
    } catch (error) {
      detachDataFilesystem(kernel, place);
      throw error;
    }
  });
}

/**
 * Opens the slot's file in the open directory of all such files.
 *
 * @throws NoSlotFile where nothing is there, or only the beginnings of a file; Error where it is none
 */
export function openSlotFile(kernel: Kernel, directory: Descriptor, file: string, flags: number): Descriptor {
  let fd: Descriptor;
  try {
    // A fifo must not hold us until somebody opens its other end.
    fd = openBeneath(kernel, directory, slotFileName(file), flags | O.NONBLOCK);
  } catch (error) {
    throw explained(file, error);
  }
  try {
    const { kind, size } = kernel.status(fd);
    if (kind !== "file") {
      throw new Error(`${file} on the data filesystem is a ${kind}, no file; move it away, and install an image`);
    }
    if (size < BigInt(LEAST_SLOT_FILE)) {
      throw new NoSlotFile(`${file} on the data filesystem has only ${size} bytes: the slot is empty; install an image`);
    }
    return fd;
  } catch (error) {
    kernel.close(fd);
    throw error;
  }
}
