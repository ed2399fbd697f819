import { BadInput } from "../../../state-ops/outcome.ts";
import { sizeText } from "../../../state-ops/size-text.ts";
import { type OptionValues, text, texts, type Verb } from "../../commands/verb.ts";
import { linuxKernel } from "../../kernel/linux.ts";
import { readThreshold, readTrustedKeys, type TrustedKey } from "../keys/trust-option.ts";
import { withImage } from "./open-image.ts";
import { proveImage } from "./prove-image.ts";

export const verb: Verb = {
  help: `Usage: slipway image verify --trust PUBLIC_KEY… [--threshold K] FILE

Reads a system image whole and proves every byte of it: seal, signatures, verity superblock, hash tree, filesystem, padding,
footer and length. FILE is an image, its .idx (in which the filesystem is not), or a device that holds one. Ends with 1 and says
where, if anything is not what was sealed.

Options:
  --trust PUBLIC_KEY   PEM of a key whose signature counts; may be repeated. "unsigned": nobody's is asked for
  --threshold K        how many of them must have signed (default 1)`,
  options: { trust: { type: "string", multiple: true }, threshold: { type: "string" } },
  positionals: ["FILE"],
  async run(values, [file = ""]) {
    const keys = trustedKeys(values);
    const threshold = keys === null ? 1 : readThreshold(text(values, "threshold"), keys.length);
    if (keys === null && text(values, "threshold") !== undefined)
      throw new BadInput("--threshold counts keys; --trust unsigned has none");
    return verify(file, keys, threshold);
  },
};

/** Null: anybody's word counts. */
function trustedKeys(values: OptionValues): TrustedKey[] | null {
  const files = texts(values, "trust");
  if (files.length === 0) {
    throw new BadInput("--trust is missing; it names the public key that must have signed, or says unsigned");
  }
  if (!files.includes("unsigned")) return readTrustedKeys(files);
  if (files.length > 1) throw new BadInput("--trust unsigned and --trust PUBLIC_KEY are given; do one of them");
  return null;
}

async function verify(file: string, keys: TrustedKey[] | null, threshold: number): Promise<number> {
  const kernel = linuxKernel();
  return withImage(kernel, file, async (image) => {
    const trust =
      keys === null ? ({ mode: "unsigned" } as const) : { mode: "signed" as const, keys: keys.map(({ key }) => key), threshold };
    const { signers, damages, more } = await proveImage(kernel, image, trust);
    for (const { region, offset, text } of damages) console.error(`slipway: ${file}: ${region}, byte ${offset}: ${text}`);
    if (more) console.error(`slipway: ${file}: more is wrong than these ${damages.length}`);
    if (damages.length > 0) return 1;
    const { manifest } = image.seal;
    const part = image.kind === "index" ? "index" : "image";
    console.log(`${file} is right: ${part} of ${manifest.system} ${manifest.version}, ${sizeText(image.size)}`);
    for (const id of signers) console.log(`  signed by  ${id}  ${keys?.find(({ key }) => key.id === id)?.file ?? ""}`);
    if (keys === null) console.log("  whose signatures it has was not asked for (--trust unsigned)");
    return 0;
  });
}
