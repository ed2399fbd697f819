/** The boot record as a file on the data filesystem. Loaded only where the control file says so. */
import type { BlockDevice } from "../../boot/devices/block-device.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import { type Kernel, KernelError } from "../kernel/kernel.ts";
import { detachDataFilesystem, mountDataFilesystem } from "../state/data-filesystem.ts";
import type { RecordDevice } from "../store/record-device.ts";
import { openRecordFile } from "../store/record-file.ts";
import { closeData, DATA_PLACE, openDataIfPossible } from "./data.ts";
import type { Launch } from "./launch.ts";
import type { OpenData } from "./open-data.ts";

/**
 * Mounts the data filesystem for as long as it takes to open the record there, which keeps it in use from then on: what mounts it
 * for a slot or for state gets the same. Null where there is none, or it cannot be used, with a warning.
 */
export async function openRecordOnData(boot: Launch, device: BlockDevice): Promise<RecordDevice | null> {
  const request = { knownData: null, findDevice: async () => device, opened: null, checked: null };
  const { data, missing } = await openDataIfPossible(boot, request);
  if (data === null) {
    boot.warnOnce(`the boot record is a file there: ${missing}`);
    return null;
  }
  try {
    const record = openRecordFile(boot.kernel, data.root, "write");
    boot.recordOnData = new RecordOnData(boot.kernel, record, data.facts);
    return record;
  } catch (error) {
    if (!(error instanceof KernelError || error instanceof Refusal)) throw error;
    boot.warn(`boot record: ${error.message}`);
    return null;
  } finally {
    closeData(boot.kernel, data);
  }
}

/** Nothing can be repaired in a filesystem of which a file is open. */
class RecordOnData {
  readonly #kernel: Kernel;
  readonly #record: RecordDevice;
  readonly #data: OpenData["facts"];

  constructor(kernel: Kernel, record: RecordDevice, data: OpenData["facts"]) {
    this.#kernel = kernel;
    this.#record = record;
    this.#data = data;
  }

  letGo(): void {
    this.#kernel.close(this.#record.fd);
    this.#record.readOnly = "the data filesystem that it lies on is being checked";
  }

  /** Where the filesystem is of no use any more the record is neither. Throws nothing of its own. */
  takeUp(): void {
    try {
      const { device, filesystem } = this.#data;
      const root = mountDataFilesystem(this.#kernel, device, filesystem, DATA_PLACE);
      try {
        Object.assign(this.#record, openRecordFile(this.#kernel, root, "write"));
      } finally {
        this.#kernel.close(root);
        detachDataFilesystem(this.#kernel, DATA_PLACE);
      }
    } catch (error) {
      if (!(error instanceof KernelError || error instanceof Refusal)) throw error;
      // No descriptor has this number: what is asked of it is refused.
      this.#record.fd = -1;
      this.#record.readOnly = `it lies on the data filesystem, which cannot be mounted: ${error.message}`;
    }
  }
}
