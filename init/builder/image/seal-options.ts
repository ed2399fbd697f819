/** Options that image build and image seal share: what goes into the seal. */
import { type Architecture, parseArchitecture } from "../../../boot/architecture.ts";
import { labelFault } from "../../../boot/image/seal.ts";
import { BadInput } from "../../../state-ops/outcome.ts";
import { type OptionValues, text, texts } from "../../commands/verb.ts";
import { passphrasesFrom } from "../keys/passphrase.ts";
import { readSigningKeys } from "../keys/signing-key.ts";
import { kernelSigner } from "./kernel-signature.ts";
import type { SealContent } from "./seal-file.ts";

export const sealOptions = {
  system: { type: "string" },
  version: { type: "string" },
  key: { type: "string", multiple: true },
  "passphrase-file": { type: "string", multiple: true },
  "rollback-index": { type: "string" },
  "revokes-below": { type: "string" },
  "kernel-signature": { type: "string" },
  "kernel-key": { type: "string" },
  "kernel-certificate": { type: "string" },
  arch: { type: "string" },
} as const;

export const sealHelp = `  --system NAME        the product: machines refuse images of another one
  --version VERSION    what people call this image: letters, digits and . _ + ~ -
  --key FILE           private Ed25519 key to sign with (slipway keys new, openssl genpkey -algorithm ed25519); may be repeated.
                       Without one the image is unsigned: sign it later with slipway image payload and attach-signature
  --passphrase-file FILE
                       the first line is the passphrase of an encrypted key; may be repeated. On a terminal it is asked for
  --rollback-index N   counts up with releases that must not be undone (default 0): machines refuse what is lower than the
                       highest they have committed
  --revokes-below N    once this image is committed, nothing with a lower rollback index boots any more, also no fallback
  --kernel-signature FILE
                       PKCS#7 (DER) over the root hash's hex digits, for kernels that check it (kernel-signature: required)
  --kernel-key FILE, --kernel-certificate FILE
                       or a key and its certificate to make that with (openssl)
  --arch ARCHITECTURE  x86-64 or arm64: machines refuse an image for another one before they write it (default: that of the
                       slipway and the init in the image; where they can be read, they have to agree)`;

/** --arch, or null. @throws BadInput */
export function askedArchitecture(values: OptionValues): Architecture | null {
  const word = text(values, "arch");
  return word === undefined ? null : parseArchitecture(word);
}

/** What the options put into the seal; what the image needs is known once it was looked into (needsOf). @throws BadInput */
export async function sealContent(values: OptionValues): Promise<Omit<SealContent, "needs">> {
  const rollbackIndex = index(values, "rollback-index") ?? 0;
  const revokesBelow = index(values, "revokes-below");
  if (revokesBelow !== null && revokesBelow > rollbackIndex) {
    throw new BadInput(
      `--revokes-below ${revokesBelow} is more than --rollback-index ${rollbackIndex}: the image would revoke itself`,
    );
  }
  return {
    system: label(values, "system", "the product's name"),
    version: label(values, "version", "this image's version"),
    rollbackIndex,
    revokesBelow,
    keys: await readSigningKeys(texts(values, "key"), passphrasesFrom(texts(values, "passphrase-file"))),
    kernelSignature: kernelSigner({
      signature: text(values, "kernel-signature"),
      key: text(values, "kernel-key"),
      certificate: text(values, "kernel-certificate"),
    }),
  };
}

function label(values: OptionValues, name: string, what: string): string {
  const value = text(values, name);
  if (value === undefined || value === "") throw new BadInput(`--${name} is missing; it names ${what}`);
  const fault = labelFault(value);
  if (fault !== null) throw new BadInput(`--${name} ${JSON.stringify(value)} ${fault}`);
  return value;
}

function index(values: OptionValues, name: string): number | null {
  const value = text(values, name);
  if (value === undefined) return null;
  if (!/^[0-9]{1,15}$/.test(value)) throw new BadInput(`--${name} "${value}" is no whole number from 0 on`);
  return Number(value);
}
