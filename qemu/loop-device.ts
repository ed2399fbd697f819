import { closeSync, openSync } from "node:fs";
import { runProgram } from "./program.ts";

/** A loop device over a file, for as long as it is open, and no longer than this process lives, however that ends. */
export class LoopDevice {
  #fd: number | null;

  private constructor(
    /** "/dev/loop3" */
    readonly path: string,
    fd: number,
  ) {
    this.#fd = fd;
  }

  static async over(file: string, { readOnly = false } = {}): Promise<LoopDevice> {
    const words = ["--find", "--show", ...(readOnly ? ["--read-only"] : []), file];
    const path = (await runProgram("losetup", words)).trim();
    const fd = openSync(path, "r");
    // The kernel detaches a device that is in use when its last user is gone.
    await runProgram("losetup", ["--detach", path]);
    return new LoopDevice(path, fd);
  }

  /** It goes once nothing is mounted from it. */
  close(): void {
    if (this.#fd !== null) closeSync(this.#fd);
    this.#fd = null;
  }
}
