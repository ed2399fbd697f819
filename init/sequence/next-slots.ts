import type { ImageId, SlotName } from "../../boot/record/record.ts";
import { beginPass, forgetObeyed, goesOnRecovered } from "../../boot/recovery/changes.ts";
import { recoveryOf } from "../../boot/recovery/known.ts";
import { isAllowed, type RecoveryRequest, requestedRecovery } from "../../boot/recovery/requested.ts";
import type { ToldRecovery } from "../../boot/recovery/step.ts";
import type { Selection } from "../../boot/selection/select.ts";
import { joinSkipped, type Skipped } from "../../boot/selection/skipped.ts";
import type { ToldLoader } from "../../boot/stores/told-loader.ts";
import type { Recovery } from "../recovery/recovery.ts";
import type { Reported } from "../recovery/report.ts";
import type { ChosenSlot } from "./chosen-slot.ts";
import type { Counters } from "./counters.ts";
import type { Devices } from "./devices.ts";
import { holdAndRestart } from "./hold.ts";
import type { Launch } from "./launch.ts";
import type { LoaderChoice } from "./loader-choice.ts";
import type { ReadySlot } from "./slot.ts";

/** Which slots a boot tries, one after the other: those that selection chooses, and where none is left, those that recovery makes. */
export class NextSlots {
  readonly #boot: Launch;
  readonly #devices: Devices;
  readonly #counters: Counters;
  #request: RecoveryRequest | null;
  #recovery: Recovery | null = null;
  #loader: LoaderChoice | null = null;
  /** A recovery was asked for, or goes on, though slots may boot. */
  #isFirst: boolean;
  /** Whether the file that may ask for one was looked for. */
  #isFileTaken = false;

  constructor(boot: Launch, devices: Devices, counters: Counters) {
    this.#boot = boot;
    this.#devices = devices;
    this.#counters = counters;
    this.#request = this.#requested();
    this.#isFirst = this.#request !== null;
  }

