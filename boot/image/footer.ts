/**
 * The footer: the last {@link BLOCK} bytes of an image file, and of a partition that slipway installed one to. It says where
 * the seal is. Little endian:
 *
 *   0   8  magic, "slipwayF"
 *   8   4  version of this layout, 1
 *  12   4  length of the seal in bytes
 *  16   8  offset of the seal from the start of the file or partition, bytes
 *  24  32  SHA-256 of the seal
 *  56  32  SHA-256 of bytes 0 to 55
 *  88      zeros
 */
import { sha256Bytes } from "../../state-ops/sha256.ts";
import { LONGEST_SEAL } from "./seal.ts";
import { BLOCK } from "./verity.ts";

export interface Footer {
  sealOffset: number;
  sealLength: number;
  /** 32 bytes. */
  sealDigest: Uint8Array;
}

const MAGIC = new TextEncoder().encode("slipwayF");
const VERSION = 1;
const FIELDS = 56;
const END = 88;

export function encodeFooter({ sealOffset, sealLength, sealDigest }: Footer): Uint8Array {
  const bytes = new Uint8Array(BLOCK);
  const view = new DataView(bytes.buffer);
  bytes.set(MAGIC);
  view.setUint32(8, VERSION, true);
  view.setUint32(12, sealLength, true);
  view.setBigUint64(16, BigInt(sealOffset), true);
  bytes.set(sealDigest.subarray(0, 32), 24);
  bytes.set(sha256Bytes(bytes.subarray(0, FIELDS)), FIELDS);
  return bytes;
}

/** The footer of a seal that lies at `sealOffset`. */
export function footerOf(seal: Uint8Array, sealOffset: number): Footer {
  return { sealOffset, sealLength: seal.length, sealDigest: sha256Bytes(seal) };
}

/**
 * What the last block of a slot is: a `footer`; `none`, where nothing says that slipway wrote one; or a `fault`, where one was
 * written and is damaged. Never throws.
 */
export type FooterReading = { is: "footer"; footer: Footer } | { is: "none" } | { is: "fault"; reason: string };

/** Reads the last {@link BLOCK} bytes of a file or partition of `size` bytes. */
export function decodeFooter(bytes: Uint8Array, size: number): FooterReading {
  if (bytes.length !== BLOCK) return { is: "none" };
  if (Buffer.compare(bytes.subarray(0, MAGIC.length), MAGIC) !== 0) return { is: "none" };
  const fault = (reason: string): FooterReading => ({ is: "fault", reason: `the footer ${reason}` });
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (Buffer.compare(sha256Bytes(bytes.subarray(0, FIELDS)), bytes.subarray(FIELDS, END)) !== 0) {
    return fault("is damaged: its SHA-256 differs");
  }
  const version = view.getUint32(8, true);
  if (version !== VERSION) return fault(`has version ${version}, known is ${VERSION}`);
  if (bytes.subarray(END).some((byte) => byte !== 0)) return fault("has something behind its fields");
  const sealLength = view.getUint32(12, true);
  if (sealLength < 1 || sealLength > LONGEST_SEAL)
    return fault(`says a seal of ${sealLength} bytes, the most are ${LONGEST_SEAL}`);
  const sealOffset = view.getBigUint64(16, true);
  const end = sealOffset + BigInt(sealLength);
  if (sealOffset % BigInt(BLOCK) !== 0n || end > BigInt(size - BLOCK)) {
    return fault(`says a seal at ${sealOffset}, which is not where one can be in ${size} bytes`);
  }
  return { is: "footer", footer: { sealOffset: Number(sealOffset), sealLength, sealDigest: bytes.slice(24, 56) } };
}
