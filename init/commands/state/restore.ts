import { validGenerations } from "../../../state-ops/generation-facts.ts";
import { generationName, parseGenerationName } from "../../../state-ops/layout.ts";
import { BadInput, Refusal } from "../../../state-ops/outcome.ts";
import { requestLines, type StateRequests } from "../../../state-ops/requests.ts";
import type { Descriptor, Kernel } from "../../kernel/kernel.ts";
import { linuxKernel } from "../../kernel/linux.ts";
import { readGenerations } from "../../state/data-filesystem.ts";
import { withRecordLock } from "../../store/record-lock.ts";
import { LOCK_WAIT } from "../change-record.ts";
import { withDataFilesystem } from "../data-access.ts";
import { type Machine, PLACES, type Places, readMachine } from "../machine.ts";
import { flag, type Verb } from "../verb.ts";
import { readRequests, writeRequests } from "./request-file.ts";

/** What `slipway state restore` has to say. */
export interface RestoreAnswer {
  changed: boolean;
  slot: string;
  /** "000004"; null where it was taken back. */
  generation: string | null;
  /** Why the generation was kept; null where nothing pins it. */
  pinned: string | null;
  /** All that the next boot is asked for now. */
  requests: StateRequests;
  warnings: string[];
  /** What to do next, one sentence. */
  next: string;
}

type Asked = Pick<RestoreAnswer, "generation" | "pinned" | "next"> & { carry: StateRequests["carry"] };

/**
 * Asks the next boot of the running slot to go on with a clone of generation `number`. Throws BadInput for one that is not there,
 * Refusal for one that is damaged or that runs, and where the data filesystem does not take the request.
 */
export function restoreState(kernel: Kernel, places: Places, number: number): RestoreAnswer {
  return withRequests(kernel, places, (machine, data) => {
    const { slot, generation: running } = machine.report;
    const { generations } = readGenerations(kernel, data, machine.policy.slots);
    const found = generations.find((entry) => entry.number === number);
    const name = generationName(number);
    if (found === undefined) {
      const known = generations.map((entry) => generationName(entry.number)).sort();
      throw new BadInput(`there is no generation ${name}; there are: ${known.join(", ") || "none"}; see slipway state list`);
    }
    if (!validGenerations(generations).some((entry) => entry.number === number)) {
      throw new Refusal(`generation ${name} is damaged or incomplete, and no slot can go on with it`);
    }
    if (running === name) throw new Refusal(`slot ${slot} runs with generation ${name}, and goes on with it`);
    const next = 'reboot (systemctl reboot) to go on with it, or take it back with "slipway state restore --cancel".';
    return { carry: { slot, generation: number }, generation: name, pinned: found.pinned?.reason ?? null, next };
  });
}

/** Takes back what was asked for, whoever asked. Doing it twice changes nothing more. */
export function cancelRestore(kernel: Kernel, places: Places): RestoreAnswer {
  return withRequests(kernel, places, () => ({ carry: null, generation: null, pinned: null, next: "nothing to do." }));
}

function withRequests(kernel: Kernel, places: Places, ask: (machine: Machine, data: Descriptor) => Asked): RestoreAnswer {
  const machine = readMachine(kernel, places);
  return withRecordLock(kernel, places.lock, "slipway state restore", LOCK_WAIT, () =>
    withDataFilesystem(kernel, machine, (data) => {
      const { requests: pending, fault } = readRequests(kernel, data);
      const { carry, ...asked } = ask(machine, data);
      const requests: StateRequests = { ...pending, carry };
      const changed = fault !== null || JSON.stringify(requests) !== JSON.stringify(pending);
      if (changed) writeRequests(kernel, data, requests);
      const warnings = fault === null ? [] : [`what was asked for before is lost: ${fault}`];
      return { ...asked, changed, slot: machine.report.slot, requests, warnings };
    }),
  );
}

/** The answer as people read it. */
function restoreText({ slot, generation, pinned, requests, next }: RestoreAnswer): string {
  return [
    generation === null
      ? `Slot ${slot} goes on with its own state.`
      : `At its next boot slot ${slot} goes on with a clone of generation ${generation}; its own is kept, and pinned.`,
    ...(pinned === null ? [] : [`Note: generation ${generation} is pinned: ${pinned}.`]),
    ...requestLines(requests).map((text) => `Pending: ${text}.`),
    `Next: ${next}`,
  ].join("\n");
}

/** The number that is meant; null to take it back. Throws BadInput. */
function numberOf(cancel: boolean, word: string | undefined): number | null {
  if (cancel) {
    if (word !== undefined) throw new BadInput(`--cancel takes the request back; leave ${word} out, or --cancel`);
    return null;
  }
  if (word === undefined) throw new BadInput('say which generation: "slipway state list" shows them');
  const number = parseGenerationName(word.padStart(6, "0"));
  if (number === null) throw new BadInput(`"${word}" is no generation; "slipway state list" shows them`);
  return number;
}

export const verb: Verb = {
  help: `
Usage: slipway state restore N [--json]
       slipway state restore --cancel [--json]

Asks the next boot of the running slot to go on with a clone of generation N: one that a recovery set aside, that a rollback
left, or an older one that is still there ("slipway state list", "slipway status"). The slot's own state is kept, and pinned;
generation N stays as it is. What is shared and identity stays the machine's own. A recovery at that boot comes first and drops
the request. In safe mode it is the way back to a state that is known to be good.

Options:
  --cancel  take the request back, also one of "slipway rollback --state current"
  --json    print one JSON object: changed, slot, generation, pinned, requests (reset, carry), warnings, next`,
  options: { cancel: { type: "boolean" }, json: { type: "boolean" } },
  positionals: ["N?"],
  async run(values, [word]) {
    const kernel = linuxKernel();
    const number = numberOf(flag(values, "cancel"), word);
    const answer = number === null ? cancelRestore(kernel, PLACES) : restoreState(kernel, PLACES, number);
    if (flag(values, "json")) {
      console.log(JSON.stringify({ schema: 1, ...answer }));
      return 0;
    }
    console.log(restoreText(answer));
    for (const warning of answer.warnings) console.error(`Warning: ${warning}`);
    return 0;
  },
};
