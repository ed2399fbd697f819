import { isPlain } from "../../state-ops/plain-text.ts";
import { O } from "../kernel/constants.ts";
import { writeSetting } from "../kernel/files.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";

/** The kernel cuts a line of /dev/kmsg at about 976 bytes (LOG_LINE_MAX less its prefix). */
const LONGEST = 900;

/**
 * Levels of syslog(2) that are used. The kernel prints a line before its writer goes on: on a serial line of 115200 baud a
 * hundred characters cost 9 ms. So of an ordinary boot no more than one line may reach a console, by a notice; the rest of it
 * is for debugging, which the kernel keeps, and so the journal, but shows with `loglevel=8` only. With `quiet` errors alone
 * reach a console.
 */
const LEVEL = { error: 3, warning: 4, notice: 5, debug: 7 } as const;

/**
 * Writes to the kernel's log, never to a terminal: a stuck serial line must not stop PID 1, and the system's journal
 * picks the kernel's log up. The descriptor is held, since /dev moves away at the handover.
 */
export class Log {
  readonly #kernel: Kernel;
  #kmsg: Descriptor | null = null;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
    try {
      this.#kmsg = kernel.open("/dev/kmsg", O.WRONLY);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
    }
    this.#limit("on");
  }

  /** Lets the kernel limit the lines of user space again, as it does when it starts. */
  restoreLimit(): void {
    this.#limit("ratelimit");
  }

  /** With "ratelimit" the kernel drops what is beyond 10 lines in 5 seconds. */
  #limit(setting: "on" | "ratelimit"): void {
    try {
      writeSetting(this.#kernel, "/proc/sys/kernel/printk_devkmsg", `${setting}\n`);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
    }
  }

  #line(level: keyof typeof LEVEL, text: string): void {
    if (this.#kmsg === null) return;
    // Names on a disk may hold anything, and the kernel hands it on to terminals.
    const plain = isPlain(text) ? text : text.replaceAll(/\p{Cc}/gu, " ");
    const bytes = new TextEncoder().encode(`<${LEVEL[level]}>slipway: ${plain}`).subarray(0, LONGEST);
    const line = new Uint8Array(bytes.length + 1);
    line.set(bytes);
    // Without its end the kernel keeps a line back, in case it goes on, until somebody else says something.
    line[bytes.length] = 0x0a;
    try {
      this.#kernel.write(this.#kmsg, line, null);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
    }
  }

  /** What every boot has to say. */
  debug(text: string): void {
    this.#line("debug", text);
  }
  /** What not every boot has to say, or the one line that each may show. */
  notice(text: string): void {
    this.#line("notice", text);
  }
  warning(text: string): void {
    this.#line("warning", text);
  }
  error(text: string): void {
    this.#line("error", text);
  }
}
