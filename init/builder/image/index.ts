import { INDEX_SUFFIX } from "../../../boot/channel/channel.ts";
import { sizeText } from "../../../state-ops/size-text.ts";
import { text, type Verb } from "../../commands/verb.ts";
import { writeIndex } from "./index-file.ts";

export const verb: Verb = {
  help: `Usage: slipway image index IMAGE [-o IMAGE.idx]

Writes the .idx of a system image: the image's own bytes from the verity superblock to its end (hash tree, seal, footer), which is
1/128 of it. Published beside the image, it is all that a device needs to know which blocks it lacks, also from a server that
knows no range requests. slipway publish makes it by itself.

Options:
  -o, --output FILE   another name than IMAGE.idx`,
  options: { output: { type: "string", short: "o" } },
  positionals: ["IMAGE"],
  async run(values, [image = ""]) {
    const output = text(values, "output") ?? `${image}${INDEX_SUFFIX}`;
    const size = await writeIndex(image, output);
    console.log(`wrote ${output}: ${sizeText(size)}`);
    return 0;
  },
};
