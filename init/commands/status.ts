import { linuxKernel } from "../kernel/linux.ts";
import { PLACES } from "./machine.ts";
import { readStatus } from "./status-facts.ts";
import { statusText } from "./status-text.ts";
import { flag, type Verb } from "./verb.ts";

export const verb: Verb = {
  help: `
Usage: slipway status [--all] [--json]

Tells which slot runs and which boots next, what is known of each, how the last boots began and ended and why, what guards
the machine against hangs, and what to do next.

Options:
  --all     all attempts of the boot journal (up to 32), not only the last few
  --json    the same facts as one JSON object, always with all attempts`,
  options: { all: { type: "boolean" }, json: { type: "boolean" } },
  positionals: [],
  async run(values) {
    const status = readStatus(linuxKernel(), PLACES);
    const colour = process.stdout.isTTY === true && (process.env.NO_COLOR ?? "") === "";
    console.log(flag(values, "json") ? JSON.stringify(status) : statusText(status, { colour, all: flag(values, "all") }));
    return 0;
  },
};
