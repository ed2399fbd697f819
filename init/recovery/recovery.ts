/** The recovery of a boot: takes the ladder's steps, one after the other, until one leaves a slot that can be booted. */
import type { BootRecord, SlotName } from "../../boot/record/record.ts";
import { slotToCalm } from "../../boot/recovery/calm.ts";
import { armOnce, beginPass, beginStep, giveUpStep } from "../../boot/recovery/changes.ts";
import { interruptedStep, isOneTry, isSameStep, recoveryOf } from "../../boot/recovery/known.ts";
import { isPutOff, type LadderStep, nextStep, rungsAsked } from "../../boot/recovery/ladder.ts";
import type { RecoveryRequest } from "../../boot/recovery/requested.ts";
import type { ToldRecovery, ToldStep } from "../../boot/recovery/step.ts";
import { policyOf } from "../../boot/selection/policy.ts";
import type { Skipped } from "../../boot/selection/skipped.ts";
import type { Rung } from "../../state-ops/recovery.ts";
import type { Counters } from "../sequence/counters.ts";
import type { Devices } from "../sequence/devices.ts";
import type { Launch } from "../sequence/launch.ts";
import type { DeskNetwork } from "./desk.ts";
import { RecoveryHold } from "./hold.ts";
import { LazyNetwork } from "./lazy-network.ts";
import { GivenUp, Stuck, whilePatient } from "./patience.ts";
import { type PutFacts, type PutResult, putImage } from "./put-image.ts";
import { RecoveryScreen } from "./screen.ts";
import { ToldSteps } from "./told-steps.ts";

/** A slot that a step leaves ready to be booted in this boot. */
export interface Recovered {
  slot: SlotName;
  /** One sentence. */
  why: string;
}

/** One a boot. */
export class Recovery {
  readonly #boot: Launch;
  readonly #devices: Devices;
  readonly #counters: Counters;
  readonly #screen: RecoveryScreen;
  readonly #network: LazyNetwork;
  readonly #told: ToldSteps;
  readonly #facts: PutFacts;
  readonly #asked: RecoveryRequest | null;
  /** What of the ladder this pass takes. */
  #rungs: readonly Rung[];
  /** Slots may boot without this pass: it ends without a hold. */
  #isOptional: boolean;
  /** What was asked for is to begin: the record changes with the first step. */
  #isNew: boolean;
  /** Slots that failed with another state than their own, as somebody asked for, and in no other way: they may boot as they are. */
  readonly #spared = new Set<SlotName>();
  /** The step whose slot is tried. */
  #booted: ToldStep | null = null;

  constructor(boot: Launch, devices: Devices, counters: Counters, request: RecoveryRequest | null) {
    const { ladder, longestPause } = boot.control.recovery;
    this.#boot = boot;
    this.#devices = devices;
    this.#counters = counters;
    this.#screen = new RecoveryScreen(boot.kernel);
    this.#network = new LazyNetwork(boot, counters.profile);
    this.#told = new ToldSteps(boot, counters);
    this.#facts = { left: counters.left, badTargets: new Set(), ended: false, unreached: false, longestPause };
    this.#asked = request;
    this.#isOptional = request !== null;
    this.#isNew = request !== null && request.asked !== null;
    this.#rungs = request === null ? ladder : this.#rungsOf(request);
  }

  #rungsOf({ asked }: RecoveryRequest): Rung[] {
    const { ladder } = this.#boot.control.recovery;
    if (asked !== null) return rungsAsked(ladder, asked);
    const interrupted = interruptedStep(this.#counters.record);
    return interrupted === null ? [] : rungsAsked(ladder, interrupted.rung);
  }

