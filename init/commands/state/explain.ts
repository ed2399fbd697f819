import { explainState, explanationLines, type StateExplanation } from "../../../state-ops/explain-state.ts";
import { generationPath, parseGenerationName } from "../../../state-ops/layout.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { linuxKernel } from "../../kernel/linux.ts";
import { type Machine, PLACES, type Places, readMachine } from "../machine.ts";
import { flag, type Verb } from "../verb.ts";
import { meantPath, readImageControl } from "./declared.ts";

/** "gens/000017" of this boot; null without one. */
export function ownGeneration({ report }: Machine): string | null {
  const number = report.generation === null ? null : parseGenerationName(report.generation);
  return number === null ? null : generationPath(number);
}

/** Who may write `given`, and what becomes of it. Throws BadInput for a path that is none, Refusal without a control file. */
export function explainPath(kernel: Kernel, places: Places, given: string): StateExplanation {
  const path = meantPath(kernel, given);
  const machine = readMachine(kernel, places);
  const { operators } = readImageControl(kernel, places);
  return explainState(path, { operators, generation: ownGeneration(machine), degraded: machine.report.degraded });
}

export const verb: Verb = {
  help: `
Usage: slipway state explain PATH [--json]

Tells who may write PATH and what becomes of it: the operator that rules it (the nearest at the path or above it, in the
control file of the running image), the package's file and line that declared it, how it is done, where it is kept on the
data filesystem, and what happens to a write at a reboot, an update, a rollback, a reset, a factory reset and a recovery. For a path
that nobody may write it tells what to add to which file.

Options:
  --json    print one JSON object: path, rule (ephemeral, persistent, shared, identity, immutable or memory), summary,
            operator (id, path, kind, state, via, origin, reason, merge, onFailure), store, degraded, nestedIn,
            ruledApart, fate (reboot, update, rollback, reset, factoryReset, recovery), notes, remedy (say, file, yaml)`,
  options: { json: { type: "boolean" } },
  positionals: ["PATH"],
  async run(values, [path = ""]) {
    const explained = explainPath(linuxKernel(), PLACES, path);
    console.log(
      flag(values, "json") ? JSON.stringify({ schema: 1, ...explained }) : explanationLines(explained).join("\n").trimEnd(),
    );
    return 0;
  },
};
