import { markBad } from "../../boot/selection/running.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { linuxKernel } from "../kernel/linux.ts";
import { type Answer, print } from "./answer.ts";
import { changeRecord, writeRecord } from "./change-record.ts";
import { withEmptySlots } from "./empty-slots.ts";
import { PLACES, type Places, requireSlot } from "./machine.ts";
import { nextBoot } from "./next-boot.ts";
import { flag, text, type Verb } from "./verb.ts";

/**
 * Gives a slot up: it boots no more until it is activated or gets another image. Throws BadInput for a slot that is not
 * there, Refusal for the only one that can boot, Error where the record cannot be written.
 */
export function markSlotBad(kernel: Kernel, places: Places, name: string, reason: string): Answer {
  return changeRecord(kernel, places, "slipway mark-bad", ({ machine, store, record }) => {
    const slot = requireSlot(machine, name);
    const marked = markBad(withEmptySlots(kernel, machine, record), slot, reason, machine.policy);
    writeRecord(store, marked);
    const running = slot === machine.report.slot;
    const noted = running ? store.updateJournal(machine.report.attempt, { reason: `marked bad: ${reason}` }) : null;
    const next = nextBoot(marked, machine.policy, true).slot;
    return {
      slot,
      changed: true,
      did: [`Slot ${slot} boots no more (${reason}).`, `The next boot is slot ${next}.`],
      warnings: noted === null || noted.written ? [] : [`the boot journal does not say so: ${noted.reason}`],
      next: running
        ? `reboot (systemctl reboot) to go to slot ${next}.`
        : `run "slipway install --slot ${slot}" with a good image.`,
    };
  });
}

export const verb: Verb = {
  help: `
Usage: slipway mark-bad SLOT [--reason TEXT] [--json]

Gives a slot up: it boots no more until it is activated or gets another image. Refused for the only slot that can boot.

Options:
  --reason TEXT  why, for "slipway status" (default: marked bad by operator); cut at 160 characters
  --json         print one JSON object: slot, changed, did, warnings, next`,
  options: { reason: { type: "string" }, json: { type: "boolean" } },
  positionals: ["SLOT"],
  async run(values, [slot = ""]) {
    print(markSlotBad(linuxKernel(), PLACES, slot, text(values, "reason") ?? "marked bad by operator"), flag(values, "json"));
    return 0;
  },
};