  /**
   * Carries out steps until one leaves a slot to be booted. Null where the slots are to be looked at again: what was asked for is
   * over, or the machine has held and given one of them a try. `passed` is why the slots did not boot.
   */
  async next(passed: readonly Skipped[]): Promise<Recovered | null> {
    this.#booted = this.#closeBooted();
    let keepsNetwork = false;
    this.#boot.alsoChore = () => this.#screen.refresh();
    this.#network.shownOn(this.#screen);
    try {
      this.#screen.show({ title: this.#title(), slots: [...passed], trying: null, nextAttemptSeconds: null });
      if (await this.#calms(passed)) return null;
      for (let step = this.#nextStep(); step !== null; step = this.#nextStep()) {
        const recovered = await this.#carryOut(step);
        if (recovered === null) continue;
        // its boot is to be reported, by the way that is up
        keepsNetwork = this.#boot.control.recovery.report !== null;
        return recovered;
      }
      if (this.#isOptional) return this.#endOptional();
      this.#tellPutOff();
      await this.#hold(passed);
      return null;
    } finally {
      this.#network.shownOn(null);
      // before all else that may fail: it has timers of its own
      if (!keepsNetwork) this.#network.close();
      this.#boot.alsoChore = null;
      this.#screen.end();
    }
  }

  /** The network, for the report: the steps' own, where it is up still. It stays up until {@link closeNetwork}. */
  network(): DeskNetwork | null {
    return this.#network.open();
  }

  closeNetwork(): void {
    this.#network.close();
  }

  /** For the report of a boot of `slot`. */
  told(slot: SlotName): ToldRecovery {
    const rung = this.#booted !== null && this.#booted.slot === slot ? this.#booted.rung : null;
    const { steps } = this.#told;
    return { asked: this.#asked?.who ?? null, rung, steps, network: this.#network.told, reportedTo: null };
  }

  /** What was asked for came to nothing, and a slot boots all the same: the recovery is over. */
  leave(): void {
    const changed = beginPass(this.#counters.record, this.#asked?.obeyed);
    if (JSON.stringify(changed) !== JSON.stringify(this.#counters.record)) this.#counters.change(changed);
  }

  #title(): string {
    if (!this.#isOptional) return "no slot boots";
    const { who } = this.#asked ?? { who: null };
    return who === null ? "a recovery that was cut off goes on" : `a recovery was asked for (${who})`;
  }

  /** The record as the next step takes it up. */
  #record(): BootRecord {
    const { record } = this.#counters;
    return this.#isNew ? beginPass(record, this.#asked?.obeyed) : record;
  }

  #nextStep(): LadderStep | null {
    return nextStep(this.#record(), this.#rungs, policyOf(this.#boot.control), this.#facts);
  }

  /** The system of the step before could not be handed over to. */
  #closeBooted(): null {
    const booted = this.#booted;
    const reason = booted?.slot ? this.#counters.failed.get(booted.slot) : undefined;
    if (booted !== null) this.#told.hasFailed(booted, reason ?? "its try could not be counted");
    return null;
  }

  /** What was asked for is over. From here on the whole ladder is at hand, should no slot boot. */
  #endOptional(): null {
    this.#isOptional = false;
    this.#counters.forgetFailures([...this.#spared]);
    this.#rungs = this.#boot.control.recovery.ladder;
    return null;
  }

  async #carryOut(step: LadderStep): Promise<Recovered | null> {
    const told = this.#told.begin(step.rung, step.slot);
    this.#screen.show({ trying: `${step.rung}: slot ${step.slot}` });
    let result: PutResult;
    try {
      result = await this.#do(step, told);
    } catch (error) {
      if (error instanceof Stuck) return this.#restartFrom(told, error);
      if (error instanceof GivenUp) this.#askedSources(false);
      result = this.#despite(step, error);
    }
    const { outcome, slot, reason } = result;
    told.slot = slot;
    this.#end(step, told, outcome, reason);
    if (outcome !== "booted") return null;
    this.#booted = told;
    if (this.#isOptional && isOneTry(step.rung) && !this.#counters.failed.has(slot)) this.#spared.add(slot);
    this.#counters.forgetFailures([slot]);
    return { slot, why: `recovery by ${step.rung}: ${reason}` };
  }

  /** What came of a step that threw. A slot that it has armed holds its image whole, whatever went wrong after that. */
  #despite(step: LadderStep, error: unknown): PutResult {
    const reason = error instanceof Error ? error.message : String(error);
    const { current } = recoveryOf(this.#counters.record);
    const isArmed = step.do !== "boot" && current !== null && current.rung === step.rung;
    return isArmed ? { outcome: "booted", slot: current.slot, reason } : { outcome: "failed", slot: step.slot, reason };
  }

  async #do(step: LadderStep, told: ToldStep): Promise<PutResult> {
    const { rung, slot, imageId } = step;
    const record = this.#record();
    const again = !this.#facts.ended && isSameStep(interruptedStep(record), { rung, slot, imageId });
    this.#facts.ended = false;
    if (step.do === "boot") {
      const reason = this.#whyTaken(slot);
      this.#change(armOnce(record, { rung, slot, imageId }));
      return { outcome: "booted", slot, reason };
    }
    this.#change(beginStep(record, { rung, slot, imageId }, again));
    const { patience } = this.#boot.control.recovery;
    return whilePatient(this.#boot, patience, ({ signal, advanced }) => {
      const [boot, devices, counters, screen] = [this.#boot, this.#devices, this.#counters, this.#screen];
      const askedSources = (reached: boolean) => this.#askedSources(reached);
      const network = async () => this.#network.open();
      const desk = { boot, devices, counters, screen, signal, advanced, askedSources, network };
      return putImage(desk, step, this.#facts, told);
    });
  }

  /** What somebody asked for is not put off. */
  #askedSources(reached: boolean): void {
    const { sources } = this.#boot.control.recovery;
    if (!reached && !this.#isOptional) this.#facts.unreached = sources.length > 0 && this.#network.open() !== null;
  }

  /** Whether a slot got another try as it is, after a wait: it may be the power that is at fault. */
  async #calms(passed: readonly Skipped[]): Promise<boolean> {
    const { record, failed, writable } = this.#counters;
    const slot = this.#isOptional || !writable ? null : slotToCalm(record, policyOf(this.#boot.control), new Set(failed.keys()));
    if (slot === null) return false;
    await new RecoveryHold(this.#boot, this.#counters, this.#screen, this.#network).calm(slot, passed);
    return true;
  }

  #tellPutOff(): void {
    const { record } = this.#counters;
    const isNew = (rung: Rung) => recoveryOf(record).tried.every((step) => step.rung !== rung);
    for (const rung of this.#rungs.filter((one) => isNew(one) && isPutOff(record, one, this.#facts)))
      this.#told.end(this.#told.begin(rung, null), "passed", "put off, since no source could be reached; they are asked again");
  }

  #whyTaken(slot: SlotName): string {
    const { reason } = this.#counters.record.slots[slot] ?? { reason: null };
    const why = this.#counters.failed.get(slot) ?? reason;
    return why === null ? (this.#asked?.who ? `${this.#asked.who} asks for it` : "it has no tries left") : why;
  }

  #change(record: BootRecord): void {
    this.#isNew = false;
    const wasWritable = this.#counters.writable;
    if (!this.#counters.change(record) && !wasWritable)
      this.#boot.warnOnce("the boot record cannot be written: a power cut makes this recovery begin anew");
  }

  #end(step: LadderStep, told: ToldStep, outcome: ToldStep["outcome"], reason: string): void {
    this.#told.end(told, outcome, reason);
    if (outcome === "booted") return;
    this.#screen.say(`${step.rung}: ${reason}`);
    this.#screen.show({ trying: null, progress: null });
    // All that could be found was tried: nothing is looked for once more.
    const { rung, slot } = step;
    const { record } = this.#counters;
    const last = recoveryOf(record).tried.at(-1);
    if (step.do === "reinstall" && last !== undefined && last.imageId !== null)
      this.#counters.change(beginStep(record, { rung, slot, imageId: null }, false));
    this.#facts.ended = true;
  }

  /** What it holds nobody else may use: the next boot takes the step after it. */
  #restartFrom(told: ToldStep, error: Stuck): never {
    this.#counters.change(giveUpStep(this.#counters.record));
    this.#told.end(told, "failed", error.message);
    this.#boot.log.error(`restarting: ${error.message}`);
    this.#boot.kernel.reboot("restart");
    throw new Error("the kernel refused to restart");
  }

  async #hold(passed: readonly Skipped[]): Promise<void> {
    await new RecoveryHold(this.#boot, this.#counters, this.#screen, this.#network).wait(passed);
    this.#counters.forgetFailures();
    this.#facts.badTargets.clear();
    this.#facts.ended = false;
    this.#facts.unreached = false;
  }
}
