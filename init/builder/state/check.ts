import type { Verb } from "../../commands/verb.ts";
import { reportProblems } from "../report-problems.ts";
import { compileSources, printSummary, sourceHelp, sourceOptions } from "./sources.ts";

export const verb: Verb = {
  help: `Usage: slipway state check --system system.yaml --root IMAGE_TREE [--fragments PLACE]… [--previous FILE]

Does what slipway state compile does, and writes nothing.

${sourceHelp}`,
  options: sourceOptions,
  positionals: [],
  async run(values) {
    return reportProblems(async () => printSummary(compileSources(values), "compiles"));
  },
};
