import type { BlockDevice } from "../../boot/devices/block-device.ts";
import { type DeviceReference, parseReference } from "../../boot/devices/reference.ts";
import { isSettled, type RecordCondition, type Resolution, resolveAll } from "../../boot/devices/resolve.ts";
import type { ControlFile } from "../../state-ops/control.ts";
import { deviceUnder, deviceUnderRecord } from "../../state-ops/slot-file.ts";
import { GRACE_MS } from "../devices/wait.ts";
import { SHORTEST_WAIT } from "../sequence/devices.ts";

/** What the search for disk and boot record comes to. */
export interface DiskFound {
  /** Path of the disk that labels are resolved on; null where none was found. */
  disk: string | null;
  /** One sentence: why this disk, or why none. */
  why: string;
  record: BlockDevice | null;
  /** Why the boot cannot go on: more than one disk could be ours. Null when it can. */
  ambiguous: string | null;
  /** Why there is no boot record; null where there is. */
  missing: string | null;
}

/** What PID 1 would find of the devices that are there, and how long it would wait for those that are not. */
export class Search {
  readonly #control: ControlFile;
  readonly #devices: readonly BlockDevice[];
  readonly #conditions: ReadonlyMap<string, RecordCondition>;
  #disk: DeviceReference | null;
  /** Seconds that are left of the one wait for all devices. */
  #left: number;
  /** Seconds that PID 1 would have waited. */
  waited = 0;

  /** `conditions` by name, for every device that the reference to the boot record names. */
  constructor(control: ControlFile, devices: readonly BlockDevice[], conditions: ReadonlyMap<string, RecordCondition>) {
    this.#control = control;
    this.#devices = devices;
    this.#conditions = conditions;
    this.#disk = control.disk === null ? null : parseReference(control.disk);
    this.#left = control.deviceTimeout;
  }

  /** As the sequence: the record's partition, else the disk that the first slot to be found lies on. */
  findRecord(): DiskFound {
    const { disk, record } = this.#wait(new Map());
    if ("found" in disk) this.#disk = { by: "path", value: disk.found.path };
    const found = "found" in disk ? disk.found : null;
    if ("found" in record) {
      const why = this.#why(record.found);
      return { disk: found?.path ?? null, why, record: record.found, ambiguous: null, missing: null };
    }
    if ("ambiguous" in record) {
      return { disk: null, why: record.ambiguous, record: null, ambiguous: record.ambiguous, missing: null };
    }
    const { missing } = record;
    if (this.#disk !== null) return { disk: found?.path ?? null, why: missing, record: null, ambiguous: null, missing };
    return this.#anchorOnSlots(missing);
  }

  #why(record: BlockDevice): string {
    if (this.#control.disk !== null) return `the control file says disk: ${this.#control.disk}`;
    const condition = this.#conditions.get(record.name);
    if (condition === "valid") return `it holds a valid boot record, on ${record.path}`;
    return `it alone has a partition for the boot record, ${record.path}`;
  }

  #anchorOnSlots(missing: string): DiskFound {
    for (const slot of this.#control.slots) {
      const device = deviceUnder(slot, this.#control.data);
      const { disk } = this.#resolve(new Map(), parseReference(device), 0);
      if ("ambiguous" in disk) {
        return { disk: null, why: disk.ambiguous, record: null, ambiguous: disk.ambiguous, missing };
      }
      if ("missing" in disk) continue;
      this.#disk = { by: "path", value: disk.found.path };
      const why = `slot ${slot.name} lies on it; a boot record was not found`;
      return { disk: disk.found.path, why, record: null, ambiguous: null, missing };
    }
    return { disk: null, why: missing, record: null, ambiguous: null, missing };
  }

  /** The device that `reference` means. */
  find(what: string, reference: string): Resolution {
    const { others } = this.#wait(new Map([[what, parseReference(reference)]]));
    return others.get(what) ?? { missing: "it was not looked for" };
  }

  #resolve(others: Map<string, DeviceReference>, anchor: DeviceReference, waitedSeconds: number | null) {
    return resolveAll(this.#devices, { disk: this.#disk, record: anchor, others }, this.#conditions, waitedSeconds);
  }

  /** What is not there at once would be waited for, and never come. */
  #wait(others: Map<string, DeviceReference>) {
    const anchor = parseReference(deviceUnderRecord(this.#control));
    const atOnce = this.#resolve(others, anchor, null);
    if (isSettled(atOnce)) {
      const certain = this.#disk !== null || [...this.#conditions.values()].includes("valid");
      this.#pass(certain ? 0 : GRACE_MS / 1000);
      return atOnce;
    }
    const seconds = Math.max(SHORTEST_WAIT, this.#left);
    this.#pass(seconds);
    return this.#resolve(others, anchor, Math.round(seconds));
  }

  #pass(seconds: number): void {
    this.waited += seconds;
    this.#left = Math.max(0, this.#left - seconds);
  }
}
