import type { ControlFile } from "../../state-ops/control.ts";
import { IOCTL, O } from "../kernel/constants.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";

/** The first watchdog of the machine. */
export const WATCHDOG = "/dev/watchdog";

/** Feeding more often than this buys nothing, milliseconds. */
const FEED_EVERY = 1000;

/**
 * The hardware's watchdog: it restarts a machine that hangs. The API is Documentation/watchdog/watchdog-api.rst: opening
 * the device starts it, and closing it without a "V" leaves it running.
 */
export class Watchdog {
  readonly #kernel: Kernel;
  readonly #fd: Descriptor;
  #fedAt = 0;

  private constructor(kernel: Kernel, fd: Descriptor) {
    this.#kernel = kernel;
    this.#fd = fd;
  }

  /** Starts it. Null with a reason where there is none, so that the caller can say what a hang then needs. */
  static start(kernel: Kernel, settings: NonNullable<ControlFile["watchdog"]>): { watchdog: Watchdog | null; reason: string } {
    try {
      const fd = kernel.open(WATCHDOG, O.WRONLY);
      const timeout = new Uint8Array(new ArrayBuffer(4));
      const view = new DataView(timeout.buffer);
      view.setInt32(0, settings.timeout, true);
      let reason = "";
      try {
        kernel.ioctl(fd, IOCTL.WDIOC_SETTIMEOUT, timeout);
        const set = view.getInt32(0, true);
        if (set !== settings.timeout) reason = `the watchdog took a timeout of ${set} s instead of ${settings.timeout} s`;
      } catch (error) {
        if (!(error instanceof KernelError)) throw error;
        reason = `the watchdog keeps its own timeout: ${settings.timeout} s were refused (${error.code})`;
      }
      return { watchdog: new Watchdog(kernel, fd), reason };
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      return { watchdog: null, reason: `no watchdog: ${WATCHDOG} gave ${error.code}; a hang needs a power cycle` };
    }
  }

  /** Tells it that PID 1 lives; cheap to call often. */
  feed(): void {
    const now = this.#kernel.now().bootMs;
    if (now - this.#fedAt < FEED_EVERY) return;
    this.#fedAt = now;
    try {
      this.#kernel.ioctl(this.#fd, IOCTL.WDIOC_KEEPALIVE, new Uint8Array(new ArrayBuffer(4)));
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
    }
  }

  /** A last feed before the handover. `stop` disarms it; otherwise it stays armed for the next init to take over. */
  handOver(after: NonNullable<ControlFile["watchdog"]>["after"]): void {
    this.#fedAt = 0;
    this.feed();
    try {
      if (after === "stop") this.#kernel.write(this.#fd, new TextEncoder().encode("V"), null);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
    }
    this.#kernel.close(this.#fd);
  }
}
