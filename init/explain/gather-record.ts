/** The boot record as PID 1 would read it: on its partition or in its file, with what a bootloader's store says merged into it. */
import type { BlockDevice } from "../../boot/devices/block-device.ts";
import { parseReference } from "../../boot/devices/reference.ts";
import { matching, type RecordCondition } from "../../boot/devices/resolve.ts";
import type { CommandLine } from "../../boot/kernel-command-line.ts";
import { readOnlyOptions } from "../../boot/slot-image.ts";
import type { ControlFile } from "../../state-ops/control.ts";
import { type Kernel, KernelError } from "../kernel/kernel.ts";
import { BootRecordStore, type RecordKeeper } from "../store/boot-record.ts";
import { StoreFailure } from "../store/loader-store/filesystem.ts";
import type { StoreDesk } from "../store/loader-store/loader-store.ts";
import { MirroredRecord, type Reached, rulesOfBoot } from "../store/loader-store/mirrored-record.ts";
import { openLoaderStore } from "../store/loader-store/open.ts";
import { openRecordDevice, type RecordDevice } from "../store/record-device.ts";
import { openRecordFile } from "../store/record-file.ts";
import type { RecordFacts } from "./facts.ts";
import type { ReadOnlyMounts } from "./read-only-mounts.ts";

export interface Looks {
  kernel: Kernel;
  control: ControlFile;
  devices: readonly BlockDevice[];
  mounts: ReadOnlyMounts;
  words: Pick<CommandLine, "slot">;
}

/** Which disk is ours a boot record tells, or the data filesystem that it is a file of. */
export function conditionOf(
  { bootRecord, data }: ControlFile,
  device: BlockDevice,
  facts: RecordFacts | undefined,
): RecordCondition {
  if (bootRecord.device !== null) return facts?.condition ?? "unreadable";
  return device.superblock?.type === data?.filesystem ? "valid" : "empty";
}

/** Reads both copies and the journal. Throws KernelError where that is forbidden. */
export function gatherRecord(looks: Looks, device: BlockDevice): RecordFacts {
  const unwritable = device.readOnly
    ? `${device.path} cannot be opened for writing (EACCES); is the disk write-protected?`
    : null;
  try {
    const store = withStore(looks, new BootRecordStore(looks.kernel, openToLook(looks, device)));
    try {
      const { record: reading, journal } = store.read();
      const { condition, record, sequence, nextCopy, reason } = reading;
      return { fault: null, unwritable, condition, sequence, nextCopy, reason, record, journal };
    } finally {
      store.close();
    }
  } catch (error) {
    if (error instanceof KernelError && (error.code === "EACCES" || error.code === "EPERM")) throw error;
    const fault = error instanceof Error ? error.message : String(error);
    const nothing = { sequence: 0, nextCopy: 0 as const, reason: null, record: null, journal: [] };
    return { fault, unwritable, condition: "unreadable", ...nothing };
  }
}

function openToLook({ kernel, control, mounts }: Looks, device: BlockDevice): RecordDevice {
  if (control.bootRecord.device !== null) return openRecordDevice(kernel, device.path, "look");
  const type = device.superblock?.type ?? control.data?.filesystem ?? "ext4";
  const look = mounts.look(device, type, readOnlyOptions(type) ?? "", (root) => openRecordFile(kernel, root, "look"));
  if (look.value !== null) return look.value;
  throw new StoreFailure(look.unknown ?? "the boot record's file cannot be opened");
}

function withStore({ kernel, control, devices, mounts, words }: Looks, own: RecordKeeper): RecordKeeper {
  if (control.bootRecord.store === "record") return own;
  const desk: StoreDesk = {
    kernel,
    loadForFilesystem: () => {},
    environmentLock: null,
    look: (device, type, use) => {
      const looked = devices.find(({ path }) => path === device) ?? { path: device };
      const look = mounts.look(looked, type, readOnlyOptions(type) ?? "", (root) => ({ result: use(root) }));
      if (look.value !== null) return look.value.result;
      throw new StoreFailure(`${device}: ${look.unknown}`);
    },
  };
  const nodeOf = (reference: string) => matching(devices, parseReference(reference))[0]?.path ?? reference;
  const store = openLoaderStore(desk, control, nodeOf);
  const reached: Reached = store === null ? { store, missing: "there is none" } : { store, missing: null };
  return new MirroredRecord(kernel, own, reached, rulesOfBoot(control, words.slot), () => {});
}
