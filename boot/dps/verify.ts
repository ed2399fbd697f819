/** Whether a trusted certificate's key signed a root hash. */
import type { TrustedCertificate } from "../../state-ops/control.ts";
import { BadInput } from "../../state-ops/outcome.ts";
import { elementAt, elementsIn, objectId, TAG } from "../network/der.ts";
import { type Digest, type SignerInfo, signersOf } from "./pkcs7.ts";
import type { SignedRootHash } from "./signature-partition.ts";

const RSA = "1.2.840.113549.1.1.1";
const ELLIPTIC = "1.2.840.10045.2.1";
const CURVES: Record<string, { name: string; bytes: number }> = {
  "1.2.840.10045.3.1.7": { name: "P-256", bytes: 32 },
  "1.3.132.0.34": { name: "P-384", bytes: 48 },
  "1.3.132.0.35": { name: "P-521", bytes: 66 },
};

type KeyKind = { is: "rsa" } | { is: "ecdsa"; curve: string; bytes: number };

/** What kind of key a SubjectPublicKeyInfo (RFC 5280) holds; null for one that is not read here. */
export function keyKind(key: Uint8Array): KeyKind | null {
  const whole = elementAt(key, 0, key.length);
  const algorithm = whole?.tag === TAG.sequence ? elementAt(key, whole.content, whole.end) : null;
  const parts = algorithm?.tag === TAG.sequence ? elementsIn(key, algorithm.content, algorithm.end) : null;
  const [name, curve] = (parts ?? []).map(({ tag, content, end }) =>
    tag === TAG.objectId ? objectId(key.subarray(content, end)) : "",
  );
  if (name === RSA) return { is: "rsa" };
  const known = name === ELLIPTIC ? CURVES[curve ?? ""] : undefined;
  return known === undefined ? null : { is: "ecdsa", curve: known.name, bytes: known.bytes };
}

/**
 * Checks the signature of a root hash. Dates in certificates are not looked at: a machine that boots has no clock to trust.
 *
 * @throws BadInput where none of the certificates signed it
 */
export async function checkSignature(signed: SignedRootHash, certificates: readonly TrustedCertificate[]): Promise<void> {
  const signers = signersOf(signed.signature);
  const trusted = certificates.find(({ fingerprint }) => fingerprint === signed.fingerprint);
  if (trusted === undefined) {
    const known = certificates.map(({ fingerprint }) => fingerprint.slice(0, 12)).join(", ") || "none";
    throw new BadInput(`the root hash is signed by the certificate ${signed.fingerprint.slice(0, 12)}; trusted are: ${known}`);
  }
  const key = Uint8Array.fromBase64(trusted.key);
  const text = new TextEncoder().encode(signed.rootHash);
  for (const signer of signers) if (await isBy(key, signer, text)) return;
  throw new BadInput(`the signature of the root hash is not by the certificate ${signed.fingerprint.slice(0, 12)}`);
}

async function isBy(key: Uint8Array, { digest, signature }: SignerInfo, text: Uint8Array<ArrayBuffer>): Promise<boolean> {
  const kind = keyKind(key);
  if (kind === null) return false;
  const spki = new Uint8Array(key);
  if (kind.is === "rsa") {
    const imported = await crypto.subtle.importKey("spki", spki, { name: "RSASSA-PKCS1-v1_5", hash: digest }, false, ["verify"]);
    return crypto.subtle.verify("RSASSA-PKCS1-v1_5", imported, new Uint8Array(signature), text);
  }
  const pair = pairOf(signature, kind.bytes);
  if (pair === null) return false;
  const imported = await crypto.subtle.importKey("spki", spki, { name: "ECDSA", namedCurve: kind.curve }, false, ["verify"]);
  const how: { name: string; hash: Digest } = { name: "ECDSA", hash: digest };
  return crypto.subtle.verify(how, imported, pair, text);
}

/** ECDSA-Sig-Value ::= SEQUENCE { r INTEGER, s INTEGER } as WebCrypto wants it: both with all their bytes. */
function pairOf(signature: Uint8Array, length: number): Uint8Array<ArrayBuffer> | null {
  const whole = elementAt(signature, 0, signature.length);
  const numbers = whole?.tag === TAG.sequence ? elementsIn(signature, whole.content, whole.end) : null;
  if (numbers?.length !== 2) return null;
  const pair = new Uint8Array(2 * length);
  for (const [index, { tag, content, end }] of numbers.entries()) {
    let start = content;
    while (start < end - 1 && signature[start] === 0) start++;
    if (tag !== TAG.integer || end - start > length) return null;
    pair.set(signature.subarray(start, end), (index + 1) * length - (end - start));
  }
  return pair;
}
