/** Public keys that signatures are checked with: Ed25519 as `openssl` writes it, RFC 8410. */
import { BadInput } from "../../state-ops/outcome.ts";
import { sha256Hex } from "../../state-ops/sha256.ts";

export interface PublicKey {
  /** SHA-256 in hex of the key's DER: `openssl pkey -pubin -in KEY.pub.pem -outform DER | sha256sum`. */
  id: string;
  /** The 32 bytes of RFC 8032. */
  raw: Uint8Array;
}

/** A key id. */
export const KEY_ID = /^[0-9a-f]{64}$/;

/** SubjectPublicKeyInfo of an Ed25519 key, up to its 32 bytes: RFC 8410, section 4. */
const SPKI_HEAD = Uint8Array.fromHex("302a300506032b6570032100");

/** The DER of a public key from its 32 bytes. */
export function publicKeyDer(raw: Uint8Array): Uint8Array {
  const der = new Uint8Array(SPKI_HEAD.length + 32);
  der.set(SPKI_HEAD);
  der.set(raw.subarray(0, 32), SPKI_HEAD.length);
  return der;
}

/** The public key with these 32 bytes. Throws BadInput for another length. */
export function publicKey(raw: Uint8Array): PublicKey {
  if (raw.length !== 32) throw new BadInput(`an Ed25519 public key has 32 bytes, not ${raw.length}`);
  return { id: sha256Hex(publicKeyDer(raw)), raw };
}

/** The key in the text of a PEM file; `what` names the file. Throws BadInput for everything but one Ed25519 public key. */
export function readPublicKeyPem(what: string, text: string): PublicKey {
  const blocks = [...text.matchAll(/-----BEGIN ([A-Z0-9 ]+)-----\r?\n([A-Za-z0-9+/=\s]*)-----END \1-----/g)];
  const [block, second] = blocks;
  if (block === undefined)
    throw new BadInput(`${what} is no PEM file; give the .pub.pem of slipway keys new or openssl pkey -pubout`);
  if (second !== undefined) throw new BadInput(`${what} holds ${blocks.length} keys; give each key in a file of its own`);
  const [, label = "", body = ""] = block;
  if (label.includes("PRIVATE KEY")) {
    throw new BadInput(`${what} is a private key; give its public half: openssl pkey -in KEY.pem -pubout -out KEY.pub.pem`);
  }
  if (label !== "PUBLIC KEY") throw new BadInput(`${what} is a ${label}, not a PUBLIC KEY; give an Ed25519 public key`);
  let der: Uint8Array;
  try {
    der = Uint8Array.fromBase64(body.replace(/\s+/g, ""));
  } catch {
    throw new BadInput(`${what} is damaged: its PEM body is no base64`);
  }
  const isEd25519 = der.length === SPKI_HEAD.length + 32 && Buffer.compare(der.subarray(0, SPKI_HEAD.length), SPKI_HEAD) === 0;
  if (!isEd25519)
    throw new BadInput(`${what} is no Ed25519 key; make one with slipway keys new, or openssl genpkey -algorithm ed25519`);
  return publicKey(der.slice(SPKI_HEAD.length));
}

/** The PEM file of a public key, as openssl writes it. */
export function publicKeyPem({ raw }: PublicKey): string {
  return `-----BEGIN PUBLIC KEY-----\n${publicKeyDer(raw).toBase64()}\n-----END PUBLIC KEY-----\n`;
}
