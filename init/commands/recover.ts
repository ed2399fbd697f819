import type { BootRecord } from "../../boot/record/record.ts";
import { askFor, takeBack } from "../../boot/recovery/asked.ts";
import { recoveryOf } from "../../boot/recovery/known.ts";
import { rungsAsked } from "../../boot/recovery/ladder.ts";
import { slotOf } from "../../boot/selection/slots.ts";
import { BadInput, Refusal } from "../../state-ops/outcome.ts";
import { RUNGS, type Rung } from "../../state-ops/recovery.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { linuxKernel } from "../kernel/linux.ts";
import { type Answer, finish, print } from "./answer.ts";
import { type Change, changeRecord } from "./change-record.ts";
import { type Machine, PLACES, type Places } from "./machine.ts";
import { flag, type Verb } from "./verb.ts";

/** What was asked for, beside what every answer says. */
export interface RecoverAnswer extends Answer {
  /** What the next boot is asked for; null: nothing. */
  asked: Rung | "ladder" | null;
}

/** What each rung does, as one sentence. */
const DOES: Record<Rung, string> = {
  "previous-generation": "a slot boots with the persistent state that it had before",
  "safe-mode": "a slot boots with memory in the place of its persistent state; that cannot be committed",
  repair: "the damaged blocks of what the slots hold are made whole",
  reinstall: "an image is installed and booted; the state is kept",
  "reinstall-fresh":
    "an image is installed and booted with new persistent state; the old is kept aside, shared and identity state stay",
};

function rungOf(word: string): Rung {
  const rung = RUNGS.find((known) => known === word);
  if (rung !== undefined) return rung;
  throw new BadInput(`"${word}" is no rung of a recovery; known are ${RUNGS.join(", ")}, or none for the whole ladder`);
}

function ladderOf({ control, report }: Machine): Rung[] {
  if (control.recovery === null) {
    throw new Refusal("the initrd of this boot is of a version that knows no recovery; build and install an initrd anew");
  }
  if (control.recovery.ladder.length > 0) return control.recovery.ladder;
  throw new Refusal(
    `this machine's system.yaml says "recovery: off", so that nothing would be tried; another slot than ${report.slot} boots by "slipway rollback"`,
  );
}

/** PID 1 could not count there either. Throws Refusal that says what stays as it was. */
function writeOrRefuse({ store }: Change, changed: BootRecord, stays: string): void {
  const outcome = store.write(changed);
  if (!outcome.written) throw new Refusal(`${stays}: the boot record cannot be written: ${outcome.reason}`);
}

/** Where an image could come from, apart from the slots. */
function isAlone({ control }: Machine): boolean {
  const from = control.recovery;
  return from === null || (from.sources.length === 0 && from.factory === null && !from.media);
}

function warningsFor(facts: Change, rungs: readonly Rung[]): string[] {
  const { machine, record } = facts;
  const { slot } = machine.report;
  const installs = rungs.some((rung) => rung === "reinstall" || rung === "reinstall-fresh");
  return [
    ...(slotOf(record, slot).state === "committed"
      ? []
      : [`slot ${slot} runs on trial; the recovery does not wait for its commit, and may put another image there`]),
    ...(installs && isAlone(machine)
      ? ["recovery has no source, no factory partition and no media: only what the slots hold can be installed"]
      : []),
  ];
}

/**
 * Asks the next boot for a recovery: for one rung, or for the whole ladder. Throws BadInput for a word that is no rung, Refusal
 * where the control file allows no recovery or not this rung, and where the record cannot be written.
 *
 * @param word the rung; null for the ladder
 */
export function recover(kernel: Kernel, places: Places, word: string | null): RecoverAnswer {
  const asked = word === null ? ("ladder" as const) : rungOf(word);
  return changeRecord(kernel, places, "slipway recover", (facts) => {
    const { machine, record } = facts;
    const ladder = ladderOf(machine);
    if (asked !== "ladder" && !ladder.includes(asked)) {
      throw new Refusal(`this machine's recovery has no rung ${asked}; its ladder is ${ladder.join(", ")}`);
    }
    const changed = askFor(record, asked);
    if (changed !== record) writeOrRefuse(facts, changed, "nothing is asked for");
    const through = rungsAsked(ladder, asked);
    return {
      slot: machine.report.slot,
      changed: changed !== record,
      did: ["The next boot begins a recovery:", ...through.map((rung) => `  ${rung}: ${DOES[rung]}.`)],
      warnings: warningsFor(facts, through),
      next: 'reboot (systemctl reboot) to begin it, or take it back with "slipway recover --cancel".',
      asked,
    };
  });
}

/** Takes back what was asked for and has not begun. Throws Refusal where the record cannot be written. */
export function cancelRecovery(kernel: Kernel, places: Places): RecoverAnswer {
  return changeRecord(kernel, places, "slipway recover", (facts) => {
    const { machine, record } = facts;
    const { asked } = recoveryOf(record);
    const { slot } = machine.report;
    if (asked === null) {
      const did = ["No recovery is asked for: nothing to take back."];
      return { slot, changed: false, did, warnings: [], next: "nothing to do.", asked: null };
    }
    writeOrRefuse(facts, takeBack(record), "the recovery stays asked for");
    const what = asked === "ladder" ? "the recovery" : `the recovery by ${asked}`;
    return {
      slot,
      changed: true,
      did: [`The next boot is not asked for ${what} any more.`],
      warnings: [],
      next: "nothing to do.",
      asked: null,
    };
  });
}

export const verb: Verb = {
  help: `
Usage: slipway recover [RUNG] [--reboot] [--json]
       slipway recover --cancel [--json]

Asks the next boot for a recovery, although a slot may boot: for one rung of the ladder, or for what the ladder has to look
after the slots. Refused for a rung that system.yaml's recovery: does not have. Shared and identity state survive every rung.

Rungs, gentlest first:
${RUNGS.map((rung) => `  ${rung}\n      ${DOES[rung]}`).join("\n")}

Options:
  --cancel  take back what was asked for, as long as no boot has begun it
  --reboot  reboot at once
  --json    print one JSON object: slot, changed, did, warnings, next, asked`,
  options: { cancel: { type: "boolean" }, reboot: { type: "boolean" }, json: { type: "boolean" } },
  positionals: ["RUNG?"],
  async run(values, [rung]) {
    const kernel = linuxKernel();
    const json = flag(values, "json");
    if (flag(values, "cancel")) {
      if (rung !== undefined) throw new BadInput(`--cancel takes back whatever was asked for; leave "${rung}" out`);
      if (flag(values, "reboot")) throw new BadInput("--cancel and --reboot together make no sense; leave one out");
      print(cancelRecovery(kernel, PLACES), json);
      return 0;
    }
    return finish(recover(kernel, PLACES, rung ?? null), { json, reboot: flag(values, "reboot") }, PLACES);
  },
};
