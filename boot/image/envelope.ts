/**
 * Signed texts: the DSSE envelope (secure-systems-lab/dsse, protocol.md and envelope.md) around a canonical JSON payload,
 * with Ed25519 signatures. A seal and a channel are such texts.
 */
import { canonicalJson } from "../../state-ops/canonical-json.ts";
import { Fields } from "../../state-ops/fields.ts";
import { BadInput } from "../../state-ops/outcome.ts";
import { KEY_ID } from "./keys.ts";

export const PAYLOAD_TYPE = {
  seal: "application/vnd.slipway.seal+json",
  channel: "application/vnd.slipway.channel+json",
} as const;

export interface Signature {
  /** Of the key: see keys.ts. */
  keyId: string;
  /** 64 bytes, RFC 8032. */
  signature: Uint8Array;
}

export interface Envelope {
  payloadType: string;
  payload: Uint8Array;
  /** In the order of their key ids, one for each key at most. */
  signatures: Signature[];
}

/** An envelope holds no more: k-of-n with n up to this. */
export const MOST_SIGNATURES = 16;

const encoder = new TextEncoder();

/** What is signed: DSSE's pre-authentication encoding of type and payload. */
export function preAuthenticationEncoding(payloadType: string, payload: Uint8Array): Uint8Array {
  const type = encoder.encode(payloadType);
  const head = encoder.encode(`DSSEv1 ${type.length} ${payloadType} ${payload.length} `);
  const bytes = new Uint8Array(head.length + payload.length);
  bytes.set(head);
  bytes.set(payload, head.length);
  return bytes;
}

/** The envelope's one form: canonical JSON and a newline, signatures sorted by key id. */
export function encodeEnvelope({ payloadType, payload, signatures }: Envelope): Uint8Array {
  const sorted = [...signatures].sort((left, right) => (left.keyId < right.keyId ? -1 : 1));
  return encoder.encode(
    canonicalJson({
      payloadType,
      payload: payload.toBase64(),
      signatures: sorted.map(({ keyId, signature }) => ({ keyid: keyId, sig: signature.toBase64() })),
    }),
  );
}

/**
 * The envelope in `bytes`, which must be its one form to the last byte. `what` names it in messages: "the seal". Nothing is
 * verified here. Throws BadInput.
 */
export function decodeEnvelope(what: string, payloadType: string, bytes: Uint8Array): Envelope {
  const fields = new Fields(parseJson(what, bytes), what, ["payloadType", "payload", "signatures"]);
  const envelope = {
    payloadType: fields.oneOf("payloadType", [payloadType]),
    payload: base64(fields, "payload"),
    signatures: fields.list("signatures").map((entry, index) => {
      const signature = new Fields(entry, `${what}: signatures[${index}]`, ["keyid", "sig"]);
      const keyId = signature.text("keyid");
      if (!KEY_ID.test(keyId)) signature.fail("keyid", "64 hex digits");
      const bytes = base64(signature, "sig");
      return { keyId, signature: bytes.length === 64 ? bytes : signature.fail("sig", "64 bytes in base64") };
    }),
  };
  if (envelope.signatures.length > MOST_SIGNATURES) fields.fail("signatures", `a list of at most ${MOST_SIGNATURES}`);
  const ids = new Set(envelope.signatures.map(({ keyId }) => keyId));
  if (ids.size !== envelope.signatures.length) throw new BadInput(`${what} has two signatures of one key`);
  if (Buffer.compare(encodeEnvelope(envelope), bytes) !== 0) {
    throw new BadInput(
      `${what} is not in its canonical form (RFC 8785 and a newline); was it changed or written by something else?`,
    );
  }
  return envelope;
}

/** The JSON in a text of UTF-8. Throws BadInput. */
export function parseJson(what: string, bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw new BadInput(`${what} is not JSON (${error instanceof Error ? error.message : error})`);
  }
}

function base64(fields: Fields, key: string): Uint8Array {
  const text = fields.value(key);
  if (typeof text !== "string") return fields.fail(key, "base64");
  try {
    return Uint8Array.fromBase64(text);
  } catch {
    return fields.fail(key, "base64");
  }
}
