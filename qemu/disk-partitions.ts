/** Partitions of a disk whose machine is switched off, in its image file: read and written on the host, without a mount. */
import { closeSync, fstatSync, openSync, readSync, writeSync } from "node:fs";
import { type GptPartition, readGpt } from "../boot/devices/gpt.ts";

const sectorSize = 512;

/** `length` bytes at `offset`, or what there is of them. */
export function readAt(file: string, offset: number, length: number): Uint8Array {
  const fd = openSync(file, "r");
  try {
    const bytes = new Uint8Array(length);
    return bytes.subarray(0, readSync(fd, bytes, 0, length, offset));
  } finally {
    closeSync(fd);
  }
}

function sizeOf(file: string): bigint {
  const fd = openSync(file, "r");
  try {
    return BigInt(fstatSync(fd).size);
  } finally {
    closeSync(fd);
  }
}

/** The partition `label` in the disk's GPT. Throws where there is none. */
export function partition(disk: string, label: string): GptPartition {
  const table = readGpt((offset, length) => readAt(disk, Number(offset), length), sizeOf(disk), sectorSize);
  if (typeof table === "string") throw new Error(`${disk} has no partition table: ${table}`);
  const found = table.partitions.find((candidate) => candidate.label === label);
  if (!found) throw new Error(`${disk} has no partition ${label}`);
  return found;
}

/** Bytes from the start of the disk to that of the partition `label`. */
export function startOf(disk: string, label: string): number {
  return Number(partition(disk, label).firstLba) * sectorSize;
}

/** Bytes of the partition `label`. */
export function lengthOf(disk: string, label: string): number {
  const { firstLba, lastLba } = partition(disk, label);
  return Number(lastLba - firstLba + 1n) * sectorSize;
}

/** Writes `bytes` into the partition `label`, `offset` bytes from its start. */
export function writeInto(disk: string, label: string, bytes: Uint8Array, offset = 0): void {
  const fd = openSync(disk, "r+");
  try {
    writeSync(fd, bytes, 0, bytes.length, startOf(disk, label) + offset);
  } finally {
    closeSync(fd);
  }
}

/** Random bytes over the whole partition `label`. */
export function fillWithGarbage(disk: string, label: string): void {
  const piece = 1024 * 1024;
  const length = lengthOf(disk, label);
  for (let at = 0; at < length; at += piece) {
    const bytes = new Uint8Array(Math.min(piece, length - at));
    // No more is given at once.
    for (let from = 0; from < bytes.length; from += 65536) crypto.getRandomValues(bytes.subarray(from, from + 65536));
    writeInto(disk, label, bytes, at);
  }
}
