import type { SlotName } from "../../boot/record/record.ts";
import type { ToldStep } from "../../boot/recovery/step.ts";
import type { Rung } from "../../state-ops/recovery.ts";
import type { Counters } from "../sequence/counters.ts";
import type { Launch } from "../sequence/launch.ts";

/** A machine may hold for months: the newest steps are told. */
const MOST_TOLD = 50;

/** What the steps of this boot's recovery did, for the report and the boot journal. */
export class ToldSteps {
  readonly #boot: Launch;
  readonly #counters: Counters;
  readonly steps: ToldStep[] = [];

  constructor(boot: Launch, counters: Counters) {
    this.#boot = boot;
    this.#counters = counters;
  }

  /** A step begins: what is not known yet is filled in by whoever carries it out. */
  begin(rung: Rung, slot: SlotName | null): ToldStep {
    const startMs = Math.round(this.#boot.kernel.now().bootMs);
    const amounts = { startMs, lengthMs: 0, installed: null, networkBytes: 0, writtenBytes: 0 };
    const step: ToldStep = { rung, slot, outcome: "passed", reason: "", ...amounts };
    this.steps.push(step);
    if (this.steps.length > MOST_TOLD) this.steps.shift();
    return step;
  }

  end(step: ToldStep, outcome: ToldStep["outcome"], reason: string): void {
    step.outcome = outcome;
    step.reason = reason;
    step.lengthMs = Math.round(this.#boot.kernel.now().bootMs) - step.startMs;
    const line = stepLine(step);
    this.#boot.log.notice(`recovery: ${line}`);
    this.#counters.tellRecovered(line);
  }

  /** The step's system was booted, and its attempt failed within PID 1. */
  hasFailed(step: ToldStep, reason: string): void {
    if (step.outcome !== "booted") return;
    step.outcome = "failed";
    step.reason = `${step.reason}; then: ${reason}`;
  }
}

/** "safe-mode of slot a: failed, …" */
export function stepLine({ rung, slot, outcome, reason }: ToldStep): string {
  return `${rung}${slot === null ? "" : ` of slot ${slot}`}: ${outcome}, ${reason}`;
}
