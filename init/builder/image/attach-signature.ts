import {
  encodeEnvelope,
  MOST_SIGNATURES,
  PAYLOAD_TYPE,
  preAuthenticationEncoding,
  type Signature,
} from "../../../boot/image/envelope.ts";
import { type PublicKey, readPublicKeyPem } from "../../../boot/image/keys.ts";
import { isSignature } from "../../../boot/image/trust.ts";
import { BadInput } from "../../../state-ops/outcome.ts";
import { type OptionValues, text, type Verb } from "../../commands/verb.ts";
import { O } from "../../kernel/constants.ts";
import { withOpen } from "../../kernel/files.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { linuxKernel } from "../../kernel/linux.ts";
import { readTextInput } from "../input.ts";
import { readSignatureFile } from "../keys/signature-file.ts";
import { checkOutput, replaceFile } from "../output.ts";
import { copyImage } from "./copy-image.ts";
import { type OpenImage, withImage } from "./open-image.ts";
import { writeSeal } from "./seal-file.ts";

export const verb: Verb = {
  help: `Usage: slipway image attach-signature FILE --signature SIGNATURE --public-key PUBLIC_KEY [--index INDEX]

Adds a signature that was made elsewhere over what slipway image payload printed, in place of an earlier one of that key. It is
checked first. FILE (an image, or the .idx of one) is replaced in one step, so that a power cut leaves the old one or the new.

Options:
  --signature FILE     the 64 bytes of an Ed25519 signature: openssl pkeyutl -sign -rawin -inkey KEY -in payload -out FILE
  --public-key FILE    PEM of the key that made it
  --index FILE         the image's .idx, which gets the signature too`,
  options: { signature: { type: "string" }, "public-key": { type: "string" }, index: { type: "string" } },
  positionals: ["FILE"],
  async run(values, [file = ""]) {
    await attach(file, values);
    return 0;
  },
};

async function attach(file: string, values: OptionValues): Promise<void> {
  const kernel = linuxKernel();
  const keyFile = required(values, "public-key", "the PEM of the key that signed");
  const key = readPublicKeyPem(`--public-key ${keyFile}`, readTextInput(`--public-key ${keyFile}`, keyFile));
  const signature = readSignatureFile(required(values, "signature", "the signature to add"));
  const image = await signed(kernel, file, key, signature);
  const index = text(values, "index");
  const indexed = index === undefined ? null : { index, ...(await signed(kernel, index, key, signature)) };
  if (indexed !== null && (indexed.kind !== "index" || Buffer.compare(indexed.payload, image.payload) !== 0)) {
    throw new BadInput(`--index ${indexed.index} is not the .idx of ${file}; make it anew: slipway image index ${file}`);
  }
  await rewrite(kernel, file, image);
  if (indexed !== null) await rewrite(kernel, indexed.index, indexed);
  console.log(`${file}${indexed === null ? "" : ` and ${indexed.index}`}: signed by ${image.keyIds.join(", ")}`);
}

function required(values: OptionValues, name: string, what: string): string {
  const value = text(values, name);
  if (value === undefined || value === "") throw new BadInput(`--${name} is missing; it names ${what}`);
  return value;
}

/** A file with one more signature. */
interface SignedFile {
  kind: OpenImage["kind"];
  base: number;
  payload: Uint8Array;
  keyIds: string[];
  /** Its new seal. */
  bytes: Uint8Array;
}

/** What `file` becomes with the signature. @throws BadInput where it is none over this file */
async function signed(kernel: Kernel, file: string, key: PublicKey, signature: Uint8Array): Promise<SignedFile> {
  return withImage(kernel, file, async ({ kind, base, seal }) => {
    if (kind === "device") throw new BadInput(`${file} is a device; sign the image in a file, and install that`);
    const { payload } = seal.envelope;
    if (!(await isSignature(key, preAuthenticationEncoding(PAYLOAD_TYPE.seal, payload), signature))) {
      const remedy = "sign what slipway image payload prints of this very file, and give the key's own public half";
      throw new BadInput(`the signature is not one of key ${key.id} over ${file}; ${remedy}`);
    }
    const others = seal.envelope.signatures.filter(({ keyId }) => keyId !== key.id);
    if (others.length >= MOST_SIGNATURES) throw new BadInput(`${file} has ${others.length} signatures, and can have no more`);
    const signatures: Signature[] = [...others, { keyId: key.id, signature }];
    const bytes = encodeEnvelope({ payloadType: PAYLOAD_TYPE.seal, payload, signatures });
    return { kind, base, payload, keyIds: signatures.map(({ keyId }) => keyId).sort(), bytes };
  });
}

async function rewrite(kernel: Kernel, file: string, { bytes, base }: SignedFile): Promise<void> {
  await replaceFile(checkOutput(file), async (scratch) => {
    await copyImage(kernel, file, scratch);
    withOpen(kernel, scratch, O.RDWR, (fd) => writeSeal(kernel, fd, bytes, base));
  });
}
