/** What lies on a machine's disk, read on the host from its image file: nothing is mounted, nothing is written. */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { type GptPartition, readGpt } from "../../../boot/devices/gpt.ts";
import { type JournalEntry, readJournal } from "../../../boot/record/journal.ts";
import { RECORD_LAYOUT, type RecordReading, readRecord } from "../../../boot/record/store.ts";
import { runProgram } from "../../../qemu/program.ts";

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

/** Boot record and journal (newest first) on the disk's partition boot-record. */
export function recordOn(disk: string): { reading: RecordReading; journal: JournalEntry[] } {
  const start = startOf(disk, "boot-record");
  const { copyOffsets, areaSize, journalOffset, journalSize } = RECORD_LAYOUT;
  const [first, second] = copyOffsets.map((offset) => readAt(disk, start + offset, areaSize));
  if (!first || !second) throw new Error("a boot record has two copies");
  return { reading: readRecord([first, second]), journal: readJournal(readAt(disk, start + journalOffset, journalSize)) };
}

/** How e2fsprogs is told of the ext4 in the partition sys-data. */
function dataFilesystem(disk: string): string {
  return `${disk}?offset=${startOf(disk, "sys-data")}`;
}

/** The features of the data filesystem; "needs_recovery" is there where its journal must be replayed. */
export async function dataFeatures(disk: string): Promise<string[]> {
  const header = await runProgram("dumpe2fs", ["-h", dataFilesystem(disk)]);
  const features = /^Filesystem features: +(.*)$/m.exec(header)?.[1];
  if (features === undefined) throw new Error(`dumpe2fs names no features:\n${header}`);
  return features.split(" ");
}

/** Checks the data filesystem, without writing. Throws with what e2fsck found. */
export async function checkData(disk: string): Promise<void> {
  await runProgram("e2fsck", ["-f", "-n", dataFilesystem(disk)]);
}

/** Runs one command of debugfs on the data filesystem: "cat /slots/a/meta.json" or "ls -p /gens". Its journal is not replayed. */
export function inspectData(disk: string, command: string): Promise<string> {
  return runProgram("debugfs", ["-R", command, dataFilesystem(disk)]);
}
