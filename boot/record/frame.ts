import { sha256Bytes } from "../../state-ops/sha256.ts";

/**
 * A frame holds one payload so that a torn or foreign write is told from a whole one. All numbers are little endian:
 *
 *   0   8  magic: "slipwayR" for the boot record, "slipwayJ" for an entry of the boot journal, "slipwayN" for the network's profile
 *   8   4  version of this layout, 1
 *  12   8  sequence, counts up with every write
 *  20   4  length of the payload in bytes
 *  24  32  SHA-256 over bytes 0 to 23 and the payload
 *  56      payload
 *
 * What follows the payload belongs to nobody.
 */
export type FrameKind = "record" | "journal" | "network";

export interface Frame {
  sequence: number;
  payload: Uint8Array;
}

export type FrameReading = { frame: Frame; reason: null } | { frame: null; reason: string };

const VERSION = 1;
const FIELDS = 24;
/** Bytes before the payload. */
export const FRAME_HEADER = 56;
const MAGIC: Record<FrameKind, string> = { record: "slipwayR", journal: "slipwayJ", network: "slipwayN" };

/** Whether every byte is zero; compared natively, since PID 1 looks at 300 KiB before its code is warm. */
export function isZero(bytes: Uint8Array): boolean {
  return Buffer.compare(bytes, new Uint8Array(bytes.length)) === 0;
}

function checksum(fields: Uint8Array, payload: Uint8Array): Uint8Array {
  return sha256Bytes(fields, payload);
}

/** The frame's bytes, without padding. `sequence` is an integer from 0 to 2^53-1. */
export function encodeFrame(kind: FrameKind, sequence: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(FRAME_HEADER + payload.length);
  const view = new DataView(bytes.buffer);
  bytes.set(new TextEncoder().encode(MAGIC[kind]), 0);
  view.setUint32(8, VERSION, true);
  view.setBigUint64(12, BigInt(sequence), true);
  view.setUint32(20, payload.length, true);
  bytes.set(checksum(bytes.subarray(0, FIELDS), payload), FIELDS);
  bytes.set(payload, FRAME_HEADER);
  return bytes;
}

/** The frame at the start of `bytes`, or why there is none. Never throws; the payload is a view into `bytes`. */
export function decodeFrame(kind: FrameKind, bytes: Uint8Array): FrameReading {
  const fail = (reason: string): FrameReading => ({ frame: null, reason });
  if (bytes.length < FRAME_HEADER) return fail(`only ${bytes.length} bytes, a frame has at least ${FRAME_HEADER}`);
  if (isZero(bytes.subarray(0, FRAME_HEADER))) return fail("begins with zeros");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const magic = String.fromCharCode(...bytes.subarray(0, 8));
  if (magic !== MAGIC[kind]) return fail(`begins with ${JSON.stringify(magic)} instead of "${MAGIC[kind]}"`);
  const version = view.getUint32(8, true);
  if (version !== VERSION) return fail(`has frame version ${version}, known is ${VERSION}`);
  const sequence = view.getBigUint64(12, true);
  if (sequence > BigInt(Number.MAX_SAFE_INTEGER)) return fail(`has sequence ${sequence}, which is out of range`);
  const length = view.getUint32(20, true);
  const room = bytes.length - FRAME_HEADER;
  if (length > room) return fail(`says ${length} bytes of payload where ${room} have room`);
  const payload = bytes.subarray(FRAME_HEADER, FRAME_HEADER + length);
  const expected = checksum(bytes.subarray(0, FIELDS), payload);
  const whole = Buffer.compare(expected, bytes.subarray(FIELDS, FRAME_HEADER)) === 0;
  return whole ? { frame: { sequence: Number(sequence), payload }, reason: null } : fail("is torn: its SHA-256 differs");
}
