/** The boot record as the commands reach it: on its partition, with the bootloader's store beside it where there is one. */
import type { BootRecord } from "../../boot/record/record.ts";
import { storeId } from "../../boot/stores/base.ts";
import { traitsOf } from "../../boot/stores/traits.ts";
import { isMtd } from "../../state-ops/boot-record-rules.ts";
import type { ControlBootRecord, ControlFile } from "../../state-ops/control.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";
import { BootRecordStore, openBootRecord, type RecordKeeper } from "../store/boot-record.ts";
import type { LoaderStore, StoreDesk } from "../store/loader-store/loader-store.ts";
import { MirroredRecord, type Reached } from "../store/loader-store/mirrored-record.ts";
import { openLoaderStore } from "../store/loader-store/open.ts";
import { openRecordFile } from "../store/record-file.ts";
import { withSlotData } from "./data-access.ts";
import type { Machine, Places } from "./machine.ts";
import { deviceOnBootDisk } from "./slot-device.ts";

/** Throws Refusal where PID 1 found no boot record, or it cannot be opened now. */
export function openRecord(kernel: Kernel, machine: Machine): RecordKeeper {
  const own = openOwnRecord(kernel, machine);
  const { bootRecord } = machine.control;
  if (bootRecord === null) {
    own.close();
    throw new Refusal(
      "the initrd keeps its boot record in a store that this version of slipway does not know; run the slipway of an image of its version",
    );
  }
  if (bootRecord.store === "record") return own;
  const { policy, control } = machine;
  const rules = { policy, chooser: control.chooser, traits: traitsOf(bootRecord), store: storeId(bootRecord) };
  return new MirroredRecord(kernel, own, reachStore(kernel, machine, bootRecord), rules, (warning) =>
    console.error(`slipway: ${warning}`),
  );
}

/** The record alone, whatever a store beside it says. Throws as {@link openRecord}. */
export function openOwnRecord(kernel: Kernel, machine: Machine): BootRecordStore {
  const { device } = machine.report.record;
  if (device === null) {
    throw new Refusal(
      `no boot record was found at boot (${machine.report.warnings.join("; ") || "no reason given"}); see slipway status`,
    );
  }
  try {
    if (machine.control.bootRecord?.device !== null) return openBootRecord(kernel, device);
    const open = (data: Descriptor) => openRecordFile(kernel, data, "write");
    // The descriptor outlives the mount.
    return new BootRecordStore(kernel, withSlotData(kernel, machine, "the boot record", open));
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    const remedy = error.code === "EACCES" || error.code === "EPERM" ? "run this as root" : "is the disk still there?";
    throw new Refusal(`the boot record on ${device} cannot be opened (${error.code}); ${remedy}`);
  }
}

/** Where U-Boot's tools take their lock. */
const ENVIRONMENT_LOCK = "/var/lock/fw_printenv.lock";

/** The bootloader's store of this machine, or why it is out of reach. */
export function reachStore(
  kernel: Kernel,
  machine: Machine,
  bootRecord: ControlBootRecord,
  slots: ControlFile["slots"] = machine.control.slots,
): Reached {
  const desk: StoreDesk = { kernel, loadForFilesystem: () => {}, environmentLock: ENVIRONMENT_LOCK };
  const nodeOf = (reference: string) =>
    isMtd(reference) ? reference : deviceOnBootDisk(kernel, machine, "the bootloader's store", reference);
  let store: LoaderStore | null;
  try {
    store = openLoaderStore(desk, { bootRecord, slots, data: machine.control.data }, nodeOf);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return { store: null, missing: error.message };
  }
  return store === null ? { store, missing: "there is none" } : { store, missing: null };
}

/**
 * What others changed in the store is in the record from here on, whatever the command does with it. Where they called the running
 * image good, its trial is over.
 */
export function keepMerged(kernel: Kernel, places: Places, { report }: Machine, store: RecordKeeper, record: BootRecord): void {
  if (!(store instanceof MirroredRecord) || store.merged.length === 0) return;
  const outcome = store.write(record);
  if (!outcome.written) {
    console.error(`slipway: the boot record does not say what the bootloader's store says: ${outcome.reason}`);
    return;
  }
  const { attempt } = record;
  if (attempt?.number !== report.attempt || attempt.stage !== "good") return;
  store.updateJournal(report.attempt, { stage: "good", outcome: "good" });
  try {
    kernel.remove(places.uncommitted);
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
  }
}
