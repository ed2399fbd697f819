/** What the contestants of `npm run bench -- update` find: two slots on loop devices, and a web server. */
import { closeSync, fsyncSync, openSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { LoopDevice } from "../../qemu/loop-device.ts";
import { runProgram } from "../../qemu/program.ts";
import type { UpdatePair } from "../../qemu/update-pair.ts";

export interface UpdateWorld {
  pair: UpdatePair;
  /** A directory of the contestant's own, on a disk. */
  directory: string;
  /** The server's address, without a slash at its end, and the directory that it serves. */
  url: string;
  www: string;
  /** Block devices: what runs, and what is installed to. */
  running: Slot;
  target: Slot;
}

/** A loop device over a file of its own. */
export class Slot {
  private constructor(
    readonly loop: LoopDevice,
    readonly file: string,
    readonly bytes: number,
  ) {}

  get device(): string {
    return this.loop.path;
  }

  static async make(file: string, bytes: number): Promise<Slot> {
    writeFileSync(file, "");
    truncateSync(file, bytes);
    return new Slot(await LoopDevice.over(file), file, bytes);
  }

  /** Makes it hold `image`, and zeros behind it; zeros alone where there is none. */
  async fill(image: string | null): Promise<void> {
    await runProgram("fallocate", ["--punch-hole", "--offset", "0", "--length", String(this.bytes), this.file]);
    await runProgram("blockdev", ["--flushbufs", this.device]);
    if (image !== null) await runProgram("dd", [`if=${image}`, `of=${this.device}`, "bs=1M", "conv=fsync", "status=none"]);
    await runProgram("blockdev", ["--flushbufs", this.device]);
  }

  /** Waits until all that was written to it is durable. */
  sync(): void {
    const fd = openSync(this.device, "r+");
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  }

  /** Throws Error unless its first `bytes` are those of `image`. */
  async check(image: string, bytes: number): Promise<void> {
    await runProgram("cmp", ["--bytes", String(bytes), image, this.device]);
  }

  close(): void {
    this.loop.close();
    rmSync(this.file);
  }
}
