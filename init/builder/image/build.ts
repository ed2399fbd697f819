import { realpathSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { needsOf, type Seal } from "../../../boot/image/seal.ts";
import { BadInput } from "../../../state-ops/outcome.ts";
import { type OptionValues, text, texts, type Verb } from "../../commands/verb.ts";
import { O } from "../../kernel/constants.ts";
import { withOpen } from "../../kernel/files.ts";
import { linuxKernel } from "../../kernel/linux.ts";
import { readControlInput } from "../control-input.ts";
import { regularFile } from "../input.ts";
import { checkOutput, replaceFile } from "../output.ts";
import { reportProblems } from "../report-problems.ts";
import { imageDirectory } from "../state/image-directory.ts";
import { compileFrom, printSummary } from "../state/sources.ts";
import { bootWarnings } from "./boot-warnings.ts";
import { checkImageControl, noControl } from "./control-in-image.ts";
import { filesystemExtent } from "./filesystem-extent.ts";
import { CONTROL_IN_IMAGE } from "./look-into.ts";
import { type BuiltFilesystem, COMPRESSIONS, makeFilesystem } from "./make-filesystem.ts";
import { kernelSource, kernelWarnings } from "./own-kernel.ts";
import { copyTree, putControl, putFile, unpackTar } from "./own-tree.ts";
import { refusals } from "./refusals.ts";
import { printSealed, warn } from "./seal.ts";
import { type SealContent, sealFile } from "./seal-file.ts";
import { askedArchitecture, sealContent, sealHelp, sealOptions } from "./seal-options.ts";
import { treeFacts } from "./tree-facts.ts";
import { noArchitecture, settleArchitecture, treePrograms } from "./tree-machine.ts";

export const verb: Verb = {
  help: `Usage: slipway image build --root TREE|--tar FILE --system NAME --version VERSION [--key KEY]… [OPTION]… -o FILE

Makes a system image of a tree: a read-only filesystem with the control file in it, its verity hash tree, and a signed seal.
Same tree, same bytes, whenever and wherever it is made. Any tree is taken; what a boot would miss in it is said. TREE is never
changed: where the control file has to be put in, a copy of it is (beside FILE, for as long as it takes). Needs mkfs.erofs or
mksquashfs; root (or fakeroot) only for --tar, and where the control file is not in TREE already.

  --root TREE          the tree, unpacked
  --tar FILE           or an archive of it, with any compression that tar reads
  --definition FILE    system.yaml: compiles the control file against the tree, as slipway state compile does,
  --fragments PLACE    with more fragments than those in the tree (may be repeated),
  --previous FILE      and the control file of the image that devices run now
  --control FILE       or a control file that is compiled already. Without both, the one that is in the tree goes in
  --kernel FILE        the slot's own kernel, put beside its modules as usr/lib/modules/VERSION/vmlinuz (where some distributions
                       have it already): what "kernel: slot" and install --kexec start
  --initrd FILE        the initrd for it, from slipway initrd build with its modules: usr/lib/modules/VERSION/initramfs.img, where
                       ostree and bootc have theirs. It makes each image as much larger as it is, some 45 MB
  --filesystem TYPE    erofs (default), of which versions share most blocks, so that updates are small; or squashfs, which is
                       smaller as a whole, and shares none
  --compression NAME   erofs: lz4 (default), lz4hc (smaller, slower to make), none. squashfs: zstd (default), xz, gzip, lz4, none
  -o, --output FILE    the image; the old one stays until the new one is whole

Seal:
${sealHelp}

Files keep their times, which programs compare (systemd's ConditionNeedsUpdate= the one of /usr, fontconfig those of its
directories, Python those of its sources). Where SOURCE_DATE_EPOCH is set, younger ones become that.`,
  options: {
    ...sealOptions,
    root: { type: "string" },
    tar: { type: "string" },
    definition: { type: "string" },
    fragments: { type: "string", multiple: true },
    previous: { type: "string" },
    control: { type: "string" },
    kernel: { type: "string" },
    initrd: { type: "string" },
    filesystem: { type: "string" },
    compression: { type: "string" },
    output: { type: "string", short: "o" },
  },
  positionals: [],
  async run(values) {
    return reportProblems(() => build(values));
  },
};

async function build(values: OptionValues): Promise<void> {
  const kernel = linuxKernel();
  const source = readSource(values);
  const { filesystem, compression } = readFilesystem(values);
  const given = text(values, "output");
  if (given === undefined || given === "") throw new BadInput("--output (-o) is missing; it names the image to write");
  const output = checkOutput(given);
  if (source.is === "root" && `${dirname(output)}/`.startsWith(`${realpathSync(source.path)}/`)) {
    throw new BadInput(`--output ${given} lies in the tree ${source.path} that goes into it; write it elsewhere`);
  }
  const epoch = sourceDateEpoch();
  const content = await sealContent(values);
  const asked = askedArchitecture(values);
  const controlFor = controlSource(values);
  const kernelFor = kernelSource(values);
  const built = await replaceFile(output, async (file, scratch) => {
    let tree = source.path;
    if (source.is === "tar") {
      tree = join(scratch, "tree");
      await unpackTar(source.path, tree);
    }
    const what = source.is === "tar" ? `--tar ${source.path}` : `--root ${source.path}`;
    const facts = treeFacts(what, tree);
    const control = controlFor(tree, source.is === "tar" ? `${source.path}:` : source.path);
    const own = imageDirectory(tree).text(`/${CONTROL_IN_IMAGE}`);
    const kernelFiles = kernelFor(tree);
    const isNewControl = control !== null && control !== own;
    if (source.is === "root" && (isNewControl || kernelFiles.size > 0)) {
      tree = join(scratch, "tree");
      await copyTree(source.path, tree);
    }
    if (isNewControl) {
      if (own !== null) warn([`another ${CONTROL_IN_IMAGE} of the tree is replaced by the new one`]);
      putControl(tree, control);
    }
    for (const [path, bytes] of kernelFiles) putFile(tree, path, bytes);
    const text = control ?? own;
    const checked = text === null ? null : checkImageControl(`the control file ${CONTROL_IN_IMAGE}`, text, content.system);
    const architecture = settleArchitecture(asked, treePrograms(kernel, tree));
    warn([
      ...(checked === null ? [noControl] : []),
      ...bootWarnings(kernel, tree),
      ...kernelWarnings(kernel, tree, checked),
      ...(architecture === null ? [noArchitecture] : []),
    ]);
    await makeFilesystem(filesystem, tree, file, { compression, system: content.system, time: epoch ?? facts.youngest });
    return { control: checked, seal: await sealMade(file, { ...content, needs: needsOf(architecture) }) };
  });
  printSealed(given, built.seal);
  if (built.control !== null) warn(await refusals(built.control, built.seal));
}

type Source = { is: "root" | "tar"; path: string };

function readSource(values: OptionValues): Source {
  const [root, tar] = [text(values, "root"), text(values, "tar")];
  if ((root === undefined) === (tar === undefined)) throw new BadInput("give the tree with either --root TREE or --tar FILE");
  if (tar !== undefined) {
    regularFile(`--tar ${tar}`, tar);
    return { is: "tar", path: tar };
  }
  const path = root ?? "";
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw new BadInput(`--root ${path} is no directory; give the tree that the image is made of`);
  }
  return { is: "root", path };
}

