import { progressJson } from "../../boot/converge/progress-text.ts";
import { withoutSecrets } from "../../boot/recovery/plain-text.ts";
import type { ScreenState } from "../../boot/recovery/screen-text.ts";
import { RUN } from "../../boot/report.ts";
import { canonicalJson } from "../../state-ops/canonical-json.ts";
import { makeDirectories, writeVolatile } from "../kernel/files.ts";
import { type Kernel, KernelError } from "../kernel/kernel.ts";

/** Milliseconds between two writes. */
const EVERY = 1000;

/** What a recovery does, for programs: /run/slipway/recovery.json is replaced whole, so that a reader sees the old or the new. */
export class ProgressFile {
  readonly #kernel: Kernel;
  #writtenMs = Number.NEGATIVE_INFINITY;
  #text = "";

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  /** `active`: the recovery goes on; the last words of one that is over are written at once. */
  write(state: ScreenState, said: readonly string[], active: boolean, nowMs: number): void {
    if (active && nowMs - this.#writtenMs < EVERY) return;
    this.#writtenMs = nowMs;
    const text = progressText(state, said, active);
    if (text === this.#text) return;
    this.#text = text;
    const aside = `${RUN.recovery}.new`;
    try {
      makeDirectories(this.#kernel, RUN.directory);
      writeVolatile(this.#kernel, aside, text);
      this.#kernel.rename(aside, RUN.recovery);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
    }
  }
}

function progressText(state: ScreenState, said: readonly string[], active: boolean): string {
  const { title, slots, trying, progress, addresses, nextAttemptSeconds } = state;
  return canonicalJson({
    schema: 1,
    active,
    title: withoutSecrets(title),
    slots: slots.map(({ slot, reason }) => ({ slot, reason: withoutSecrets(reason) })),
    trying: trying === null ? null : withoutSecrets(trying),
    progress: progress === null ? null : progressJson(progress),
    addresses: [...addresses],
    nextAttemptSeconds,
    said: said.map(withoutSecrets),
  });
}
