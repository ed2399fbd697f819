import { rollBack } from "../../boot/selection/running.ts";
import { slotOf } from "../../boot/selection/slots.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { linuxKernel } from "../kernel/linux.ts";
import { type Answer, finish } from "./answer.ts";
import { withEmptySlots } from "./empty-slots.ts";
import { changeRecord, PLACES, type Places, writeRecord } from "./machine.ts";
import { flag, type Verb } from "./verb.ts";

/**
 * Makes the next boot leave the running slot for the best other one. Throws Refusal where no other slot can boot, Error
 * where the record cannot be written.
 */
export function rollback(kernel: Kernel, places: Places): Answer {
  return changeRecord(kernel, places, "slipway rollback", ({ machine, store, record }) => {
    const { slot, attempt } = machine.report;
    const reason = "rolled back by operator";
    const trial = slotOf(record, slot).state !== "committed";
    const { record: left, target } = rollBack(withEmptySlots(kernel, machine, record), slot, machine.policy, reason);
    writeRecord(store, left);
    const noted = store.updateJournal(attempt, { reason: `${reason}, to slot ${target}` });
    return {
      slot: target,
      changed: true,
      did: [
        `The next boot is slot ${target}.`,
        trial
          ? `Slot ${slot}, which runs, was on trial and is given up; "slipway activate ${slot}" would put it on trial again.`
          : `Slot ${slot}, which runs, stays committed and is the fallback; "slipway activate ${slot}" would put it first again.`,
      ],
      warnings: noted.written ? [] : [`the boot journal does not say so: ${noted.reason}`],
      next: `reboot (systemctl reboot) to go to slot ${target}.`,
    };
  });
}

export const verb: Verb = {
  help: `
Usage: slipway rollback [--reboot] [--json]

Makes the next boot leave the running slot: for the first committed slot that can boot, else for any other that can. A trial
that is left is given up, a committed slot stays as the fallback. State goes back with the slot, except what is declared
shared or identity.

Options:
  --reboot  reboot at once
  --json    print one JSON object: slot, changed, did, warnings, next`,
  options: { reboot: { type: "boolean" }, json: { type: "boolean" } },
  positionals: [],
  async run(values) {
    const answer = rollback(linuxKernel(), PLACES);
    return finish(answer, { json: flag(values, "json"), reboot: flag(values, "reboot") }, PLACES);
  },
};