function readFilesystem(values: OptionValues): { filesystem: BuiltFilesystem; compression: string } {
  const type = text(values, "filesystem") ?? "erofs";
  if (type !== "erofs" && type !== "squashfs") {
    const remedy = "make another with its own tools, and seal it with slipway image seal";
    throw new BadInput(`--filesystem "${type}": erofs and squashfs are made here; ${remedy}`);
  }
  const known: readonly string[] = COMPRESSIONS[type];
  const compression = text(values, "compression") ?? COMPRESSIONS[type][0];
  if (!known.includes(compression)) {
    throw new BadInput(`--compression "${compression}" is none of ${type}'s, which are ${known.join(", ")}`);
  }
  return { filesystem: type, compression };
}

/** What gives the text of the control file that goes into a tree, which messages call `shown`; null: what is in the tree stays. */
function controlSource(values: OptionValues): (tree: string, shown: string) => string | null {
  const [definition, control, previous] = [text(values, "definition"), text(values, "control"), text(values, "previous")];
  const fragments = texts(values, "fragments");
  if (definition === undefined) {
    if (fragments.length > 0 || previous !== undefined) {
      throw new BadInput("--fragments and --previous go with --definition system.yaml, which is missing");
    }
    const given = control === undefined ? null : readControlInput(`--control ${control}`, control).text;
    return () => given;
  }
  if (control !== undefined) throw new BadInput("give either --definition, to compile, or --control, which is compiled");
  return (root, shownRoot) => {
    const compiled = compileFrom({ option: "--definition", system: definition, root, shownRoot, fragments, previous });
    printSummary(compiled, "compiled");
    return compiled.text;
  };
}

/** Seconds since the epoch, or null: https://reproducible-builds.org/specs/source-date-epoch/ */
function sourceDateEpoch(): number | null {
  const value = process.env.SOURCE_DATE_EPOCH;
  if (value === undefined || value === "") return null;
  if (!/^[0-9]{1,10}$/.test(value)) throw new BadInput(`SOURCE_DATE_EPOCH is "${value}", and must be seconds since 1970`);
  return Number(value);
}

async function sealMade(file: string, content: SealContent): Promise<Seal> {
  const kernel = linuxKernel();
  const extent = withOpen(kernel, file, O.RDONLY, (fd) => filesystemExtent(kernel, fd, kernel.status(fd).size, "what was made"));
  return sealFile(kernel, file, extent, content);
}
