import type { JournalEntry } from "../../boot/record/journal.ts";
import { OPERATOR_ROLLBACK } from "../../boot/record/reason.ts";
import type { BootRecord, SlotName } from "../../boot/record/record.ts";
import { rollBack } from "../../boot/selection/running.ts";
import { slotOf } from "../../boot/selection/slots.ts";
import { generationName, parseGenerationName } from "../../state-ops/layout.ts";
import { BadInput, Refusal } from "../../state-ops/outcome.ts";
import type { StateRequests } from "../../state-ops/requests.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";
import { linuxKernel } from "../kernel/linux.ts";
import { readGenerations } from "../state/data-filesystem.ts";
import { type Answer, finish } from "./answer.ts";
import { changeRecord, writeRecord } from "./change-record.ts";
import { withDataFilesystem } from "./data-access.ts";
import { withEmptySlots } from "./empty-slots.ts";
import { refuseUnheard } from "./loader-facts.ts";
import { type Machine, PLACES, type Places } from "./machine.ts";
import { type RollbackState, rollbackState } from "./rollback-state.ts";
import { readRequests, writeRequests } from "./state/request-file.ts";
import { flag, text, type Verb } from "./verb.ts";

/** Which state the slot goes on with: its own, as it was left, or a clone of the running one's. */
export type WhichState = "old" | "current";

export interface RollbackAnswer extends Answer {
  /** Null where no state is kept, or it cannot be looked at. */
  state: (Omit<RollbackState, "story"> & { carried: string | null }) | null;
}

/**
 * Makes the next boot leave the running slot for the best other one. Throws Refusal where no other slot can boot, and where
 * the `current` state is to be taken along and there is none; Error where the record cannot be written.
 */
export function rollback(kernel: Kernel, places: Places, which: WhichState = "old"): RollbackAnswer {
  return changeRecord(kernel, places, "slipway rollback", ({ machine, store, record, journal }) => {
    refuseUnheard(kernel, places, machine);
    const { slot, attempt } = machine.report;
    const trial = slotOf(record, slot).state !== "committed";
    const { record: left, target } = rollBack(withEmptySlots(kernel, machine, record), slot, machine.policy, OPERATOR_ROLLBACK);
    // First the request: a boot of any other slot than its target drops it.
    const told = prepareState(kernel, machine, { record: left, journal, target, which });
    try {
      writeRecord(store, left);
    } catch (error) {
      takeBack(told);
      throw error;
    }
    const noted = store.updateJournal(attempt, { reason: `${OPERATOR_ROLLBACK}, to slot ${target}` });
    return {
      slot: target,
      changed: true,
      did: [
        `The next boot is slot ${target}.`,
        trial
          ? `Slot ${slot}, which runs, was on trial and is given up; "slipway activate ${slot}" would put it on trial again.`
          : `Slot ${slot}, which runs, stays committed and is the fallback; "slipway activate ${slot}" would put it first again.`,
        ...told.did,
      ],
      warnings: [...told.warnings, ...(noted.written ? [] : [`the boot journal does not say so: ${noted.reason}`])],
      next: `reboot (systemctl reboot) to go to slot ${target}.`,
      state: told.state,
    };
  });
}

/** What stays asked for where this fails too is dropped by the next boot of the slot that runs. */
function takeBack(told: ToldState): void {
  try {
    told.takeBack();
  } catch (error) {
    if (!(error instanceof Refusal) && !(error instanceof KernelError)) throw error;
  }
}

interface Target {
  record: BootRecord;
  journal: readonly JournalEntry[];
  target: SlotName;
  which: WhichState;
}

interface ToldState extends Pick<RollbackAnswer, "state"> {
  did: string[];
  warnings: string[];
  /** Undoes what was asked of the next boot, where that is still possible. */
  takeBack(): void;
}

function prepareState(kernel: Kernel, machine: Machine, order: Target): ToldState {
  const nothing = { state: null, did: [], warnings: [], takeBack: () => {} };
  const current = machine.report.generation;
  if (order.which === "current" && (machine.report.data === null || current === null)) {
    throw new Refusal("the current state cannot be taken along: this boot has no generation of state; leave --state current out");
  }
  if (machine.report.data === null) return nothing;
  try {
    return withDataFilesystem(kernel, machine, (data) => askForState(kernel, machine, data, order));
  } catch (error) {
    if (!(error instanceof Refusal) || order.which === "current") throw error;
    return { ...nothing, warnings: [`how old the state is that comes back is not known: ${error.message}`] };
  }
}

function askForState(kernel: Kernel, machine: Machine, data: Descriptor, order: Target): ToldState {
  const { record, journal, target, which } = order;
  const facts = readGenerations(kernel, data, machine.policy.slots);
  const { story, ...state } = rollbackState(facts, record, journal, target, kernel.now().unixMs);
  const { requests: pending, fault } = readRequests(kernel, data);
  const carry = which === "old" ? null : carryOf(machine, target);
  const asked: StateRequests = { ...pending, carry };
  const changed = JSON.stringify(asked) !== JSON.stringify(pending);
  if (changed) writeRequests(kernel, data, asked);
  const takeBack = () => {
    if (changed) withDataFilesystem(kernel, machine, (again) => writeRequests(kernel, again, pending));
  };
  const warnings = fault === null ? [] : [`what was asked of the next boot before is not known: ${fault}`];
  if (carry === null) return { state: { ...state, carried: null }, did: [story], warnings, takeBack };
  const carried = generationName(carry.generation);
  const own = state.generation === null ? "" : ` ${story.replace(/\.$/, "")}; it is kept, and pinned.`;
  const did = [`Slot ${target} begins with a clone of the state of now, generation ${carried}.${own}`];
  return { state: { ...state, carried }, did, warnings, takeBack };
}

function carryOf({ report }: Machine, slot: SlotName): NonNullable<StateRequests["carry"]> {
  const generation = parseGenerationName(report.generation ?? "");
  if (generation === null) throw new Refusal(`"${report.generation}" in boot.json is no generation; see slipway status`);
  return { slot, generation };
}

function whichState(word: string | undefined): WhichState {
  if (word === undefined || word === "old") return "old";
  if (word === "current") return "current";
  throw new BadInput(`--state is old or current, not "${word}"`);
}

export const verb: Verb = {
  help: `
Usage: slipway rollback [--state old|current] [--reboot] [--json]

Makes the next boot leave the running slot: for the first committed slot that can boot, else for any other that can. A trial
that is left is given up, a committed slot stays as the fallback. State goes back with the slot, except what is declared
shared or identity, and it is said how old the state is that comes back.

Options:
  --state old      the slot goes on with its own state, as that was left (the default)
  --state current  it begins with a clone of the running slot's state; its own is kept, and pinned
  --reboot         reboot at once
  --json           print one JSON object: slot, changed, did, warnings, next, state (generation, leftUnixMs, carried)`,
  options: { state: { type: "string" }, reboot: { type: "boolean" }, json: { type: "boolean" } },
  positionals: [],
  async run(values) {
    const answer = rollback(linuxKernel(), PLACES, whichState(text(values, "state")));
    return finish(answer, { json: flag(values, "json"), reboot: flag(values, "reboot") }, PLACES);
  },
};
