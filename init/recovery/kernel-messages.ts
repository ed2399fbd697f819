import { O } from "../kernel/constants.ts";
import { readTextIfThere } from "../kernel/files.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";

/** Longest record of /dev/kmsg (CONSOLE_EXT_LOG_MAX). */
const RECORD = 8192;
/** Read at once; a kernel that says more than this in a second is heard the next time. */
const MOST_RECORDS = 5000;
/** What reaches the consoles where /proc/sys/kernel/printk does not tell: all but debugging. */
const DEFAULT_LEVEL = 7;

/** Watches the kernel's log, whose lines go to the consoles and through whatever is drawn there. */
export class KernelMessages {
  readonly #kernel: Kernel;
  #kmsg: Descriptor | null = null;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
    try {
      this.#kmsg = kernel.open("/dev/kmsg", O.RDONLY | O.NONBLOCK);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
    }
    this.shown();
  }

  /** Whether a line went to the consoles since this was last asked. */
  shown(): boolean {
    let most = -1;
    let shown = false;
    for (let count = 0; count < MOST_RECORDS; count++) {
      const level = this.#next();
      if (level === null) break;
      if (most < 0) most = this.#consoleLevel();
      shown ||= level < most;
    }
    return shown;
  }

  /** The level of the next record; null where there is none. */
  #next(): number | null {
    if (this.#kmsg === null) return null;
    try {
      const record = this.#kernel.read(this.#kmsg, RECORD, null);
      const priority = Number.parseInt(new TextDecoder("latin1").decode(record.subarray(0, 8)), 10);
      return record.length === 0 ? null : priority & 7;
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      // EPIPE: records were lost before they were read.
      return error.code === "EPIPE" ? 0 : null;
    }
  }

  #consoleLevel(): number {
    const [level] = readTextIfThere(this.#kernel, "/proc/sys/kernel/printk")?.match(/\d+/) ?? [];
    return level === undefined ? DEFAULT_LEVEL : Number(level);
  }

  close(): void {
    if (this.#kmsg !== null) this.#kernel.close(this.#kmsg);
    this.#kmsg = null;
  }
}
