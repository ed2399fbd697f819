import { sha256Bytes } from "../../state-ops/sha256.ts";
import { elementAt, TAG } from "./der.ts";

/**
 * Pins as curl writes them: "sha256//" and the SHA-256, in base64, of a certificate's public key (its SubjectPublicKeyInfo).
 * From a certificate: openssl x509 -in server.pem -noout -pubkey | openssl pkey -pubin -outform DER | openssl dgst -sha256 -binary | base64
 */

const PREFIX = "sha256//";

/** Why `pin` is none; null where it is one. */
export function pinFault(pin: string): string | null {
  try {
    const text = pin.startsWith(PREFIX) ? pin.slice(PREFIX.length) : "";
    const bytes = Uint8Array.fromBase64(text);
    if (bytes.length === 32 && bytes.toBase64() === text) return null;
  } catch {}
  return `must be ${PREFIX} and 32 bytes in base64`;
}

/** The pin that the certificate's key answers to; null where the bytes are no X.509 certificate. */
export function pinOf(certificate: Uint8Array): string | null {
  const key = publicKeyInfo(certificate);
  return key === null ? null : PREFIX + sha256Bytes(key).toBase64();
}

const VERSION = 0xa0;

/**
 * SubjectPublicKeyInfo (RFC 5280 4.1): Certificate { tbsCertificate { [0] version?, serial, algorithm, issuer, validity,
 * subject, THIS, … } … }.
 */
function publicKeyInfo(bytes: Uint8Array): Uint8Array | null {
  const certificate = elementAt(bytes, 0, bytes.length);
  const signed = certificate?.tag === TAG.sequence ? elementAt(bytes, certificate.content, certificate.end) : null;
  if (signed?.tag !== TAG.sequence) return null;
  const first = elementAt(bytes, signed.content, signed.end);
  const before = first?.tag === VERSION ? 6 : 5;
  let at = signed.content;
  for (let count = 0; count < before; count++) {
    const element = elementAt(bytes, at, signed.end);
    if (element === null) return null;
    at = element.end;
  }
  const key = elementAt(bytes, at, signed.end);
  return key?.tag === TAG.sequence ? bytes.subarray(key.start, key.end) : null;
}
