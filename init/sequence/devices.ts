import type { BlockDevice } from "../../boot/devices/block-device.ts";
import { type DeviceReference, parseReference } from "../../boot/devices/reference.ts";
import { matches, type RecordCondition, type Resolution, resolveAll, resolveAnywhere } from "../../boot/devices/resolve.ts";
import { type FilesystemType, readSuperblock, SUPERBLOCK_BYTES } from "../../boot/devices/superblock.ts";
import { MODULES, readModuleIndex } from "../../boot/modules.ts";
import { deviceUnder, deviceUnderRecord } from "../../state-ops/slot-file.ts";
import { ModuleLoader } from "../devices/modules.ts";
import { needsOf, scanBlockDevices } from "../devices/scan.ts";
import { type WaitOptions, waitForDevices } from "../devices/wait.ts";
import { tendDisk } from "../disk/tend-disk.ts";
import { O } from "../kernel/constants.ts";
import { readTextIfThere, withOpen } from "../kernel/files.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { BootRecordStore } from "../store/boot-record.ts";
import { openRecordDevice } from "../store/record-device.ts";
import type { Launch } from "./launch.ts";

/** A device is missing, ambiguous or cannot be read. */
export class DeviceFailure extends Error {}

/** However long was waited before, seconds. */
export const SHORTEST_WAIT = 2;

/** The machine's devices during a boot. */
export class Devices {
  readonly #boot: Launch;
  /** The disk that labels are resolved on; from the first find on it does not change in a boot. */
  #disk: DeviceReference | null;
  /** Until when devices are waited for, milliseconds since kernel start; null until the first wait. */
  #until: number | null = null;

  constructor(boot: Launch) {
    this.#boot = boot;
    this.#disk = boot.control.disk === null ? null : parseReference(boot.control.disk);
  }

