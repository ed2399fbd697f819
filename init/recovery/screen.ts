import type { Progress } from "../../boot/converge/progress-text.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { showOnConsoles } from "../sequence/console.ts";

/** What a recovery tells those who stand before the machine. */
export interface ScreenState {
  /** Why there is a recovery, one sentence. */
  title: string;
  /** Why each slot does not boot, best first. */
  slots: { slot: string; reason: string }[];
  /** What is tried now: rung, slot and source, one sentence; null while nothing is. */
  trying: string | null;
  progress: Progress | null;
  /** Of the machine. */
  addresses: string[];
  /** Until the next attempt; null while one is under way. */
  nextAttemptSeconds: number | null;
}

/** What a person sees of a recovery, on every console of the machine. It never blocks, and never throws. */
export class RecoveryScreen {
  readonly #kernel: Kernel;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  /** Something is not as before. Cheap to call often. */
  show(change: Partial<ScreenState>): void {
    if (typeof change.trying === "string") this.say(change.trying);
  }

  /** A line for people: what failed, what was found. */
  say(line: string): void {
    showOnConsoles(this.#kernel, `slipway: ${line}\n`);
  }

  /** Draws what the clock changed. To be called about once a second, by whoever feeds the watchdog. */
  refresh(): void {}

  /** Leaves the consoles as they were. What is shown afterwards begins a new screen. */
  end(): void {}
}
