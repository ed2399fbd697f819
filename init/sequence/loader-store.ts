/** A boot whose record is no partition alone: a file, or beside a bootloader's store. Loaded only where the control file says so. */
import type { BlockDevice } from "../../boot/devices/block-device.ts";
import type { CommandLine } from "../../boot/kernel-command-line.ts";
import { isMtd } from "../../state-ops/boot-record-rules.ts";
import { VFAT_NEEDS } from "../devices/vfat.ts";
import { exists, readBytes } from "../kernel/files.ts";
import { type Kernel, KernelError } from "../kernel/kernel.ts";
import type { StoreDesk } from "../store/loader-store/loader-store.ts";
import { rulesOfBoot } from "../store/loader-store/mirrored-record.ts";
import { devicesOfStore, openLoaderStore } from "../store/loader-store/open.ts";
import { BootMirror } from "./boot-mirror.ts";
import { Counters } from "./counters.ts";
import { DeviceFailure, type Devices } from "./devices.ts";
import type { Launch } from "./launch.ts";

/** Time between two looks for flash, which no uevent of a disk tells of, milliseconds. */
const RETRY = 100;

/** The counters of a boot, with the record wherever it is. `device`: its partition, or that of the data filesystem. */
export async function openRecordAndStore(boot: Launch, devices: Devices, device: BlockDevice | null): Promise<Counters> {
  const { bootRecord } = boot.control;
  const isFile = bootRecord.device === null && device !== null;
  const file = isFile ? await (await import("./record-file.ts")).openRecordOnData(boot, device) : undefined;
  const mirror = bootRecord.store === "record" ? null : await openMirror(boot, devices);
  return new Counters(boot, device, file, mirror);
}

/** Waits for the store's devices as for every other. One that is not there is no reason not to boot. */
async function openMirror(boot: Launch, devices: Devices): Promise<BootMirror> {
  const { control, kernel, words } = boot;
  const { bootRecord, chooser } = control;
  if (bootRecord.store === "tryboot" && chooser === "loader") words.slot ??= bootedPartition(kernel);
  const desk: StoreDesk = {
    kernel,
    loadForFilesystem: (type) => {
      boot.loadForFilesystem(type);
      if (type === "vfat") for (const name of VFAT_NEEDS) boot.modules?.loadNamed(name);
    },
    environmentLock: null,
  };
  const rules = rulesOfBoot(control, words.slot);
  try {
    const nodes = new Map<string, string>();
    for (const reference of devicesOfStore(control)) nodes.set(reference, await nodeOf(boot, devices, reference));
    const store = openLoaderStore(desk, control, (reference) => nodes.get(reference) ?? reference);
    return new BootMirror(boot, store === null ? { store, missing: "there is none" } : { store, missing: null }, rules);
  } catch (error) {
    if (!(error instanceof DeviceFailure)) throw error;
    return new BootMirror(boot, { store: null, missing: error.message }, rules);
  }
}

/** The partition that a Raspberry Pi's firmware booted from, which is a slot's bootname; null where it does not tell. */
function bootedPartition(kernel: Kernel): CommandLine["slot"] {
  try {
    // A number of the device tree: four bytes, the highest first.
    const bytes = readBytes(kernel, "/proc/device-tree/chosen/bootloader/partition");
    if (bytes.length !== 4) return null;
    const partition = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
    return { name: String(partition), from: "bootloader/partition" };
  } catch (error) {
    if (error instanceof KernelError) return null;
    throw error;
  }
}

async function nodeOf(boot: Launch, devices: Devices, reference: string): Promise<string> {
  if (!isMtd(reference)) {
    const elsewhere = devices.look(reference);
    // It may lie on another disk than the slots: then it was there before anybody waited.
    return "found" in elsewhere ? elsewhere.found.path : (await devices.find("the bootloader's store", reference)).path;
  }
  const { kernel } = boot;
  const until = kernel.now().bootMs + boot.control.deviceTimeout * 1000;
  while (!exists(kernel, reference)) {
    if (kernel.now().bootMs >= until) {
      throw new DeviceFailure(
        `${reference} did not appear in ${boot.control.deviceTimeout} s; is its driver (spi_nor, cfi_probe) in the initrd?`,
      );
    }
    await boot.pause(RETRY);
  }
  return reference;
}
