import type { BootRecord, SlotName } from "../../boot/record/record.ts";
import type { RecordReading } from "../../boot/record/store.ts";
import { type BootReport, RUN } from "../../boot/report.ts";
import type { Policy } from "../../boot/selection/policy.ts";
import { BadInput, Refusal } from "../../state-ops/outcome.ts";
import { exists, readText } from "../kernel/files.ts";
import { type Kernel, KernelError } from "../kernel/kernel.ts";
import type { RecordAndJournal, RecordKeeper } from "../store/boot-record.ts";
import { withRecordLock } from "../store/record-lock.ts";
import { keepMerged, openRecord } from "./open-record.ts";
import { type BootedControl, readBootedControl, readReport } from "./read-facts.ts";

/** Where the commands find things. Tests give others. */
export interface Places {
  report: string;
  control: string;
  uncommitted: string;
  recoveryReport: string;
  lock: string;
  installLock: string;
  systemctl: string;
  journalctl: string;
  watchdogs: string;
  /** Where UEFI's variables are mounted. */
  efivars: string;
  osRelease: string;
  machineId: string;
  /** The control file of the running image. */
  imageControl: string;
}

export const PLACES: Places = {
  report: RUN.report,
  control: RUN.control,
  uncommitted: RUN.uncommitted,
  recoveryReport: RUN.recoveryReport,
  lock: RUN.lock,
  installLock: RUN.installLock,
  systemctl: "systemctl",
  journalctl: "journalctl",
  watchdogs: "/sys/class/watchdog",
  efivars: "/sys/firmware/efi/efivars",
  osRelease: "/usr/lib/os-release",
  machineId: "/etc/machine-id",
  imageControl: "/usr/lib/slipway/control.json",
};

/** A machine that slipway booted: what PID 1 did, and what was declared. */
export interface Machine {
  report: BootReport;
  control: BootedControl;
  policy: Policy;
}

/** How long a command waits for another one that changes the boot record, milliseconds. */
export const LOCK_WAIT = 10_000;

function readRun<Value>(kernel: Kernel, path: string, read: (text: string) => Value): Value {
  let text: string;
  try {
    text = readText(kernel, path);
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    throw new Refusal(
      `this machine was not booted by slipway: ${path} cannot be read (${error.code}); run this as root on a machine that boots with an initrd of "slipway initrd build"`,
    );
  }
  try {
    return read(text);
  } catch (error) {
    throw new Refusal(
      `${path}: ${error instanceof Error ? error.message : error}; are initrd and image too far apart in version?`,
    );
  }
}

/** Throws Refusal on a machine that slipway did not boot. */
export function readBootReport(kernel: Kernel, places: Places): BootReport {
  return readRun(kernel, places.report, readReport);
}

/** Throws Refusal on a machine that slipway did not boot. */
export function readMachine(kernel: Kernel, places: Places): Machine {
  const report = readBootReport(kernel, places);
  const control = readRun(kernel, places.control, readBootedControl);
  return {
    report,
    control,
    policy: { slots: control.slots.map((slot) => slot.name), tries: control.tries, trust: control.trust },
  };
}

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

/** Whether the image of this boot still waits for its commit. */
export function isUncommitted(kernel: Kernel, places: Places): boolean {
  return exists(kernel, places.uncommitted);
}

/** Throws BadInput unless the control file has such a slot. */
export function requireSlot(machine: Machine, name: string): SlotName {
  if (machine.policy.slots.includes(name)) return name;
  throw new BadInput(`no slot "${name}"; this machine has ${machine.policy.slots.join(", ")}`);
}
