import { dirname } from "node:path";
import { needsOf, type Seal } from "../../../boot/image/seal.ts";
import { BadInput } from "../../../state-ops/outcome.ts";
import { sizeText } from "../../../state-ops/size-text.ts";
import { flag, type OptionValues, text, type Verb } from "../../commands/verb.ts";
import { readSeal } from "../../image/read-seal.ts";
import { O } from "../../kernel/constants.ts";
import { withOpen } from "../../kernel/files.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { linuxKernel } from "../../kernel/linux.ts";
import { regularFile } from "../input.ts";
import { checkOutput, replaceFile } from "../output.ts";
import { controlOf } from "./control-in-image.ts";
import { copyImage } from "./copy-image.ts";
import { filesystemExtent, firstByteFrom } from "./filesystem-extent.ts";
import { lookInto } from "./look-into.ts";
import { refusals } from "./refusals.ts";
import { type FilesystemExtent, sealFile } from "./seal-file.ts";
import { askedArchitecture, sealContent, sealHelp, sealOptions } from "./seal-options.ts";
import { noArchitecture, settleArchitecture } from "./tree-machine.ts";

export const verb: Verb = {
  help: `Usage: slipway image seal FILE --system NAME --version VERSION [--key KEY]… [OPTION]… [-o OUT]

Makes a filesystem image of mkosi, Yocto, kiwi or any other tool a system image: pads it to 4 KiB and appends the verity hash
tree (veritysetup reads it), the signed seal and the footer. The filesystem is erofs, squashfs, ext4, xfs or btrfs, without a
partition table around it. FILE is replaced in one step when the sealed one is whole on the disk, so that there has to be room
for both. Where fsck.erofs, unsquashfs or debugfs is installed, the image's control file is checked, and the machine it is for is
read from its programs.

Options:
${sealHelp}
  --reseal             take the seal that FILE has off, and seal its filesystem anew
  -o, --output OUT     write another file, and leave FILE as it is`,
  options: { ...sealOptions, reseal: { type: "boolean" }, output: { type: "string", short: "o" } },
  positionals: ["FILE"],
  async run(values, [file = ""]) {
    await seal(file, values);
    return 0;
  },
};

async function seal(file: string, values: OptionValues): Promise<void> {
  const kernel = linuxKernel();
  regularFile(file, file);
  const output = checkOutput(text(values, "output") ?? file);
  const content = await sealContent(values);
  const filesystem = checkFile(kernel, file, flag(values, "reseal"));
  const inside = await lookInto(kernel, file, filesystem.type, dirname(output));
  const control = controlOf(inside, content.system);
  if (typeof control === "string") warn([control]);
  const architecture = settleArchitecture(askedArchitecture(values), typeof inside === "string" ? [] : inside.programs);
  if (architecture === null) warn([noArchitecture]);
  const sealed = await replaceFile(output, async (scratch) => {
    await copyImage(kernel, file, scratch);
    return sealFile(kernel, scratch, filesystem, { ...content, needs: needsOf(architecture) });
  });
  printSealed(text(values, "output") ?? file, sealed);
  if (typeof control !== "string") warn(await refusals(control, sealed));
}

/** What of `file` is to be sealed. @throws BadInput where it is no filesystem image, or has a seal that is to stay */
function checkFile(kernel: Kernel, file: string, reseal: boolean): FilesystemExtent {
  return withOpen(kernel, file, O.RDONLY, (fd) => {
    const { size } = kernel.status(fd);
    const filesystem = filesystemExtent(kernel, fd, size, file);
    const reading = readSeal(kernel, fd, size);
    if (reading.is === "unsealed") {
      const behind = firstByteFrom(kernel, fd, BigInt(filesystem.size));
      if (behind !== null) {
        const remedy = "was something appended, or is it a part of a disk? Give the filesystem alone";
        throw new BadInput(
          `${file} has data at byte ${behind}, behind its ${filesystem.type} of ${filesystem.size} bytes; ${remedy}`,
        );
      }
    } else if (!reseal) {
      const what = reading.is === "sealed" ? `as ${nameOf(reading.seal)}` : `and the seal is damaged (${reading.reason})`;
      throw new BadInput(`${file} is sealed already, ${what}; say --reseal to seal it anew`);
    }
    return filesystem;
  });
}

export function warn(warnings: readonly string[]): void {
  for (const warning of warnings) console.error(`slipway: warning: ${warning}`);
}

/** "acme 2026.11.2" */
function nameOf({ manifest }: Seal): string {
  return `${manifest.system} ${manifest.version}`;
}

/** What was sealed, for the one who did it. */
export function printSealed(output: string, seal: Seal): void {
  const { manifest, envelope } = seal;
  console.log(`wrote ${output}: ${nameOf(seal)}, ${manifest.filesystem}, ${sizeText(manifest.filesystemSize)}`);
  console.log(`  root hash  ${manifest.rootHash}`);
  for (const { keyId } of envelope.signatures) console.log(`  signed by  ${keyId}`);
  if (envelope.signatures.length === 0) console.log('  unsigned: boots only where the control file says "trust: unsigned"');
}
