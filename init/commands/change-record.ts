/** A change of the boot record by a command, while nobody else changes it. */
import type { BootRecord } from "../../boot/record/record.ts";
import type { RecordReading } from "../../boot/record/store.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import type { Kernel } from "../kernel/kernel.ts";
import type { RecordAndJournal, RecordKeeper } from "../store/boot-record.ts";
import { withRecordLock } from "../store/record-lock.ts";
import { type Machine, type Places, readMachine } from "./machine.ts";
import { keepMerged, openRecord } from "./open-record.ts";

/** How long a command waits for another one that changes the boot record, milliseconds. */
export const LOCK_WAIT = 10_000;

/** The record, where it is valid. Throws Refusal otherwise. */
export function validRecord(reading: RecordReading, device: string | null): BootRecord {
  if (reading.record !== null) return reading.record;
  throw new Refusal(
    `the boot record on ${device} is ${reading.condition}${reading.reason === null ? "" : ` (${reading.reason})`}; reboot: PID 1 begins a new one, unless the disk itself fails`,
  );
}

/** What a change of the record is given. */
export interface Change {
  machine: Machine;
  store: RecordKeeper;
  record: BootRecord;
  journal: RecordAndJournal["journal"];
}

/**
 * Runs `change` with the record as it is on disk, while nobody else changes it. Throws Refusal when the machine was not
 * booted by slipway, the record is not valid, or somebody else keeps the lock for longer than `waitMs`.
 *
 * @param who what to call this command in somebody else's refusal: "slipway commit"
 */
export function changeRecord<Result>(
  kernel: Kernel,
  places: Places,
  who: string,
  change: (facts: Change) => Result,
  waitMs = LOCK_WAIT,
): Result {
  const machine = readMachine(kernel, places);
  return withRecordLock(kernel, places.lock, who, waitMs, () => {
    const store = openRecord(kernel, machine);
    try {
      const read = store.read();
      const record = validRecord(read.record, machine.report.record.device);
      keepMerged(kernel, places, machine, store, record);
      return change({ machine, store, record, journal: read.journal });
    } finally {
      store.close();
    }
  });
}

/** Writes the record. Throws Error where that fails: the former record still counts. */
export function writeRecord(store: RecordKeeper, record: BootRecord): void {
  const outcome = store.write(record);
  if (!outcome.written) throw new Error(`nothing was changed, since the boot record cannot be written: ${outcome.reason}`);
}
