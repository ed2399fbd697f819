import type { BootRecord, SlotName } from "../../boot/record/record.ts";
import { endCleanly, isSafeMode } from "../../boot/selection/running.ts";
import { slotOf } from "../../boot/selection/slots.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { linuxKernel } from "../kernel/linux.ts";
import { changeRecord, writeRecord } from "./change-record.ts";
import { PLACES, type Places } from "./machine.ts";
import { failureActions } from "./systemctl.ts";
import { flag, type Verb } from "./verb.ts";

/** The machine is going down and will not wait long for us, milliseconds. */
const LOCK_WAIT = 5_000;

export interface CleanEnd {
  slot: SlotName;
  /** Whether the slot got its try back. */
  credited: boolean;
  /** Why, or why not. */
  why: string;
}

/** Why a clean end earns no credit; null when it does. */
function whyNoCredit(record: BootRecord, slot: SlotName, systemctl: string): string | null {
  if (slotOf(record, slot).state !== "committed" && !isSafeMode(record)) return "a trial gets no try back";
  const actions = failureActions(systemctl);
  if (actions === null) return "systemd did not tell whether a failure caused the shutdown";
  return actions.length > 0 ? actions.join("; ") : null;
}

/**
 * Notes in the boot record that this boot ends cleanly, and gives a committed slot its try back unless a failure action
 * may have caused the end. Throws Refusal where the machine was not booted by slipway, Error where the record cannot be
 * written.
 */
export function endBootCleanly(kernel: Kernel, places: Places): CleanEnd {
  const change: Parameters<typeof changeRecord<CleanEnd>>[3] = ({ machine, store, record, journal }) => {
    const { slot, attempt } = machine.report;
    if (record.attempt?.number !== attempt) {
      return { slot, credited: false, why: `the boot record is not about this boot (attempt ${attempt}): nothing noted` };
    }
    const reason = whyNoCredit(record, slot, places.systemctl);
    const ended = endCleanly(record, machine.policy, { credit: reason === null, unixMs: Math.round(kernel.now().unixMs) });
    writeRecord(store, ended);
    const entry = journal.find((candidate) => candidate.attempt === attempt);
    if (entry?.outcome === "running") store.updateJournal(attempt, { outcome: "clean" });
    else if (entry?.outcome === "good") store.updateJournal(attempt, { reason: entry.reason ?? "shut down cleanly" });
    const credited = slotOf(ended, slot).tries > slotOf(record, slot).tries;
    return {
      slot,
      credited,
      why:
        reason ??
        (credited ? `a clean shutdown of ${isSafeMode(record) ? "safe mode" : "a committed slot"}` : "it had its tries already"),
    };
  };
  return changeRecord(kernel, places, "slipway shutdown-credit", change, LOCK_WAIT);
}

export const verb: Verb = {
  help: `
Usage: slipway shutdown-credit [--json]

Run by slipway-clean-shutdown.service when the machine goes down: notes in the boot record that this boot ended cleanly, and
gives a committed slot its try back, at most three times between good boots. A trial gets none, nor does an end that a
unit's FailureAction=, StartLimitAction= or a target's JobTimeoutAction= may have caused. Not meant to be run by hand.

Options:
  --json    print one JSON object: slot, credited, why`,
  options: { json: { type: "boolean" } },
  positionals: [],
  async run(values) {
    const end = endBootCleanly(linuxKernel(), PLACES);
    const words = `slipway: slot ${end.slot} ended cleanly, ${end.credited ? "and gets its try back" : "without credit"}: ${end.why}`;
    console.log(flag(values, "json") ? JSON.stringify({ schema: 1, ...end }) : words);
    return 0;
  },
};
