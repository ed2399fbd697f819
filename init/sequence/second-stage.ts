/** A boot that goes on with the attempt of the one before: PID 1 started the slot's own kernel, and this is its PID 1. */
import type { SlotName } from "../../boot/record/record.ts";
import { isSecondStage } from "../../boot/selection/begin.ts";
import { joinSkipped, type Skipped } from "../../boot/selection/skipped.ts";
import { takeUp } from "../../boot/selection/start-kernel.ts";
import type { ChosenSlot } from "./chosen-slot.ts";
import type { Counters } from "./counters.ts";
import type { Launch } from "./launch.ts";

/**
 * Takes up the attempt that the command line's nonce belongs to: it was selected and counted, and the nonce is worth nothing from
 * then on. Null where no attempt waits for that nonce: this is a boot like any other then.
 */
export function takeUpAttempt(boot: Launch, counters: Counters): ChosenSlot | null {
  const { record } = counters;
  const { kexec: nonce } = boot.words;
  const { attempt } = record;
  if (!isSecondStage(record, nonce) || attempt?.kexec === undefined) {
    boot.warn(`slipway.kexec=${nonce} is refused: no attempt waits for it; this boot is counted as any other`);
    return null;
  }
  const { slot, kexec } = attempt;
  // As the first stage saw it, before what it wrote itself.
  const { skipped } = counters.choose();
  counters.change(takeUp(record));
  counters.reach("counted");
  const why = `second stage of attempt ${attempt.number}, on the slot's own kernel`;
  const left = joinSkipped(failedBefore(counters, attempt.number), skipped).filter((other) => other.slot !== slot);
  return { slot, why, skipped: left, isRecovered: false, previousEnd: kexec.previousEnd };
}

/** Slots that failed in the first stage: one attempt after the other, up to this one. */
function failedBefore({ journal }: Counters, attempt: number): Skipped[] {
  let failed: Skipped[] = [];
  for (let number = attempt - 1; ; number--) {
    const entry = journal.find((candidate) => candidate.attempt === number);
    if (entry?.outcome !== "failed" || entry.reason === null) return failed;
    failed = joinSkipped([{ slot: entry.slot, reason: entry.reason }], failed);
  }
}

/** Another slot has another kernel, which a second stage does not start: the first one of the next boot chooses, and counts. */
export function restartToChoose({ log, kernel }: Launch, slot: SlotName): never {
  log.error(`slot ${slot} failed on its own kernel: restarting, so that the next boot chooses`);
  kernel.reboot("restart");
  throw new Error("the kernel refused to restart");
}