  /**
   * Loads the modules that are wanted at every boot, and those that the hardware asks for: all disks have to be there before
   * one of them is taken for ours.
   */
  loadModules(): void {
    const index = readTextIfThere(this.#boot.kernel, MODULES.index);
    if (index === null) return;
    const modules = new ModuleLoader(this.#boot.kernel, readModuleIndex(index), () => this.#boot.chores());
    this.#boot.modules = modules;
    modules.loadListed();
    modules.loadForHardware();
    for (const failure of modules.failures) this.#boot.warn(`module ${failure}`);
  }

  /** The partition of the boot record; null, with a warning, where there is none. Throws where more than one could be it. */
  async findRecord(): Promise<BlockDevice | null> {
    const { disk, record, scan } = await this.#wait(new Map(), { onMissing: (devices) => this.#repair(devices) });
    if ("found" in disk) this.#disk = { by: "path", value: disk.found.path };
    if ("found" in disk && "found" in record) {
      await tendDisk(this.#boot, disk.found, record.found, scan.devices);
      return record.found;
    }
    if ("found" in record) return record.found;
    if ("ambiguous" in record) throw new DeviceFailure(record.ambiguous);
    this.#boot.warn(record.missing);
    await this.#anchorOnSlots();
    return this.#layOutBlank();
  }

  /** Tables that the kernel does not see. True: it does now. */
  async #repair(devices: readonly BlockDevice[]): Promise<boolean> {
    const { repairTables } = await import("../disk/repair-tables.ts");
    return repairTables(this.#boot, devices).length > 0;
  }

  /** Where nothing of this machine is on any disk, and one has nothing on it at all: what it is made into has a boot record. */
  async #layOutBlank(): Promise<BlockDevice | null> {
    if (this.#boot.control.install === null) return null;
    const { installBlank } = await import("../disk/install-blank.ts");
    const laidOut = await installBlank(this.#boot);
    if (laidOut === null) return null;
    this.#disk = { by: "path", value: laidOut.path };
    const { disk, record, scan } = await this.#wait(new Map());
    if (!("found" in record && "found" in disk)) return null;
    await tendDisk(this.#boot, disk.found, record.found, scan.devices);
    return record.found;
  }

  /** Without a partition for the boot record, the disk is the one that the first slot to be found lies on. */
  async #anchorOnSlots(): Promise<void> {
    for (const slot of this.#boot.control.slots) {
      if (this.#disk !== null) return;
      const device = deviceUnder(slot, this.#boot.control.data);
      const { disk } = await this.#wait(new Map(), { anchor: parseReference(device), timeoutSeconds: 0 });
      if ("ambiguous" in disk) throw new DeviceFailure(disk.ambiguous);
      if ("found" in disk) this.#disk = { by: "path", value: disk.found.path };
    }
  }

  /** Name of the disk that labels are resolved on, as one of `devices`; null where none is known. */
  ownDisk(devices: readonly BlockDevice[]): string | null {
    const disk = this.#disk;
    const found = disk === null ? undefined : devices.find((device) => matches(device, disk));
    return found?.disk ?? found?.name ?? null;
  }

  /** The device that `reference` means, waited for. Throws {@link DeviceFailure}. */
  async find(what: string, reference: string): Promise<BlockDevice> {
    const { others } = await this.#wait(new Map([[what, parseReference(reference)]]));
    const resolution: Resolution = others.get(what) ?? { missing: "it was not looked for" };
    if ("found" in resolution) return resolution.found;
    throw new DeviceFailure("missing" in resolution ? resolution.missing : resolution.ambiguous);
  }

  /** What `reference` means among the devices that are there now, on our disk, else on any. Nothing is waited for. */
  look(reference: string): Resolution {
    const wanted = parseReference(reference);
    const { devices } = scanBlockDevices(this.#boot.kernel, needsOf([wanted, ...(this.#disk === null ? [] : [this.#disk])]));
    if (this.#disk !== null) {
      const { record: here } = resolveAll(devices, { disk: this.#disk, record: wanted, others: new Map() }, new Map());
      if (!("missing" in here)) return here;
    }
    return resolveAnywhere(devices, wanted);
  }

  /** One time for all devices of a boot, so that a machine with several missing ones does not wait for each in turn. */
  #secondsLeft(): number {
    const now = this.#boot.kernel.now().bootMs;
    this.#until ??= now + this.#boot.control.deviceTimeout * 1000;
    return Math.max(SHORTEST_WAIT, (this.#until - now) / 1000);
  }

  async #wait(
    others: Map<string, DeviceReference>,
    special: { anchor?: DeviceReference; timeoutSeconds?: number; onMissing?: WaitOptions["onMissing"] } = {},
  ) {
    const anchor = special.anchor ?? parseReference(deviceUnderRecord(this.#boot.control));
    const timeoutSeconds = special.timeoutSeconds ?? this.#secondsLeft();
    const { kernel } = this.#boot;
    const result = await waitForDevices(
      kernel,
      {
        disk: this.#disk,
        record: anchor,
        others,
      },
      {
        timeoutSeconds,
        readRecordCondition: (device) => this.#condition(device),
        modules: this.#boot.modules,
        onIdle: () => this.#boot.breathe(),
        ...(special.onMissing ? { onMissing: special.onMissing } : {}),
      },
    );
    for (const note of result.scan.notes) this.#boot.log.warning(note);
    return result;
  }

  /** Any disk may have a partition of that name, and a slot may be asked too: so it is opened for reading only. */
  #condition(device: BlockDevice): RecordCondition {
    const { bootRecord, data } = this.#boot.control;
    try {
      if (bootRecord.device === null) return filesystemOn(this.#boot.kernel, device) === data?.filesystem ? "valid" : "empty";
      const store = new BootRecordStore(this.#boot.kernel, openRecordDevice(this.#boot.kernel, device.path, "look"));
      try {
        return store.readRecord().condition;
      } finally {
        store.close();
      }
    } catch (error) {
      this.#boot.log.warning(`boot record on ${device.path}: ${error instanceof Error ? error.message : error}`);
      return "unreadable";
    }
  }
}

function filesystemOn(kernel: Kernel, { path }: BlockDevice): FilesystemType | null {
  const bytes = withOpen(kernel, path, O.RDONLY, (fd) => kernel.read(fd, SUPERBLOCK_BYTES, 0n));
  return readSuperblock(bytes)?.type ?? null;
}
