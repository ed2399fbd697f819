import { pauseBeforeRetry } from "../../boot/network/retry.ts";
import { SourceError } from "../converge/source.ts";
import type { Client } from "./client.ts";
import type { Limits } from "./limits.ts";
import type { Told } from "./told.ts";
import { Trouble } from "./trouble.ts";

/** The server says that there is nothing at this URL: 404 or 410. */
export class NotThere extends SourceError {}

/** Bytes that count as progress: fewer would let a server keep us for ever with a byte a time. */
const PROGRESS_BYTES = 16 * 1024;

/** Tries again what fails, with growing pauses, until it works or there is no progress any more. */
export class Attempts {
  /** What a Retry-After asks of everybody who asks that server. */
  #hold: Promise<void> | null = null;
  #lastTold = "";

  constructor(
    readonly client: Client,
    readonly limits: Limits,
    readonly told: Told,
  ) {}

  /**
   * Runs `work` until it ends well. It calls `gained` with bytes that need not come again, and goes on where it stopped.
   *
   * @param name what messages begin with
   * @throws SourceError; whatever else `work` throws besides Trouble, at once
   */
  async run<Result>(
    name: string,
    signal: AbortSignal,
    work: (gained: (bytes: number) => void) => Promise<Result>,
  ): Promise<Result> {
    let failures = 0;
    let progress = 0;
    const gained = (bytes: number): void => {
      progress += bytes;
    };
    for (;;) {
      if (signal.aborted) throw new SourceError(`${name} was given up`);
      try {
        await this.#hold;
        return await work(gained);
      } catch (error) {
        if (!(error instanceof Trouble)) throw error;
        if (signal.aborted) throw new SourceError(`${name} was given up`);
        if (error.is !== "again") throw final(name, error);
        // of several attempts together: a line that is cut every few KiB gets there too
        if (progress >= PROGRESS_BYTES) [failures, progress] = [0, 0];
        failures += 1;
        await this.#pause(name, error, failures, signal);
      }
    }
  }

  async #pause(name: string, trouble: Trouble, failures: number, signal: AbortSignal): Promise<void> {
    const { retry, random, sleep } = this.limits;
    const ms = pauseBeforeRetry(retry, failures, this.client.answered, trouble.asked, random());
    if (ms === null) {
      const gaveUp = `gave up after ${failures} attempts without progress`;
      throw new SourceError(`${name} ${trouble.reason}; ${gaveUp}; is the URL right? Then run it again later`);
    }
    // several requests at a time meet the same trouble
    if (this.#lastTold !== trouble.reason) this.told(`${name} ${trouble.reason}; trying again in ${(ms / 1000).toFixed(1)} s`);
    this.#lastTold = trouble.reason;
    const pause = sleep(ms, signal);
    if (trouble.asked !== null || trouble.busy) {
      this.#hold = pause;
    }
    await pause;
    if (this.#hold === pause) this.#hold = null;
    this.#lastTold = "";
  }
}

function final(name: string, { is, reason }: Trouble): SourceError {
  if (is === "missing") return new NotThere(`${name} ${reason}`);
  if (is === "changed") return new SourceError(`${name} changed while it was read: it ${reason}; run it again`);
  return new SourceError(`${name} ${reason}`);
}
