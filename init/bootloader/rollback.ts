/** Giving up a bootloader's trial, or going back to the other boot directory's. */
import { editionText } from "../../boot/bootloader/edition.ts";
import { putRight, wantedEditions } from "../../boot/bootloader/put-right.ts";
import { withFailedTrial } from "../../boot/bootloader/record.ts";
import { settle, trialFate } from "../../boot/bootloader/settle.ts";
import { OPERATOR_ROLLBACK } from "../../boot/record/reason.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import { type Change, changeRecord, LOCK_WAIT, writeRecord } from "../commands/change-record.ts";
import { type Places, readMachine } from "../commands/machine.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { type Bootloaders, carryOut, gatherFacts, stepText, withBootloaders } from "./gather.ts";

export interface BootloaderRolledBack {
  did: string[];
  /** Whether the bootloader that runs is another one than the next boot's. */
  reboot: boolean;
}

/**
 * Ends a trial that waits or runs, so that the next boot is by the committed bootloader; without one, makes the other boot
 * directory's the committed one. Throws Refusal where there is no other one that is whole.
 */
export function rollBackBootloader(kernel: Kernel, places: Places): BootloaderRolledBack {
  const machine = readMachine(kernel, places);
  return withBootloaders(kernel, places, machine, "look", (bootloaders) =>
    changeRecord(kernel, places, "slipway bootloader rollback", (change) => goBack(kernel, bootloaders, change), LOCK_WAIT),
  );
}

function goBack(kernel: Kernel, bootloaders: Bootloaders, { store, record }: Change): BootloaderRolledBack {
  const facts = gatherFacts(kernel, bootloaders, record, "sizes");
  const fate = trialFate(facts);
  const { trial } = facts.record;
  const given = trial !== null && fate.is !== "failed";
  if (given) {
    const ended = { ...facts, record: withFailedTrial(facts.record, OPERATOR_ROLLBACK) };
    const wanted = wantedEditions(ended);
    const next = facts.firmware.next === trial.entry ? [{ remove: "next" as const, why: OPERATOR_ROLLBACK }] : [];
    const steps = [...next, ...putRight(ended, wanted)];
    carryOut(bootloaders.variables, steps);
    writeRecord(store, { ...record, bootloader: ended.record });
    const told = `The trial of ${editionText(trial.edition)} is given up; ${wanted.first === null ? "what the firmware finds" : editionText(wanted.first)} boots next.`;
    return { did: [told, ...steps.map(stepText)], reboot: fate.is === "running" };
  }
  const { record: settled, wanted, warnings } = settle(facts, false);
  const { first, second } = wanted;
  if (second === null) {
    throw new Refusal(
      `there is no other bootloader to go back to (${warnings.join("; ")}); run "slipway bootloader install DIR"`,
    );
  }
  const back = { ...facts, record: { ...settled, committed: second } };
  const steps = putRight(back, { first: second, second: first, why: null });
  carryOut(bootloaders.variables, steps);
  writeRecord(store, { ...record, bootloader: back.record });
  return {
    did: [`The bootloader ${editionText(second)} boots first from now on.`, ...steps.map(stepText)],
    reboot: true,
  };
}
