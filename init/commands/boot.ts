import { readFileSync } from "node:fs";
import { BadInput, Refusal } from "../../state-ops/outcome.ts";
import type { BootFacts } from "../explain/facts.ts";
import { loadFacts, saveFacts } from "../explain/facts-directory.ts";
import { gatherFacts } from "../explain/gather.ts";
import { planBoot } from "../explain/plan.ts";
import { planText } from "../explain/print.ts";
import { linuxKernel } from "../kernel/linux.ts";
import { flag, type OptionValues, text, type Verb } from "./verb.ts";

export const verb: Verb = {
  help: `
Usage: slipway boot --explain [--facts DIR] [--save-facts DIR] [--control FILE] [--command-line TEXT] [--json]

Prints what PID 1 of the initrd would do on this machine if it booted now, and why: which disk, which slot, its image, its
state, the handover. It changes nothing: no device is opened for writing, and other slots are mounted read-only where nobody
else sees it. Without --explain it refuses: only PID 1 of an initrd boots.

Options:
  --explain             print the plan
  --facts DIR           plan for a machine whose facts were captured, on any machine
  --save-facts DIR      capture the facts into a new directory, as text and JSON files that can be read and edited
  --control FILE        the initrd's control file (default: /run/slipway/control.json, else /etc/slipway/control.json)
  --command-line TEXT   the kernel command line (default: /proc/cmdline)
  --json                the plan as one JSON object`,
  options: {
    explain: { type: "boolean" },
    facts: { type: "string" },
    "save-facts": { type: "string" },
    control: { type: "string" },
    "command-line": { type: "string" },
    json: { type: "boolean" },
  },
  positionals: [],
  async run(values) {
    if (!flag(values, "explain")) {
      throw new Refusal("only PID 1 of an initrd boots a machine; slipway boot --explain tells what it would do");
    }
    const facts = readFacts(values);
    const directory = text(values, "save-facts");
    if (directory !== undefined) saveFacts(directory, facts);
    const plan = await planBoot(facts);
    console.log(flag(values, "json") ? JSON.stringify(plan) : planText(plan).trimEnd());
    return 0;
  },
};

/** Captured facts, or those of this machine; what the caller says wins over both. */
function readFacts(values: OptionValues): BootFacts {
  const directory = text(values, "facts");
  const control = text(values, "control") ?? null;
  const commandLine = text(values, "command-line") ?? null;
  if (directory === undefined) return gatherFacts(linuxKernel(), { control, commandLine });
  const facts = loadFacts(directory);
  return {
    ...facts,
    control: control === null ? facts.control : readControlFile(control),
    commandLine: commandLine ?? facts.commandLine,
  };
}

function readControlFile(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new BadInput(`cannot read the control file ${path}: ${error instanceof Error ? error.message : error}`);
  }
}
