/** `chooser: loader`. Loaded only where the control file says so. */
import type { SlotName } from "../../boot/record/record.ts";
import { askTrial, trialCame } from "../../boot/selection/ask-trial.ts";
import { followLoader, type LoaderWord, lastReasons, loaderWord, meetLoader } from "../../boot/selection/follow.ts";
import { policyOf } from "../../boot/selection/policy.ts";
import type { Selection } from "../../boot/selection/select.ts";
import { joinSkipped, type Skipped } from "../../boot/selection/skipped.ts";
import { TRYBOOT } from "../../boot/stores/autoboot.ts";
import { showOnConsoles } from "./console.ts";
import type { Counters } from "./counters.ts";
import type { Launch } from "./launch.ts";

/** Between a slot that failed and the restart, seconds: long enough to read why. */
const PAUSE = 5;

/** What a boot makes of the slot that the bootloader named. */
export class LoaderChoice {
  readonly #boot: Launch;
  readonly #counters: Counters;
  readonly #word: LoaderWord;
  readonly #lastReasons: ReadonlyMap<SlotName, string>;
  readonly #alarmed = new Set<string>();

  constructor(boot: Launch, counters: Counters) {
    this.#boot = boot;
    this.#counters = counters;
    this.#word = loaderWord(boot.words.slot, boot.control.slots);
    this.#lastReasons = lastReasons(counters.journal);
    const met = meetLoader(counters.record, this.#word.named, policyOf(boot.control));
    if (met.spentNamed !== counters.record.spentNamed) counters.change(met);
  }

  /** The slot to try. Where one is left to the loader's count it shows why, and restarts the machine. */
  async choose(passed: readonly Skipped[]): Promise<Selection> {
    if (passed.length === 0) this.#askTrial();
    const { record, failed, writable: recordWritable, condition } = this.#counters;
    const facts = { ...this.#word, failed, recordWritable, lastReasons: this.#lastReasons };
    const following = followLoader(record, facts, policyOf(this.#boot.control), condition);
    for (const alarm of following.alarms) this.#alarm(alarm);
    if (following.leaves === null) return following;
    return this.#leave(joinSkipped([following.leaves], passed));
  }

  /** Restarts towards a trial that the firmware starts when it is asked, and not by itself. */
  #askTrial(): void {
    const { control, kernel, log } = this.#boot;
    if (control.bootRecord.store !== "tryboot" || !this.#counters.writable) return;
    const asked = askTrial(this.#counters.record, this.#word.named, policyOf(control));
    const changed = asked?.record ?? trialCame(this.#counters.record);
    if (changed.trialsAsked !== this.#counters.record.trialsAsked || asked) {
      // What is not durable would be asked for for ever.
      if (!this.#counters.change(changed)) return;
    }
    if (asked === null) return;
    if (asked.slot === null) {
      this.#alarm("the trial that waits is given up: the firmware does not start it");
      return;
    }
    log.error(`slot ${asked.slot} is on trial, and the firmware started slot ${this.#word.named}: restarting with "${TRYBOOT}"`);
    kernel.reboot("restart", TRYBOOT);
  }

  #alarm(text: string): void {
    if (this.#alarmed.has(text)) return;
    this.#alarmed.add(text);
    this.#boot.alarm(text);
  }

  /** The loader's count takes the next step: it is the one that knows which kernel belongs to another slot. */
  async #leave(slots: readonly Skipped[]): Promise<never> {
    const { kernel, log, words } = this.#boot;
    for (const { slot, reason } of slots) log.error(`slot ${slot}: ${reason}`);
    showOnConsoles(kernel, leaveScreen(slots));
    if (words.shell) await this.#boot.shell("rd.shell");
    await this.#boot.pause(PAUSE * 1000);
    log.error("restarting, so that the bootloader chooses");
    kernel.reboot("restart");
    throw new Error("the kernel refused to restart");
  }
}

/** The screen of a machine whose bootloader is to choose again. */
export function leaveScreen(slots: readonly Skipped[]): string {
  const width = Math.max(4, ...slots.map(({ slot }) => slot.length));
  return [
    "",
    "slipway: the slot that the bootloader chose does not boot",
    "",
    ...slots.map(({ slot, reason }) => `    ${slot.padEnd(width)}  ${reason}`),
    "",
    `    The machine restarts in ${PAUSE} s, and the bootloader chooses next.`,
    "",
  ].join("\n");
}
