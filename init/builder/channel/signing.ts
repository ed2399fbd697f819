/** Who signs a channel: keys that are here, signatures that were made elsewhere, or nobody. */
import { encodeEnvelope, PAYLOAD_TYPE, preAuthenticationEncoding } from "../../../boot/image/envelope.ts";
import { type PublicKey, readPublicKeyPem } from "../../../boot/image/keys.ts";
import { isSignature, type Trust } from "../../../boot/image/trust.ts";
import { BadInput } from "../../../state-ops/outcome.ts";
import { flag, type OptionValues, text, texts } from "../../commands/verb.ts";
import { readTextInput } from "../input.ts";
import { passphrasesFrom } from "../keys/passphrase.ts";
import { readSignatureFile } from "../keys/signature-file.ts";
import { readSigningKeys, signEnvelope } from "../keys/signing-key.ts";
import { readTrustedKeys } from "../keys/trust-option.ts";
import { checkOutput, replaceFile, writePieces } from "../output.ts";

export interface Signing {
  /** Whose signatures under images and under the channel as it is are believed. */
  trust: Trust;
  /** Ids of the keys that sign. */
  signers: string[];
  /**
   * The channel's file for `payload`; null where that is only written down for somebody else to sign.
   *
   * @throws BadInput where a signature is none over it
   */
  sign(payload: Uint8Array): Promise<Uint8Array | null>;
}

/** What the options say of signing: one of four ways. @throws BadInput */
export async function readSigning(values: OptionValues): Promise<Signing> {
  const ways = [
    flag(values, "unsigned") && "--unsigned",
    texts(values, "key").length > 0 && "--key",
    texts(values, "signature").length + texts(values, "public-key").length > 0 && "--signature with --public-key",
    text(values, "payload") !== undefined && "--payload",
  ].filter((way) => way !== false);
  const [way, other] = ways;
  if (way === undefined) throw new BadInput("--key is missing; it names the private key to sign the channel with");
  if (other !== undefined) throw new BadInput(`${way} and ${other} are given; do one of them`);
  const trusted = readTrustedKeys(texts(values, "trust")).map(({ key }) => key);
  if (way === "--unsigned") return nobody();
  if (way === "--key") return byKeys(values, trusted);
  return way === "--payload" ? byOthersLater(text(values, "payload") ?? "", trusted) : byOthers(values, trusted);
}

function trusting(keys: readonly PublicKey[]): Trust {
  const different = keys.filter(({ id }, index) => keys.findIndex((key) => key.id === id) === index);
  return { mode: "signed", keys: different, threshold: 1 };
}

function nobody(): Signing {
  const sign = async (payload: Uint8Array) => encodeEnvelope({ payloadType: PAYLOAD_TYPE.channel, payload, signatures: [] });
  return { trust: { mode: "unsigned" }, signers: [], sign };
}

async function byKeys(values: OptionValues, trusted: readonly PublicKey[]): Promise<Signing> {
  const keys = await readSigningKeys(texts(values, "key"), passphrasesFrom(texts(values, "passphrase-file")));
  return {
    trust: trusting([...keys.map(({ key }) => key), ...trusted]),
    signers: keys.map(({ key }) => key.id),
    sign: async (payload) => signEnvelope(PAYLOAD_TYPE.channel, payload, keys),
  };
}

function byOthersLater(output: string, trusted: readonly PublicKey[]): Signing {
  if (trusted.length === 0) throw new BadInput("--trust is missing; it names the public keys that signed the images");
  const path = checkOutput(output);
  const sign = async (payload: Uint8Array) => {
    const bytes = preAuthenticationEncoding(PAYLOAD_TYPE.channel, payload);
    await replaceFile(path, (scratch) => writePieces(scratch, [bytes]));
    return null;
  };
  return { trust: trusting(trusted), signers: [], sign };
}

function byOthers(values: OptionValues, trusted: readonly PublicKey[]): Signing {
  const [files, signatureFiles] = [texts(values, "public-key"), texts(values, "signature")];
  if (files.length !== signatureFiles.length) {
    throw new BadInput(`--public-key is given ${files.length} times, --signature ${signatureFiles.length} times; one for each`);
  }
  const keys = files.map((file) => readPublicKeyPem(`--public-key ${file}`, readTextInput(`--public-key ${file}`, file)));
  const signatures = keys.map((key, index) => {
    const file = signatureFiles[index] ?? "";
    return { key, keyId: key.id, signature: readSignatureFile(file), file };
  });
  const sign = async (payload: Uint8Array) => {
    const message = preAuthenticationEncoding(PAYLOAD_TYPE.channel, payload);
    for (const { key, file, signature } of signatures) {
      if (await isSignature(key, message, signature)) continue;
      throw new BadInput(
        `--signature ${file} is not one of key ${key.id} over this publication; give the same options as with --payload, and sign anew if the channel changed since`,
      );
    }
    return encodeEnvelope({ payloadType: PAYLOAD_TYPE.channel, payload, signatures });
  };
  return { trust: trusting([...keys, ...trusted]), signers: keys.map(({ id }) => id), sign };
}
