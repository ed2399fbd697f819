/** Which bytes say that a disk has nothing on it, and the mark of one that is being laid out. */

import type { LayoutPartition } from "../../state-ops/recovery.ts";
import { sha256Bytes } from "../../state-ops/sha256.ts";
import { isZero } from "../record/frame.ts";
import { printGuid } from "./gpt.ts";
import { sectorsOf } from "./gpt-table.ts";

const MiB = 1024n * 1024n;

/** Read of each place between the first and the last MiB, bytes. */
const SAMPLE_BYTES = 65536;

/** Places spread over the disk: with those below about a second on a turning disk, and no filesystem in use has that many holes. */
const SAMPLES = 512n;

/** Where filesystems keep copies of their superblocks: ext4's second block group, btrfs's second and third. */
const COPIES = [128n * MiB, 64n * MiB, 256n * 1024n * MiB];

/**
 * Where the mark lies while a disk is laid out: behind the table, before the first partition. One sector, which a disk writes
 * whole or not at all.
 */
export const MARK_OFFSET = MiB - 4096n;
export const MARK_BYTES = 512;

const MAGIC = "slipway lays out this disk\n";
const SEED = 64;
const SUM = MARK_BYTES - 32;

/**
 * What is written before anything else: it says that nothing was on the disk, so that a layout which the power interrupted is
 * gone on with. All GUIDs come from `seed`, 16 random bytes.
 */
export function encodeMark(seed: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(MARK_BYTES);
  bytes.set(new TextEncoder().encode(MAGIC));
  bytes.set(seed.subarray(0, 16), SEED);
  bytes.set(sha256Bytes(bytes.subarray(0, SUM)), SUM);
  return bytes;
}

/** The seed of a mark; null where there is none. */
export function readMark(bytes: Uint8Array): Uint8Array | null {
  if (bytes.length < MARK_BYTES) return null;
  const seed = bytes.slice(SEED, SEED + 16);
  return Buffer.compare(bytes.subarray(0, MARK_BYTES), encodeMark(seed)) === 0 ? seed : null;
}

/** A GUID for each thing named, from the mark's seed: RFC 9562, version 8. */
export function guidFrom(seed: Uint8Array, what: string): string {
  const bytes = sha256Bytes("slipway blank disk\0", seed, what).slice(0, 16);
  // Version and variant stand in the third group, which is printed mixed-endian, and in the fourth.
  bytes[7] = ((bytes[7] ?? 0) & 0x0f) | 0x80;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  return printGuid(bytes);
}

/** A stretch of a disk, bytes. */
export interface Stretch {
  offset: bigint;
  length: number;
}

/**
 * What has to be zero on a disk with nothing on it: the first and the last MiB, places where filesystems have copies of their
 * superblocks, places spread over it, and the first and last bytes of what will be partitions; of the boot record's all.
 *
 * @param wholly labels of partitions that have to be zero from start to end
 */
export function stretchesToRead(sizeBytes: bigint, partitions: readonly LayoutPartition[], wholly: readonly string[]): Stretch[] {
  const stretches: Stretch[] = [
    { offset: 0n, length: Number(MiB) },
    { offset: sizeBytes - MiB, length: Number(MiB) },
  ];
  const sample = (offset: bigint): void => {
    if (offset >= 0n && offset + BigInt(SAMPLE_BYTES) <= sizeBytes) stretches.push({ offset, length: SAMPLE_BYTES });
  };
  for (const offset of COPIES) sample(offset);
  for (let index = 0n; index < SAMPLES; index++) sample((((sizeBytes / SAMPLES) * index) / MiB) * MiB);
  let at = MiB;
  for (const { label, size } of partitions) {
    const length = size === null ? 0n : BigInt(size);
    if (wholly.includes(label))
      for (let piece = 0n; piece < length; piece += MiB) stretches.push({ offset: at + piece, length: Number(MiB) });
    sample(at);
    sample(at + length - BigInt(SAMPLE_BYTES));
    at += length;
  }
  const unique = new Map(stretches.map((stretch) => [`${stretch.offset}+${stretch.length}`, stretch]));
  return [...unique.values()].sort((left, right) => (left.offset < right.offset ? -1 : 1));
}

/** What a layout that was begun may have written already: both copies of the table, and the mark. */
export function writtenByLayout(sizeBytes: bigint, sectorSize: number): Stretch[] {
  const entries = Number(sectorsOf(16384, sectorSize)) * sectorSize;
  const behind = entries + sectorSize;
  return [
    { offset: 0n, length: sectorSize + behind },
    { offset: MARK_OFFSET, length: MARK_BYTES },
    { offset: sizeBytes - BigInt(behind), length: behind },
  ];
}

/** The first byte of `bytes`, read at `offset`, that is not zero, as "0x53 at byte 1080"; null: all are, but for `except`. */
export function firstNonZero(bytes: Uint8Array, offset: bigint, except: readonly Stretch[]): string | null {
  let seen = bytes;
  for (const { offset: from, length } of except) {
    const start = Number(from - offset);
    if (start + length <= 0 || start >= bytes.length) continue;
    if (seen === bytes) seen = bytes.slice();
    seen.fill(0, Math.max(0, start), Math.min(bytes.length, start + length));
  }
  if (isZero(seen)) return null;
  const at = seen.findIndex((byte) => byte !== 0);
  return `0x${(seen[at] ?? 0).toString(16).padStart(2, "0")} at byte ${offset + BigInt(at)}`;
}
