import { IOCTL } from "../kernel/constants.ts";
import type { Descriptor, Kernel } from "../kernel/kernel.ts";
import { isCode } from "./beneath.ts";
import { WriteBack } from "./write-back.ts";

/** Bytes that are copied between two reports of progress. */
const step = 4 * 1024 * 1024;

/**
 * Copies the contents of regular files with the cheapest engine that the two filesystems have: a reflink (FICLONE), the
 * kernel's copy_file_range, read and write. An engine that is refused for what the filesystems are is not tried again.
 * Holes stay holes.
 */
export class ContentCopier {
  #reflinks = true;
  #ranges = true;

  constructor(
    readonly kernel: Kernel,
    readonly onBytes: (bytes: number) => void,
    /** One for all that is written before a sync of everything: each copier alone may stay below what is too much. */
    readonly writeBack: WriteBack = new WriteBack(kernel),
  ) {}

  /** Copies `size` bytes into the new, empty file `to`. */
  copy(from: Descriptor, to: Descriptor, size: bigint): void {
    if (size === 0n || this.#reflink(from, to, size)) return;
    this.kernel.truncate(to, size);
    for (let data = this.kernel.seekData(from, 0n); data !== null && data < size; ) {
      const hole = this.kernel.seekHole(from, data);
      const end = hole < size ? hole : size;
      this.#copyExtent(from, to, data, end);
      data = this.kernel.seekData(from, end);
    }
  }

  #reflink(from: Descriptor, to: Descriptor, size: bigint): boolean {
    if (!this.#reflinks) return false;
    try {
      this.kernel.ioctl(to, IOCTL.FICLONE, from);
      this.onBytes(Number(size));
      return true;
    } catch (error) {
      // EINVAL is about this file alone: btrfs says it where one of the two is not copied on write.
      if (isCode(error, "EINVAL")) return false;
      if (!isCode(error, "EOPNOTSUPP", "ENOTSUP", "EXDEV", "ENOTTY", "ENOSYS")) throw error;
      this.#reflinks = false;
      return false;
    }
  }

  #copyExtent(from: Descriptor, to: Descriptor, start: bigint, end: bigint): void {
    for (let at = start; at < end; ) {
      const length = Math.min(step, Number(end - at));
      const done = this.#range(from, to, at, length) || this.#readAndWrite(from, to, at, length);
      // The file shrank since it was looked at: what is left reads as zeroes.
      if (done === 0) return;
      at += BigInt(done);
      this.writeBack.wrote(done, to);
      this.onBytes(done);
    }
  }

  /** 0 where the kernel will not copy these files. */
  #range(from: Descriptor, to: Descriptor, at: bigint, length: number): number {
    if (!this.#ranges) return 0;
    try {
      return this.kernel.copyRange(from, to, at, length);
    } catch (error) {
      if (!isCode(error, "EXDEV", "EOPNOTSUPP", "ENOTSUP", "EINVAL", "ENOSYS")) throw error;
      this.#ranges = false;
      return 0;
    }
  }

  #readAndWrite(from: Descriptor, to: Descriptor, at: bigint, length: number): number {
    const bytes = this.kernel.read(from, length, at);
    this.kernel.write(to, bytes, at);
    return bytes.length;
  }
}
