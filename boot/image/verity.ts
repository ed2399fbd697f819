/**
 * The hash tree of dm-verity, as veritysetup makes it and the kernel reads it: Linux,
 * Documentation/admin-guide/device-mapper/verity.rst, and cryptsetup's lib/verity. One form only: SHA-256, blocks of 4 KiB,
 * hash type 1 (the salt comes before the data). The tree begins with its top block; the leaves' blocks are its end.
 */
import { sha256Bytes } from "../../state-ops/sha256.ts";

/** Bytes of a data block, of a block of the tree, and of everything that lies on block boundaries in an image. */
export const BLOCK = 4096;
/** Bytes of a digest. */
export const DIGEST = 32;
/** Digests in one block of the tree. */
export const DIGESTS_PER_BLOCK = BLOCK / DIGEST;
/** A tree over one block would have no block of its own. No filesystem is that small. */
export const LEAST_DATA_BLOCKS = 2;
/** Data blocks of the largest filesystem that slipway reads: 8 TiB. Offsets in bytes stay exact integers far beyond. */
export const MOST_DATA_BLOCKS = 2 ** 31;

/** One level of the tree. Level 0 holds the digests of the data blocks: the leaves. */
export interface TreeLevel {
  /** First block of the level, counted in blocks from the start of the tree. */
  start: number;
  /** Blocks of the level. */
  blocks: number;
}

/** Levels of the tree over `dataBlocks` blocks, leaves first; the last is the top, one block. `dataBlocks` is at least {@link LEAST_DATA_BLOCKS}. */
export function treeLevels(dataBlocks: number): TreeLevel[] {
  const counts: number[] = [];
  for (let hashed = dataBlocks; hashed > 1; ) {
    hashed = Math.ceil(hashed / DIGESTS_PER_BLOCK);
    counts.push(hashed);
  }
  const total = counts.reduce((sum, count) => sum + count, 0);
  let end = total;
  return counts.map((blocks) => {
    end -= blocks;
    return { start: end, blocks };
  });
}

/** Blocks of the whole tree over `dataBlocks` blocks. */
export function treeBlocks(dataBlocks: number): number {
  return treeLevels(dataBlocks).reduce((sum, level) => sum + level.blocks, 0);
}

/** SHA-256 over the salt and one block: what the tree holds for it. `block` has {@link BLOCK} bytes. */
export type BlockDigest = (block: Uint8Array) => Uint8Array;

/** The {@link BlockDigest} under a salt. One hasher for all: a new one for each block would leave its memory to the collector. */
export function blockDigestOf(salt: Uint8Array): BlockDigest {
  const hasher = new Bun.CryptoHasher("sha256");
  return (block) => hasher.update(salt).update(block).digest();
}

/** As {@link BlockDigest}, for who reads much: the result begins with the digest, and is good until the next call. */
export type BlockDigestInto = (block: Uint8Array) => Uint8Array;

export function blockDigestInto(salt: Uint8Array): BlockDigestInto {
  const hasher = new Bun.CryptoHasher("sha256");
  // Bun wants room for the longest digest that it has.
  const digest = new Uint8Array(64);
  return (block) => {
    hasher.update(salt).update(block).digest(digest);
    return digest;
  };
}

/** A block of nothing but zeros. */
export const ZERO_BLOCK: Uint8Array = new Uint8Array(BLOCK);

/** As {@link blockDigestInto}, for the data of an image: much of it is zeros, whose digest is made once. */
export function dataDigestInto(salt: Uint8Array): BlockDigestInto {
  const digest = blockDigestInto(salt);
  const ofZeros = digest(ZERO_BLOCK).slice(0, DIGEST);
  return (block) => (Buffer.compare(block, ZERO_BLOCK) === 0 ? ofZeros : digest(block));
}

/** Whether the digests at two places are the same. */
export function isSameDigest(left: Uint8Array, leftOffset: number, right: Uint8Array, rightOffset: number): boolean {
  for (let index = 0; index < DIGEST; index++) if (left[leftOffset + index] !== right[rightOffset + index]) return false;
  return true;
}

/** The salt of a system's images: all versions share it, so that equal blocks have equal leaves. 32 bytes. */
export function saltOf(system: string): Uint8Array {
  return sha256Bytes(`slipway verity salt 1\n${system}`);
}

/** What the superblock of dm-verity says. 512 bytes, little endian: cryptsetup, lib/verity/verity.c, struct verity_sb. */
export interface VerityParameters {
  /** 16 bytes. In slipway's images the root hash's first 16, so that equal images have equal superblocks. */
  uuid: Uint8Array;
  dataBlocks: number;
  /** At most 256 bytes. */
  salt: Uint8Array;
}

/**
 * The block before the tree: the superblock, padded with zeros to {@link BLOCK} bytes. Nothing ever trusts it: it lets
 * `veritysetup` read the tree, and must be what the seal says.
 */
export function encodeVeritySuperblock({ uuid, dataBlocks, salt }: VerityParameters): Uint8Array {
  const bytes = new Uint8Array(BLOCK);
  const view = new DataView(bytes.buffer);
  const encoder = new TextEncoder();
  bytes.set(encoder.encode("verity"), 0);
  view.setUint32(8, 1, true);
  view.setUint32(12, 1, true);
  bytes.set(uuid.subarray(0, 16), 16);
  bytes.set(encoder.encode("sha256"), 32);
  view.setUint32(64, BLOCK, true);
  view.setUint32(68, BLOCK, true);
  view.setBigUint64(72, BigInt(dataBlocks), true);
  view.setUint16(80, salt.length, true);
  bytes.set(salt, 88);
  return bytes;
}

/** A superblock of hash type 1 with SHA-256, whatever its parameters are, or why it is none. Never throws. */
export function superblockView(bytes: Uint8Array): DataView | string {
  if (bytes.length < 512) return `has only ${bytes.length} bytes`;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const text = new TextDecoder("latin1").decode(bytes.subarray(0, 64));
  if (!text.startsWith("verity\0\0")) return "has no verity signature";
  const version = view.getUint32(8, true);
  const type = view.getUint32(12, true);
  if (version !== 1 || type !== 1) return `has version ${version} and hash type ${type}, read are 1 and 1`;
  const algorithm = text.slice(32).replace(/\0+$/, "");
  return algorithm === "sha256" ? view : `has the algorithm ${JSON.stringify(algorithm)}, read is sha256`;
}

/** The parameters in a superblock, or why it is none that slipway makes. Never throws. */
export function decodeVeritySuperblock(bytes: Uint8Array): { parameters: VerityParameters } | { fault: string } {
  const view = superblockView(bytes);
  if (typeof view === "string") return { fault: view };
  const data = view.getUint32(64, true);
  const hash = view.getUint32(68, true);
  if (data !== BLOCK || hash !== BLOCK) return { fault: `has blocks of ${data} and ${hash} bytes, read are ${BLOCK}` };
  const dataBlocks = view.getBigUint64(72, true);
  if (dataBlocks < BigInt(LEAST_DATA_BLOCKS) || dataBlocks > BigInt(MOST_DATA_BLOCKS))
    return { fault: `says ${dataBlocks} data blocks` };
  const saltLength = view.getUint16(80, true);
  if (saltLength > 256) return { fault: `says a salt of ${saltLength} bytes, the most are 256` };
  return { parameters: { uuid: bytes.slice(16, 32), dataBlocks: Number(dataBlocks), salt: bytes.slice(88, 88 + saltLength) } };
}
