import { Refusal } from "../../state-ops/outcome.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { changeRecord } from "./change-record.ts";
import { isUncommitted, type Machine, type Places, readMachine } from "./machine.ts";
import { forceReboot } from "./systemctl.ts";

/** The reboot must come, whoever holds the lock, milliseconds. */
const LOCK_WAIT = 5_000;

/** Notes why in the boot journal; a failure to do so is returned, never thrown. */
function note(kernel: Kernel, places: Places, reason: string): string | null {
  try {
    return changeRecord(
      kernel,
      places,
      "slipway, which ends a trial's try",
      ({ machine, store, journal }) => {
        const { attempt } = machine.report;
        const before = journal.find((entry) => entry.attempt === attempt)?.reason ?? null;
        const whole = before === null ? reason : `${reason}; ${before}`;
        const noted = isUncommitted(kernel, places) ? store.updateJournal(attempt, { outcome: "failed", reason: whole }) : null;
        return noted === null || noted.written ? null : noted.reason;
      },
      LOCK_WAIT,
    );
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/**
 * Ends this try of the image on trial: notes why in the boot journal, and reboots without waiting for any unit to stop, so
 * without credit. Does nothing once the image is committed. Returns what it did, one sentence. Throws Refusal where no boot
 * is counted: nothing can be committed there either, and the machine would restart for ever.
 *
 * @param reasonOf why, from what was declared
 */
export function giveUpTry(kernel: Kernel, places: Places, reasonOf: (machine: Machine) => string): string {
  const machine = readMachine(kernel, places);
  const { slot, record } = machine.report;
  if (!isUncommitted(kernel, places)) {
    throw new Refusal(`slot ${slot} is committed, so there is no trial to end; nothing was done`);
  }
  if (!record.writable) {
    throw new Refusal(
      `slot ${slot} goes on: PID 1 could not write the boot record, so this try was not counted and the next boot would be the same; see slipway status`,
    );
  }
  const reason = reasonOf(machine);
  const fault = note(kernel, places, reason);
  // A commit that was under way has won.
  if (!isUncommitted(kernel, places)) return `slot ${slot} was committed in the meantime; nothing was done`;
  console.error(`slipway: slot ${slot}: ${reason}; rebooting`);
  if (fault !== null) console.error(`slipway: the boot journal does not say so: ${fault}`);
  forceReboot(kernel, places.systemctl);
  return `slot ${slot}: ${reason}; the machine was told to reboot`;
}
