import type { Operator } from "../../../state-ops/control.ts";
import { storePaths } from "../../../state-ops/operator-tree.ts";
import { BadInput } from "../../../state-ops/outcome.ts";
import { planReset, type ResetOrder } from "../../../state-ops/plan-reset.ts";
import { requestLines, type StateRequests } from "../../../state-ops/requests.ts";
import { sizeText } from "../../../state-ops/size-text.ts";
import type { Descriptor, Kernel } from "../../kernel/kernel.ts";
import { linuxKernel } from "../../kernel/linux.ts";
import { withRecordLock } from "../../store/record-lock.ts";
import { LOCK_WAIT } from "../change-record.ts";
import { withDataFilesystem } from "../data-access.ts";
import { PLACES, type Places, readMachine } from "../machine.ts";
import { flag, type OptionValues, type Verb } from "../verb.ts";
import { meantPath, readImageControl } from "./declared.ts";
import { ownGeneration } from "./explain.ts";
import { readRequests, writeRequests } from "./request-file.ts";
import { type Measure, measureIfThere } from "./walk.ts";

/** One operator as a reset tells of it. */
export interface ResetItem extends Pick<Operator, "path" | "id" | "state"> {
  /** What there is now; null where there is nothing yet. */
  size: Measure | null;
}

/** What `slipway state reset` has to say. */
export interface ResetAnswer {
  changed: boolean;
  /** Begins anew at the next boot. */
  lost: ResetItem[];
  kept: ResetItem[];
  /** All that the next boot is asked for now. */
  requests: StateRequests;
  notes: string[];
  warnings: string[];
  /** What to do next, one sentence. */
  next: string;
}

/**
 * Asks the next boot to begin stores anew. Throws BadInput for a path that is none, Refusal where nothing is kept there or the
 * data filesystem does not take the request.
 */
export function resetState(kernel: Kernel, places: Places, order: ResetOrder): ResetAnswer {
  const machine = readMachine(kernel, places);
  const { operators } = readImageControl(kernel, places);
  const generation = ownGeneration(machine);
  return withRequests(kernel, places, (data, pending) => {
    const plan = planReset(operators, order, pending);
    const item = (operator: Operator): ResetItem => {
      const { path, id, state } = operator;
      const sizes = storePaths(operator, generation).map((store) => measureIfThere(kernel, data, store));
      return { path, id, state, size: sizes.find((size) => size !== null) ?? null };
    };
    const { requests, notes } = plan;
    const next = 'reboot (systemctl reboot) to carry it out, or take it back with "slipway state reset --cancel".';
    return { requests, lost: plan.lost.map(item), kept: plan.kept.map(item), notes, next };
  });
}

/** Takes back what a reset asked for. Doing it twice changes nothing more. */
export function cancelReset(kernel: Kernel, places: Places): ResetAnswer {
  return withRequests(kernel, places, (_data, pending) => {
    const notes = pending.reset === null ? ["no reset was pending"] : ["the reset is taken back: nothing is lost"];
    return { requests: { ...pending, reset: null }, lost: [], kept: [], notes, next: "nothing to do." };
  });
}

function withRequests(
  kernel: Kernel,
  places: Places,
  change: (data: Descriptor, pending: StateRequests) => Omit<ResetAnswer, "changed" | "warnings">,
): ResetAnswer {
  const machine = readMachine(kernel, places);
  return withRecordLock(kernel, places.lock, "slipway state reset", LOCK_WAIT, () =>
    withDataFilesystem(kernel, machine, (data) => {
      const { requests: pending, fault } = readRequests(kernel, data);
      const answer = change(data, pending);
      const changed = fault !== null || JSON.stringify(answer.requests) !== JSON.stringify(pending);
      if (changed) writeRequests(kernel, data, answer.requests);
      return { ...answer, changed, warnings: fault === null ? [] : [`what was asked for before is lost: ${fault}`] };
    }),
  );
}

/** The answer as people read it. */
function resetText(answer: ResetAnswer): string {
  const line = ({ path, state, size }: ResetItem) => {
    const what = size === null ? "nothing yet" : `${sizeText(size.bytes)} in ${size.files} files`;
    return `  ${path} (${state}, ${what})`;
  };
  return [
    ...(answer.lost.length === 0
      ? []
      : ["At the next boot these begin anew, and what is in them is lost:", ...answer.lost.map(line)]),
    ...(answer.kept.length === 0 ? [] : ["Kept, since it is identity (--identity takes it along):", ...answer.kept.map(line)]),
    ...answer.notes.map((note) => `Note: ${note}.`),
    ...requestLines(answer.requests).map((text) => `Pending: ${text}.`),
    `Next: ${answer.next}`,
  ].join("\n");
}

/** What the words ask for; null to take it back. Throws BadInput. */
function orderOf(kernel: Kernel, values: OptionValues, path: string | undefined): ResetOrder | null {
  const [factory, identity, cancel] = ["factory", "identity", "cancel"].map((name) => flag(values, name));
  if (cancel) {
    if (factory || identity || path !== undefined) throw new BadInput("--cancel takes the whole reset back; say it alone");
    return null;
  }
  if (factory) {
    if (path !== undefined) throw new BadInput(`--factory begins everything anew; leave ${path} out, or --factory`);
    return { factory: true, identity: identity === true };
  }
  if (path === undefined) throw new BadInput("say what to reset: a PATH, or --factory for everything, or --cancel");
  return { path: meantPath(kernel, path), identity: identity === true };
}

export const verb: Verb = {
  help: `
Usage: slipway state reset PATH [--identity] [--json]
       slipway state reset --factory [--identity] [--json]
       slipway state reset --cancel [--json]

Asks the next boot to begin state anew with what the image has: the operator that rules PATH and all operators below it, or
with --factory everything that is kept, of every slot. Nothing is lost before that boot, and --cancel takes it back until then.
Identity (machine id, host keys) is kept unless --identity is said. Several resets add up. Refused for a path at which nothing
is kept.

Options:
  --factory   everything: all generations of every slot, and what is shared
  --identity  identity too
  --cancel    take back what was asked for
  --json      print one JSON object: changed, lost and kept (path, id, state, size), requests (reset, carry), notes, warnings, next`,
  options: {
    factory: { type: "boolean" },
    identity: { type: "boolean" },
    cancel: { type: "boolean" },
    json: { type: "boolean" },
  },
  positionals: ["PATH?"],
  async run(values, [path]) {
    const kernel = linuxKernel();
    const order = orderOf(kernel, values, path);
    const answer = order === null ? cancelReset(kernel, PLACES) : resetState(kernel, PLACES, order);
    if (flag(values, "json")) console.log(JSON.stringify({ schema: 1, ...answer }));
    else console.log(resetText(answer));
    if (!flag(values, "json")) for (const warning of answer.warnings) console.error(`Warning: ${warning}`);
    return 0;
  },
};
