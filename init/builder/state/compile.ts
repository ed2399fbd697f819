import { BadInput } from "../../../state-ops/outcome.ts";
import { text, type Verb } from "../../commands/verb.ts";
import { checkOutput, replaceFile, writePieces } from "../output.ts";
import { reportProblems } from "../report-problems.ts";
import { compileSources, printSummary, sourceHelp, sourceOptions } from "./sources.ts";

export const verb: Verb = {
  help: `Usage: slipway state compile --system system.yaml --root IMAGE_TREE [--fragments PLACE]… [--previous FILE] -o FILE

Compiles the system definition and the fragments of all packages into one control file. Goes into the image as
usr/lib/slipway/control.json and into the initrd. Same input, same bytes, whatever the order of files.

${sourceHelp}

  -o, --output FILE    the control file; not touched unless everything compiles`,
  options: { ...sourceOptions, output: { type: "string", short: "o" } },
  positionals: [],
  async run(values) {
    const output = text(values, "output");
    if (output === undefined || output === "") {
      throw new BadInput("--output (-o) is missing; it names the control file to write (slipway state check writes none)");
    }
    const path = checkOutput(output);
    return reportProblems(async () => {
      const compiled = compileSources(values);
      await replaceFile(path, (file) => writePieces(file, [Buffer.from(compiled.text)]));
      printSummary(compiled, `wrote ${output}`);
    });
  },
};