  /** The slot to try next. Never ends where there is none: it waits, and restarts the machine. */
  async next(passed: readonly Skipped[]): Promise<ChosenSlot> {
    await this.#takeFile();
    for (;;) {
      const selection = await this.#choose(passed);
      const left = joinSkipped(passed, selection.skipped);
      if (!this.#isFirst && selection.slot !== null) {
        for (const note of selection.notes) this.#boot.warnOnce(note);
        if (this.#request !== null) this.#recovery?.leave();
        this.#request = null;
        return { slot: selection.slot, why: selection.why, skipped: selection.skipped, isRecovered: false };
      }
      if (!this.#isFirst) for (const note of selection.notes) this.#boot.warnOnce(note);
      if (this.#boot.control.recovery.ladder.length === 0) await this.#holdAndRestart(left);
      const recovered = await this.#boot
        .part("recovery", async () => (await this.#begun()).next(left))
        .catch((error) => this.#holdWithout(left, error));
      if (recovered !== null) return { ...recovered, skipped: selection.skipped, isRecovered: true };
      this.#isFirst = false;
    }
  }

  /** As the bootloader chose, where it chooses; once a recovery has begun, slipway knows better. */
  async #choose(passed: readonly Skipped[]): Promise<Selection> {
    if (this.#boot.control.chooser === "slipway" || this.#recovery !== null) return this.#counters.choose();
    const { LoaderChoice } = await import("./loader-choice.ts");
    this.#loader ??= new LoaderChoice(this.#boot, this.#counters);
    return this.#loader.choose(passed);
  }

  /** Counts a try of the slot; false where another one is to be chosen instead. */
  count({ slot, isRecovered }: ChosenSlot): boolean {
    // What shows only now that nothing can be counted leaves recovery's slots as good as they were.
    return this.#counters.count(slot) || (isRecovered && this.#counters.count(slot));
  }

  /**
   * The recovery that led to a boot of `ready`, reported where somebody is to be told and can be at once; null where there was none.
   * From here on PID 1 uses no network.
   */
  async report(ready: ReadySlot, skipped: readonly Skipped[]): Promise<Reported | null> {
    const told = this.#told(ready.slot, ready.image.imageId);
    if (told === null) return null;
    const recovery = this.#recovery;
    try {
      const { reportRecovery } = await import("../recovery/report.ts");
      const desk = { boot: this.#boot, counters: this.#counters, network: async () => recovery?.network() ?? null };
      return await reportRecovery(desk, told, ready, skipped);
    } catch (error) {
      this.#boot.warn(`the recovery is not reported: ${error instanceof Error ? error.message : error}`);
      return { told, text: null };
    } finally {
      recovery?.closeNetwork();
    }
  }

  /** What the report says of the bootloader; null where it neither chooses nor has a store. */
  async toldLoader(): Promise<ToldLoader | null> {
    const { control, words } = this.#boot;
    if (control.chooser === "slipway" && control.bootRecord.store === "record") return null;
    const { toldLoader } = await import("../../boot/stores/told-loader.ts");
    return toldLoader(control, words, this.#counters.mirror?.met() ?? null);
  }

  /** What the report of a boot of `slot` says of its recovery; null where there was none. */
  #told(slot: SlotName, imageId: ImageId): ToldRecovery | null {
    if (this.#recovery !== null) return this.#recovery.told(slot);
    return goesOnRecovered(this.#counters.record, slot, imageId);
  }

  #holdAndRestart(skipped: Skipped[], reason: string | null = null): Promise<never> {
    return holdAndRestart(this.#boot, { reason, skipped, ...this.#counters.giveUp() });
  }

  /** Recovery itself fails, which nobody foresaw: the machine must not run in circles, and a slot may boot all the same. */
  #holdWithout(skipped: Skipped[], error: unknown): Promise<never> {
    const reason =
      error instanceof Error ? `${error.message} (${error.stack?.split("\n")[1]?.trim() ?? "no stack"})` : String(error);
    return this.#holdAndRestart(skipped, `recovery failed: ${reason}`);
  }

  /** The file that asks is taken whoever else asks too, so that it asks once. The record remembers it until the first step. */
  async #takeFile(): Promise<void> {
    if (this.#isFileTaken) return;
    this.#isFileTaken = true;
    const { request, ladder } = this.#boot.control.recovery;
    if (request === null || ladder.length === 0) return;
    const taken = await this.#boot
      .part("request", () => this.#lookForFile())
      .catch((error: unknown) => {
        const reason = error instanceof Error ? error.message : error;
        this.#boot.warn(`whether ${request.path} on ${request.device} asks for a recovery is not known: ${reason}`);
        return null;
      });
    if (taken === null || (this.#request?.asked ?? null) !== null) return;
    const recovery = recoveryOf(this.#counters.record);
    this.#counters.change({ ...this.#counters.record, recovery: { ...recovery, asked: taken.asks } });
    this.#request = { asked: taken.asks, who: taken.by, obeyed: recovery.obeyed };
    this.#isFirst = true;
  }

  async #lookForFile() {
    const { takeRequest } = await import("../recovery/request-file.ts");
    return takeRequest(this.#boot, this.#devices, this.#counters.record.dataFilesystem);
  }

  async #begun(): Promise<Recovery> {
    if (this.#recovery === null) {
      const { Recovery } = await import("../recovery/recovery.ts");
      this.#recovery = new Recovery(this.#boot, this.#devices, this.#counters, this.#request);
    }
    return this.#recovery;
  }

  #requested(): RecoveryRequest | null {
    const { words, control, log } = this.#boot;
    const { record } = this.#counters;
    const { asked, obeyed } = recoveryOf(record);
    const { ladder } = control.recovery;
    if (words.recover !== null && words.recover === obeyed)
      log.notice("slipway.recover was obeyed before: take it from the command line");
    if (words.recover === null && obeyed !== undefined) this.#counters.change(forgetObeyed(record));
    if (asked !== null && !isAllowed(asked, ladder)) {
      this.#boot.warn(`a recovery by ${asked} was asked for: the control file does not allow it`);
      this.#counters.change(beginPass(this.#counters.record));
    }
    // What cannot be remembered would set the state aside at every boot.
    const isForgotten = words.recover === "reinstall-fresh" && !this.#counters.writable;
    if (isForgotten) this.#boot.warn("slipway.recover=reinstall-fresh is refused: the boot record cannot be written");
    return requestedRecovery(this.#counters.record, isForgotten ? null : words.recover, ladder);
  }
}
