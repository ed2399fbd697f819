/** Private keys that images and channels are signed with: Ed25519 in PKCS#8 PEM, as slipway keys new and openssl write them. */
import { createPrivateKey, createPublicKey, type KeyObject, sign } from "node:crypto";
import { encodeEnvelope, MOST_SIGNATURES, preAuthenticationEncoding } from "../../../boot/image/envelope.ts";
import { type PublicKey, publicKey } from "../../../boot/image/keys.ts";
import { BadInput } from "../../../state-ops/outcome.ts";
import { readTextInput } from "../input.ts";
import type { Passphrases } from "./passphrase.ts";

export interface SigningKey {
  /** As the command line named it. */
  file: string;
  key: PublicKey;
  /** 64 bytes, RFC 8032. */
  sign(message: Uint8Array): Uint8Array;
}

/** The keys in `files`, which must be different ones. @throws BadInput */
export async function readSigningKeys(files: readonly string[], passphrases: Passphrases): Promise<SigningKey[]> {
  const keys: SigningKey[] = [];
  for (const file of files) {
    const next = await readSigningKey(file, passphrases);
    const twin = keys.find(({ key }) => key.id === next.key.id);
    if (twin !== undefined) throw new BadInput(`--key ${file} is the same key as ${twin.file}; give each once`);
    keys.push(next);
  }
  if (keys.length > MOST_SIGNATURES) throw new BadInput(`--key is given ${keys.length} times, the most are ${MOST_SIGNATURES}`);
  return keys;
}

/** The envelope's bytes of `payload`, signed with `keys`. */
export function signEnvelope(payloadType: string, payload: Uint8Array, keys: readonly SigningKey[]): Uint8Array {
  const message = preAuthenticationEncoding(payloadType, payload);
  const signatures = keys.map(({ key, sign }) => ({ keyId: key.id, signature: sign(message) }));
  return encodeEnvelope({ payloadType, payload, signatures });
}

/** The 32 bytes of an Ed25519 key's public half. */
export function rawPublicKey(key: KeyObject): Uint8Array {
  const der = new Uint8Array((key.type === "public" ? key : createPublicKey(key)).export({ type: "spki", format: "der" }));
  return der.slice(-32);
}

async function readSigningKey(file: string, passphrases: Passphrases): Promise<SigningKey> {
  const what = `--key ${file}`;
  const text = readTextInput(what, file);
  checkPem(what, text);
  const privateKey = await openKey(what, text, passphrases);
  if (privateKey.asymmetricKeyType !== "ed25519") {
    const remedy = "make one with slipway keys new, or openssl genpkey -algorithm ed25519";
    throw new BadInput(`${what} is of the kind ${privateKey.asymmetricKeyType}, not Ed25519; ${remedy}`);
  }
  return {
    file,
    key: publicKey(rawPublicKey(privateKey)),
    sign: (message) => new Uint8Array(sign(null, message, privateKey)),
  };
}

function checkPem(what: string, text: string): void {
  const labels = [...text.matchAll(/-----BEGIN ([A-Z0-9 ]+)-----/g)].map(([, label = ""]) => label);
  const [label] = labels;
  if (label === undefined)
    throw new BadInput(`${what} is no PEM file; give the .pem of slipway keys new or of openssl genpkey -algorithm ed25519`);
  if (label === "PUBLIC KEY") throw new BadInput(`${what} is a public key; signing takes the private one`);
  if (labels.length > 1) throw new BadInput(`${what} holds ${labels.length} keys; give each key in a file of its own`);
}

async function openKey(what: string, text: string, { given, ask }: Passphrases): Promise<KeyObject> {
  if (!/-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m.test(text)) return parsedKey(what, { key: text });
  for (const passphrase of given) {
    const key = withPassphrase(what, text, passphrase);
    if (key !== null) return key;
  }
  if (given.length > 0) throw new BadInput(`${what} is encrypted, and no passphrase of --passphrase-file opens it`);
  const asked = await ask(what);
  if (asked === null) throw new BadInput(`${what} is encrypted; give its passphrase with --passphrase-file FILE`);
  const key = withPassphrase(what, text, asked);
  if (key === null) throw new BadInput(`${what}: the passphrase does not open it`);
  return key;
}

/** Null where the passphrase is a wrong one. */
function withPassphrase(what: string, text: string, passphrase: string): KeyObject | null {
  try {
    return createPrivateKey({ key: text, format: "pem", passphrase });
  } catch (error) {
    const code = codeOf(error);
    // A wrong passphrase that happens to leave sound padding gives a key that cannot be read.
    if (/BAD_DECRYPT|DECODE_ERROR|ASN1/.test(code)) return null;
    throw unreadable(what, code);
  }
}

function parsedKey(what: string, input: { key: string }): KeyObject {
  try {
    return createPrivateKey({ ...input, format: "pem" });
  } catch (error) {
    throw unreadable(what, codeOf(error));
  }
}

function unreadable(what: string, code: string): BadInput {
  if (code.includes("UNSUPPORTED_KEY_DERIVATION") || code.includes("UNSUPPORTED_CIPHER") || code.includes("UNKNOWN_CIPHER")) {
    const remedy = "encrypt it anew: openssl pkcs8 -topk8 -v2 aes-256-cbc -in KEY.pem -out NEW.pem";
    return new BadInput(`${what} is encrypted in a way that is not read here (${code}); ${remedy}`);
  }
  return new BadInput(`${what} cannot be read as an Ed25519 private key (${code}); make one with slipway keys new`);
}

function codeOf(error: unknown): string {
  if (error instanceof Error && "code" in error && typeof error.code === "string") return error.code;
  return error instanceof Error ? error.message : String(error);
}
