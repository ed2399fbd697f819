import type { Descriptor, Kernel } from "../kernel/kernel.ts";

const MiB = 1024 * 1024;
const least = 32 * MiB;
const most = 256 * MiB;

/**
 * Makes what was written durable piece by piece: one sync of all at the end could outlast the watchdog. Every sync costs a
 * commit of the filesystem's journal, so a disk that is quick gets larger pieces, and one that is slow small ones again.
 */
export class WriteBack {
  #unsynced = 0;
  #piece = least;

  constructor(readonly kernel: Kernel) {}

  /** Says that `bytes` were written to the filesystem of `fd`. */
  wrote(bytes: number, fd: Descriptor): void {
    this.#unsynced += bytes;
    if (this.#unsynced < this.#piece) return;
    const began = this.kernel.now().bootMs;
    this.kernel.syncFilesystem(fd);
    const took = this.kernel.now().bootMs - began;
    if (took < 1000) this.#piece = Math.min(most, this.#piece * 2);
    else if (took > 3000) this.#piece = Math.max(least, this.#piece / 2);
    this.#unsynced = 0;
  }
}
