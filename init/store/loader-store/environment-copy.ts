/** One copy of U-Boot's environment, read and written where it lies. */
import { isMtd } from "../../../state-ops/boot-record-rules.ts";
import type { EnvironmentCopy } from "../../../state-ops/control.ts";
import { O } from "../../kernel/constants.ts";
import { readTextIfThere, sizeOf, withOpen, writeVolatile } from "../../kernel/files.ts";
import { type Descriptor, type Kernel, KernelError } from "../../kernel/kernel.ts";
import { isCode } from "../../state/beneath.ts";
import { pastCache, StoreFailure, withStoreFilesystem } from "./filesystem.ts";
import { changeInPlace, readInPlace } from "./in-place.ts";
import type { StoreDesk } from "./loader-store.ts";
import { readFlash, writeFlash } from "./mtd.ts";

type RawCopy = Extract<EnvironmentCopy, { offset: number }>;

/** "0x4000 bytes at 0x100000 of /dev/mmcblk0", "uboot.env on /dev/vda1" */
export function placeOfCopy(copy: EnvironmentCopy): string {
  if ("file" in copy) return `${copy.file} on ${copy.device}`;
  const offset = copy.offset < 0 ? `-0x${(-copy.offset).toString(16)}` : `0x${copy.offset.toString(16)}`;
  return `${copy.device} at ${offset}`;
}

/** The bytes of the copy; null where its file is not there. Throws KernelError, StoreFailure, or Refusal. */
export function readCopy(desk: StoreDesk, copy: EnvironmentCopy): Uint8Array | null {
  const { kernel } = desk;
  if ("file" in copy) {
    const read = (root: Descriptor) => readInPlace(kernel, root, copy.file, copy.size);
    try {
      return withStoreFilesystem(desk, copy.device, false, read);
    } catch (error) {
      if (isCode(error, "ENOENT", "ENOTDIR")) return null;
      throw error;
    }
  }
  if (isMtd(copy.device)) return readFlash(kernel, copy);
  return withOpen(kernel, copy.device, O.RDONLY, (fd) => {
    const bytes = kernel.read(fd, copy.size, startOf(kernel, fd, copy));
    if (bytes.length === copy.size) return bytes;
    throw new StoreFailure(`${placeOfCopy(copy)}: only ${bytes.length} of ${copy.size} bytes are there; see fw_env.config`);
  });
}

/** Writes a part of the copy, from `at` on. On the disk, and read back, when it returns. Throws as {@link readCopy}. */
export function writeCopy(desk: StoreDesk, copy: EnvironmentCopy, at: number, bytes: Uint8Array): void {
  if ("file" in copy) withStoreFilesystem(desk, copy.device, true, (root) => writeFile(desk.kernel, root, copy.file, at, bytes));
  else if (isMtd(copy.device)) writeFlash(desk.kernel, copy, at, bytes);
  else unprotected(desk.kernel, copy.device, () => writeDevice(desk.kernel, copy, at, bytes));
}

/** In place: U-Boot and its tools read a file of that size, and a rename is not safe on FAT. */
function writeFile(kernel: Kernel, root: Descriptor, file: string, at: number, bytes: Uint8Array): void {
  changeInPlace(kernel, root, file, (fd) => kernel.write(fd, bytes, BigInt(at)), at === 0 ? bytes : null);
}

function writeDevice(kernel: Kernel, copy: RawCopy, at: number, bytes: Uint8Array): void {
  withOpen(kernel, copy.device, O.RDWR | O.DSYNC, (fd) => {
    const start = startOf(kernel, fd, copy) + BigInt(at);
    kernel.write(fd, bytes, start);
    kernel.sync(fd);
    const read = (from: Descriptor) => kernel.read(from, bytes.length, start);
    const back = pastCache((flags) => withOpen(kernel, copy.device, flags, read));
    if (Buffer.compare(back, bytes) === 0) return;
    throw new StoreFailure(`${placeOfCopy(copy)} gave back other bytes than were written; the disk may be failing`);
  });
}

/** An offset below 0 counts from the device's end. */
function startOf(kernel: Kernel, fd: Descriptor, { offset, device, size }: RawCopy): bigint {
  const bytes = sizeOf(kernel, fd);
  const start = offset < 0 ? bytes + BigInt(offset) : BigInt(offset);
  if (start >= 0n && start + BigInt(size) <= bytes) return start;
  throw new StoreFailure(`${device} has ${bytes} bytes, the environment is to lie at ${offset} with ${size}; see fw_env.config`);
}

/** The kernel protects an eMMC's boot partitions from writing until it is told otherwise (force_ro in sysfs). */
function unprotected(kernel: Kernel, device: string, work: () => void): void {
  const name = device.slice("/dev/".length);
  const path = `/sys/class/block/${name}/force_ro`;
  const isProtected = /^mmcblk\d+boot\d+$/.test(name) && readTextIfThere(kernel, path)?.trim() === "1";
  if (!isProtected) {
    work();
    return;
  }
  try {
    writeVolatile(kernel, path, "0");
    work();
  } finally {
    protect(kernel, path);
  }
}

function protect(kernel: Kernel, path: string): void {
  try {
    writeVolatile(kernel, path, "1");
  } catch (error) {
    // It stays writable until the next boot, as every other disk is.
    if (!(error instanceof KernelError)) throw error;
  }
}
