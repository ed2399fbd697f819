import { BadInput, Refusal } from "../../state-ops/outcome.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { linuxKernel } from "../kernel/linux.ts";
import { type Answer, print } from "./answer.ts";
import { commitWhole } from "./commit.ts";
import { PLACES, type Places, readMachine } from "./machine.ts";
import { slotWithBootname } from "./rauc/bootnames.ts";
import { preInstall, raucTargets } from "./rauc/pre-install.ts";
import { currentSlot, primarySlot, setBad, setOtherGood, setPrimary, slotState } from "./rauc/states.ts";
import type { Verb } from "./verb.ts";

/** Words after the verb, by the first of them. */
const FORMS: Record<string, string> = {
  "get-current": "",
  "get-primary": "",
  "set-primary": "BOOTNAME",
  "get-state": "BOOTNAME",
  "set-state": "BOOTNAME good|bad",
  "pre-install": "",
};

/** Throws BadInput unless `words` are as many as the form has. */
function checkForm(word: string, given: readonly string[]): void {
  const form = Object.hasOwn(FORMS, word) ? FORMS[word] : undefined;
  if (form === undefined) throw new BadInput(`"${word}" is none of ${Object.keys(FORMS).join(", ")}`);
  const wanted = form.split(" ").filter((name) => name !== "");
  if (given.length === wanted.length) return;
  throw new BadInput(`slipway rauc-backend ${word} takes ${form || "no argument"}, got "${given.join(" ")}"`);
}

async function setState(kernel: Kernel, places: Places, bootname: string, state: string): Promise<Answer> {
  if (state === "bad") return setBad(kernel, places, bootname);
  if (state !== "good") throw new BadInput(`a slot's state is good or bad, not "${state}"`);
  const machine = readMachine(kernel, places);
  const slot = slotWithBootname(machine, bootname);
  return slot === machine.report.slot ? commitWhole(kernel, places) : setOtherGood(kernel, places, slot);
}

/** RAUC shows its user what a handler says in this form (parse_handler_output of its src/install.c). */
async function preInstallTold(kernel: Kernel, places: Places): Promise<string[]> {
  try {
    return await preInstall(kernel, places, raucTargets(process.env));
  } catch (error) {
    if (error instanceof BadInput || error instanceof Refusal) console.log(`<< error slipway: ${error.message}`);
    throw error;
  }
}

export const verb: Verb = {
  help: `
Usage: slipway rauc-backend get-current
       slipway rauc-backend get-primary
       slipway rauc-backend set-primary BOOTNAME
       slipway rauc-backend get-state BOOTNAME
       slipway rauc-backend set-state BOOTNAME good|bad
       slipway rauc-backend pre-install

RAUC's custom bootloader backend, by the names and words of RAUC: /usr/lib/slipway/rauc-backend calls it. RAUC's own commands
then do by slipway's rules what these do: "rauc status mark-active" slipway activate, "mark-good" slipway commit, "mark-bad"
slipway mark-bad. A slot is good where it boots when its turn comes. RAUC's install calls a slot bad before it writes to it;
that is refused, and nothing is written, where slipway install would be: while the running slot is on trial, or another one waits
for its trial. Why stands in the journal of rauc.service. "mark-good other" gives the slot its tries again, and commits nothing.

get-current is the slot that runs, for rauc.service (--override-boot-slot). pre-install is for RAUC's handler of that name, with
any bootloader: it refuses what an install refuses, where RAUC takes another device for a slot than slipway, and while slipway
installs.`,
  options: {},
  positionals: ["WORD", "BOOTNAME?", "STATE?"],
  async run(_values, [word = "", ...given]) {
    const kernel = linuxKernel();
    checkForm(word, given);
    const [bootname = "", state = ""] = given;
    if (word === "get-current") console.log(currentSlot(kernel, PLACES));
    else if (word === "get-primary") console.log(primarySlot(kernel, PLACES));
    else if (word === "get-state") console.log(slotState(kernel, PLACES, bootname));
    else if (word === "set-primary") print(setPrimary(kernel, PLACES, bootname), false);
    else if (word === "set-state") print(await setState(kernel, PLACES, bootname, state), false);
    else for (const line of await preInstallTold(kernel, PLACES)) console.log(line);
    return 0;
  },
};
