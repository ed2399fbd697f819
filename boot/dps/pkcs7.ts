/** A detached PKCS#7 signature without attributes (RFC 5652, SignedData), as systemd-repart and `openssl smime -noattr` make it. */
import { BadInput } from "../../state-ops/outcome.ts";
import { type Element, elementAt, elementsIn, objectId, TAG } from "../network/der.ts";

const SIGNED_DATA = "1.2.840.113549.1.7.2";
const DATA = "1.2.840.113549.1.7.1";
/** [0], constructed: content, certificates or signed attributes, by where it stands. */
const CONTEXT_0 = 0xa0;
const SET = 0x31;

export type Digest = "SHA-256" | "SHA-384" | "SHA-512";

const DIGESTS: Record<string, Digest> = {
  "2.16.840.1.101.3.4.2.1": "SHA-256",
  "2.16.840.1.101.3.4.2.2": "SHA-384",
  "2.16.840.1.101.3.4.2.3": "SHA-512",
};

/** One signer's signature over the content itself. */
export interface SignerInfo {
  digest: Digest;
  signature: Uint8Array;
}

/** The signers of a detached signature. Which certificate is whose is not looked at: the keys that are trusted are tried. Throws BadInput. */
export function signersOf(bytes: Uint8Array): SignerInfo[] {
  const whole = elementAt(bytes, 0, bytes.length);
  const [type, wrapped, ...beside] = sequence(bytes, whole, "ContentInfo");
  if (whole?.end !== bytes.length || beside.length > 0) {
    throw new BadInput("the signature is damaged: ContentInfo is not all that there is");
  }
  if (nameOf(bytes, type) !== SIGNED_DATA || wrapped?.tag !== CONTEXT_0)
    throw new BadInput("the signature is no PKCS#7 SignedData");
  const fields = sequence(bytes, elementAt(bytes, wrapped.content, wrapped.end), "SignedData");
  const [, , content] = fields;
  const [contentType, ...inside] = sequence(bytes, content ?? null, "the content");
  if (nameOf(bytes, contentType) !== DATA || inside.length > 0)
    throw new BadInput("the signature is not detached: it holds a content");
  const infos = fields.at(-1);
  const list = infos?.tag === SET && fields.length > 3 ? elementsIn(bytes, infos.content, infos.end) : null;
  if (list === null || list.length === 0) throw new BadInput("the signature has no signer");
  return list.map((info) => signerOf(bytes, info));
}

/** SignerInfo ::= SEQUENCE { version, sid, digestAlgorithm, [0] signedAttrs OPTIONAL, signatureAlgorithm, signature, … }. */
function signerOf(bytes: Uint8Array, info: Element): SignerInfo {
  const [, , algorithm, ...rest] = sequence(bytes, info, "SignerInfo");
  if (rest[0]?.tag === CONTEXT_0) {
    throw new BadInput("the signature is over attributes, and not over the root hash; sign without them (openssl smime -noattr)");
  }
  const name = nameOf(bytes, sequence(bytes, algorithm ?? null, "a digest's algorithm")[0]);
  const digest = DIGESTS[name];
  if (digest === undefined)
    throw new BadInput(`the signature's digest is ${name || "not said"}; read are SHA-256, SHA-384 and SHA-512`);
  const [, signature] = rest;
  if (signature?.tag !== TAG.octetString) throw new BadInput("a signer of the signature has no signature");
  return { digest, signature: bytes.slice(signature.content, signature.end) };
}

function sequence(bytes: Uint8Array, element: Element | null, what: string): Element[] {
  const elements = element?.tag === TAG.sequence ? elementsIn(bytes, element.content, element.end) : null;
  if (elements === null) throw new BadInput(`the signature is damaged: ${what} is no sound DER`);
  return elements;
}

function nameOf(bytes: Uint8Array, element: Element | undefined): string {
  return element?.tag === TAG.objectId ? objectId(bytes.subarray(element.content, element.end)) : "";
}
