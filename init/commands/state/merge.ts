import { resolve } from "node:path";
import type { ControlFile } from "../../../state-ops/control.ts";
import { generationPath, parseGenerationName } from "../../../state-ops/layout.ts";
import { type MergeReport, mergeText } from "../../../state-ops/merge/report.ts";
import { BadInput, Refusal } from "../../../state-ops/outcome.ts";
import { readControl } from "../../../state-ops/read-control.ts";
import { O } from "../../kernel/constants.ts";
import { withOpen } from "../../kernel/files.ts";
import { type Descriptor, type Kernel, KernelError } from "../../kernel/kernel.ts";
import { linuxKernel } from "../../kernel/linux.ts";
import { readImageControlText } from "../../sequence/image.ts";
import { withDirectory } from "../../state/beneath.ts";
import { readBaseline } from "../../state/merge/baseline-file.ts";
import { Gatherer } from "../../state/merge/gather.ts";
import { planMerge, readImages } from "../../state/merge/plan-merge.ts";
import { withDataFilesystem } from "../data-access.ts";
import { PLACES, type Places, readMachine } from "../machine.ts";
import { flag, text, type Verb } from "../verb.ts";
import { readImageControl } from "./declared.ts";

export interface MergePreview {
  report: MergeReport;
  /** What else is to be known, one sentence each. */
  notes: string[];
}

/**
 * What the first boot of the image in the directory `tree` would make of this boot's state, by the code that does it then.
 * Nothing is written. Throws BadInput where the tree is no image of this system, Refusal where there is no state to look at.
 */
export function previewMerge(kernel: Kernel, places: Places, tree: string): MergePreview {
  const machine = readMachine(kernel, places);
  const { system } = readImageControl(kernel, places);
  const { generation } = machine.report;
  const number = generation === null ? null : parseGenerationName(generation);
  if (generation === null || number === null) {
    throw new Refusal("this boot has no generation, so there is no state to merge; see slipway status");
  }
  const preview = (newRoot: Descriptor): MergePreview => {
    const { operators } = treeControl(kernel, newRoot, tree, system);
    return withDataFilesystem(kernel, machine, (data) =>
      withDirectory(kernel, data, generationPath(number), (directory) => {
        const read = readBaseline(kernel, directory);
        const baseline = "baseline" in read ? read.baseline : null;
        const gatherer = new Gatherer(kernel, operators, () => {});
        const images = readImages(kernel, gatherer, newRoot, operators);
        const sources = { generation: directory, baseline, operators, newRoot, images, beforeClone: true };
        const { stores, refused, notes } = planMerge(kernel, gatherer, sources, () => {});
        const report: MergeReport = { schema: 1, dryRun: true, from: generation, to: null, imageId: tree, refused, stores };
        const missing = "missing" in read ? [`generation ${generation} says nothing of what its image had: ${read.missing}`] : [];
        return { report, notes: [...missing, ...notes] };
      }),
    );
  };
  return withTree(kernel, tree, preview);
}

function withTree<Result>(kernel: Kernel, tree: string, use: (root: Descriptor) => Result): Result {
  let opened = false;
  try {
    return withOpen(kernel, tree, O.RDONLY | O.DIRECTORY, (root) => {
      opened = true;
      return use(root);
    });
  } catch (error) {
    if (opened || !(error instanceof KernelError)) throw error;
    throw new BadInput(`--root ${tree} cannot be opened (${error.code}); give the directory of an unpacked or mounted image`);
  }
}

function treeControl(kernel: Kernel, root: Descriptor, tree: string, system: string): ControlFile {
  const control = readImageControlText(kernel, root);
  if (control === null) {
    throw new BadInput(`${tree} has no usr/lib/slipway/control.json; compile one into it with slipway state compile`);
  }
  const values = readControl(control);
  if (values.system === system) return values;
  throw new BadInput(`${tree} is an image for the system ${values.system}, and this machine is ${system}; give one for it`);
}

export const verb: Verb = {
  help: `
Usage: slipway state merge --dry-run --root IMAGE_TREE [--json]

Shows what the first boot of an image would make of the state of this boot, and changes nothing: what follows the image,
what is deleted, what was changed on both sides and who wins (the operator's merge rule), where the side that loses would be
kept, and which accounts are left out or get another number. IMAGE_TREE is an unpacked or mounted image with its
usr/lib/slipway/control.json. The merge itself happens at that boot; what it did is in /run/slipway/merge.json then.

Options:
  --dry-run      must be said
  --root DIR     the image's tree
  --json         print one JSON object: the report as in merge.json, and notes

It is refused (3) as well where a rule is "fail" and both sides changed something: the image would not boot.`,
  options: { "dry-run": { type: "boolean" }, root: { type: "string" }, json: { type: "boolean" } },
  positionals: [],
  async run(values) {
    if (!flag(values, "dry-run")) {
      throw new BadInput(
        "state is merged at the first boot of an image and at no other time; say --dry-run to see what it would do",
      );
    }
    const root = text(values, "root");
    if (root === undefined) throw new BadInput("--root is missing: the directory of the image that is to boot");
    const { report, notes } = previewMerge(linuxKernel(), PLACES, resolve(root));
    if (flag(values, "json")) console.log(JSON.stringify({ ...report, notes }));
    else console.log([mergeText(report).trimEnd(), ...notes].join("\n"));
    return report.refused ? 3 : 0;
  },
};
