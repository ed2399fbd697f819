import { IOCTL, O } from "../kernel/constants.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";

/** How long a line that took nothing is left alone, milliseconds: flow control, or nobody reads. */
const STUCK_PAUSE = 2000;
/** The same for one that is gone (a hang-up), before it is opened again. */
const GONE_PAUSE = 10_000;
/** Longest wait for what is under way when a line is closed, milliseconds. */
const SETTLE = 900;
const SETTLE_STEP = 50;
/** A first screen goes out at once; the tty layer itself holds 4096 bytes. */
const BURST = 2000;

/** The way to one console: it takes no more bytes a second than the line carries, and never waits for it. */
export class Outlet {
  readonly #kernel: Kernel;
  readonly #path: string;
  #fd: Descriptor | null;
  readonly #perSecond: number;
  readonly #most: number;
  #budget: number;
  #countedMs: number | null = null;
  #closedUntilMs = Number.NEGATIVE_INFINITY;
  #interrupted = false;

  /** `fd` is open for writing with O_NONBLOCK, and belongs to this object from here on. */
  constructor(kernel: Kernel, path: string, fd: Descriptor, perSecond: number) {
    this.#kernel = kernel;
    this.#path = path;
    this.#fd = fd;
    this.#perSecond = perSecond;
    this.#most = Math.max(BURST, perSecond);
    this.#budget = this.#most;
  }

  /** Whether the last text was cut off within: nobody knows where. */
  get interrupted(): boolean {
    return this.#interrupted;
  }

  /** Whether {@link write} would try it now. Longer texts than ever fit go when nothing else has. */
  hasRoom(length: number, nowMs: number): boolean {
    if (nowMs < this.#closedUntilMs) return false;
    const since = this.#countedMs === null ? 0 : Math.max(0, nowMs - this.#countedMs);
    this.#countedMs = nowMs;
    this.#budget = Math.min(this.#most, this.#budget + (since * this.#perSecond) / 1000);
    return this.#budget >= Math.min(length, this.#most);
  }

  /** ASCII. False where it is not the time for it, or the line did not take all of it. */
  write(text: string, nowMs: number): boolean {
    return this.hasRoom(text.length, nowMs) && this.#send(text, nowMs);
  }

  #send(text: string, nowMs: number): boolean {
    this.#budget -= text.length;
    try {
      this.#fd ??= this.#kernel.open(this.#path, O.RDWR | O.NOCTTY | O.NONBLOCK);
      this.#kernel.write(this.#fd, new TextEncoder().encode(text), null);
      this.#interrupted = false;
      return true;
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      this.#interrupted = true;
      const stuck = error.code === "EAGAIN";
      this.#closedUntilMs = nowMs + (stuck ? STUCK_PAUSE : GONE_PAUSE);
      if (!stuck) this.#close();
      return false;
    }
  }

  /** A last text, whatever was sent before; then the line is closed. What it does not take in time is thrown away. */
  end(text: string, nowMs: number): void {
    if (text !== "" && nowMs >= this.#closedUntilMs) this.#send(text, nowMs);
    if (this.#fd === null) return;
    // Closing would wait for the rest, up to half a minute where nothing takes it.
    if (!this.#settles(this.#fd)) this.#throwAway(this.#fd);
    this.#close();
  }

  /** Whether all that was written went out. */
  #settles(fd: Descriptor): boolean {
    const left = new Uint8Array(new ArrayBuffer(4));
    for (let waited = 0; ; waited += SETTLE_STEP) {
      try {
        this.#kernel.ioctl(fd, IOCTL.TIOCOUTQ, left);
      } catch (error) {
        if (error instanceof KernelError) return true;
        throw error;
      }
      if (new DataView(left.buffer).getInt32(0, true) === 0) return true;
      if (waited >= SETTLE) return false;
      this.#kernel.poll([], SETTLE_STEP);
    }
  }

  #throwAway(fd: Descriptor): void {
    const TCOFLUSH = 1;
    try {
      this.#kernel.ioctl(fd, IOCTL.TCFLSH, TCOFLUSH);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
    }
  }

  #close(): void {
    if (this.#fd !== null) this.#kernel.close(this.#fd);
    this.#fd = null;
  }
}
