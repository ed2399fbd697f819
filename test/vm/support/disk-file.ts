/** What lies on a machine's disk, read on the host from its image file: nothing is mounted, nothing is written. */

import { type JournalEntry, readJournal } from "../../../boot/record/journal.ts";
import { RECORD_LAYOUT, type RecordReading, readRecord } from "../../../boot/record/store.ts";
import { readAt, startOf } from "../../../qemu/disk-partitions.ts";
import { runProgram } from "../../../qemu/program.ts";

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
