/** Which signatures make a signed text one to act on. */
import type { ControlTrust } from "../../state-ops/control.ts";
import { type Envelope, preAuthenticationEncoding } from "./envelope.ts";
import { type PublicKey, publicKey } from "./keys.ts";

/**
 * Whose word counts. `unsigned`: anybody's, for development. `signed`: that of `threshold` different ones of `keys`.
 */
export type Trust = { mode: "unsigned" } | { mode: "signed"; keys: PublicKey[]; threshold: number };

/** What the control file of an initrd trusts. */
export function trustOf(control: ControlTrust): Trust {
  if (control.mode === "unsigned") return control;
  return { mode: "signed", keys: control.keys.map((key) => publicKey(Uint8Array.fromHex(key))), threshold: control.threshold };
}

/** What checking the signatures of an envelope showed. `signers`: ids of the trusted keys whose signatures are right. */
export type Verdict = { trusted: true; signers: string[] } | { trusted: false; signers: string[]; reason: string };

/** Whether `signature` is that of `key` over `message`. Ed25519, RFC 8032. */
export async function isSignature(key: PublicKey, message: Uint8Array, signature: Uint8Array): Promise<boolean> {
  try {
    const imported = await crypto.subtle.importKey("raw", new Uint8Array(key.raw), "Ed25519", false, ["verify"]);
    return await crypto.subtle.verify("Ed25519", imported, new Uint8Array(signature), new Uint8Array(message));
  } catch {
    return false; // 32 bytes that are no point of the curve
  }
}

/**
 * Checks the envelope's signatures against `trust`; `what` names it: "the seal". A signature of a trusted key that is wrong
 * refuses the whole, even where others suffice: somebody changed it. Those of keys that are not trusted are passed over. An
 * unsigned envelope is trusted only in the mode `unsigned`, in which signatures say nothing.
 */
export async function judgeEnvelope(what: string, envelope: Envelope, trust: Trust): Promise<Verdict> {
  if (trust.mode === "unsigned") return { trusted: true, signers: [] };
  const message = preAuthenticationEncoding(envelope.payloadType, envelope.payload);
  const signers: string[] = [];
  const unknown: string[] = [];
  for (const { keyId, signature } of envelope.signatures) {
    const key = trust.keys.find(({ id }) => id === keyId);
    if (key === undefined) unknown.push(keyId);
    else if (await isSignature(key, message, signature)) signers.push(keyId);
    else return { trusted: false, signers, reason: `the signature of key ${short(keyId)} under ${what} is wrong` };
  }
  if (signers.length >= trust.threshold) return { trusted: true, signers };
  const others = unknown.length === 0 ? "" : `; not trusted: ${unknown.map(short).join(", ")}`;
  const wanted = `${trust.threshold} of ${trust.keys.length} trusted keys (${trust.keys.map(({ id }) => short(id)).join(", ")})`;
  const seen = envelope.signatures.length === 0 ? "is not signed" : `is signed by ${signers.length} trusted keys${others}`;
  return { trusted: false, signers, reason: `${what} ${seen}, and must be by ${wanted}` };
}

function short(keyId: string): string {
  return keyId.slice(0, 12);
}
