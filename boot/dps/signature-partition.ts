/**
 * The partition with a root hash's signature: JSON, filled up with NULs. See "root-verity-sig" of
 * https://uapi-group.org/specifications/specs/discoverable_partitions_specification/
 */
import { BadInput } from "../../state-ops/outcome.ts";
import { isHex } from "../../state-ops/plain-text.ts";

/** As much of the partition is read, bytes: systemd makes it 16 KiB. */
export const SIGNATURE_BYTES = 64 * 1024;

export interface SignedRootHash {
  /** 64 hex digits: what was signed, as ASCII text. */
  rootHash: string;
  /** PKCS#7, DER. */
  signature: Uint8Array;
  /** SHA-256 in hex of the signer's certificate. */
  fingerprint: string;
}

/** What the partition that begins with `bytes` says; nothing is proven by that. Throws BadInput. */
export function decodeSignaturePartition(bytes: Uint8Array): SignedRootHash {
  const end = bytes.indexOf(0);
  const text = bytes.subarray(0, end < 0 ? bytes.length : end);
  if (text.length === 0) throw new BadInput("the signature partition is empty");
  if (bytes.subarray(text.length).some((byte) => byte !== 0)) {
    throw new BadInput("the signature partition has something behind its zeros");
  }
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(text));
  } catch {
    throw new BadInput("the signature partition holds no JSON");
  }
  const fields = new Map(typeof value === "object" && value !== null && !Array.isArray(value) ? Object.entries(value) : []);
  const [rootHash, signature, fingerprint] = ["rootHash", "signature", "certificateFingerprint"].map((key) => fields.get(key));
  if (typeof rootHash !== "string" || !isHex(rootHash, 64)) throw wrong("rootHash", "64 hex digits (SHA-256)");
  if (typeof fingerprint !== "string" || !isHex(fingerprint, 64)) throw wrong("certificateFingerprint", "64 hex digits");
  if (typeof signature !== "string") throw wrong("signature", "base64 of a PKCS#7 signature");
  return { rootHash, fingerprint, signature: decodeBase64(signature) };
}

function decodeBase64(text: string): Uint8Array {
  try {
    return Uint8Array.fromBase64(text);
  } catch {
    throw wrong("signature", "base64 of a PKCS#7 signature");
  }
}

function wrong(key: string, wanted: string): BadInput {
  return new BadInput(`the signature partition's "${key}" is not ${wanted}`);
}
