import type { BlockDevice } from "../../boot/devices/block-device.ts";
import { restoreBackup } from "../../boot/devices/gpt-plans.ts";
import type { GptPair } from "../../boot/devices/gpt-table.ts";
import type { RecordReading } from "../../boot/record/store.ts";
import type { Launch } from "../sequence/launch.ts";
import { BootRecordStore } from "../store/boot-record.ts";
import { openRecordDevice } from "../store/record-device.ts";
import { readTable, writeTable } from "./disk-table.ts";

/**
 * Looks after the machine's own disk, before anything on it is in use: restores the backup of its table where that is damaged, and
 * grows or makes the data partition where the control file asks for it. The kernel has just read both copies of the table, so that
 * an ordinary boot finds them in memory. Throws nothing of its own: whatever fails is a warning, and the machine boots.
 */
export async function tendDisk(
  boot: Launch,
  disk: BlockDevice,
  record: BlockDevice,
  devices: readonly BlockDevice[],
): Promise<void> {
  if (disk.readOnly) return;
  try {
    const pair = readTable(boot.kernel, disk);
    // Tables of other kinds are nobody's business here, and a table that knows another size is not corrected unasked.
    if (typeof pair.primary !== "string" && pair.primary.otherLba === pair.lastLba) restore(boot, disk, pair);
    const { data, install } = boot.control;
    if (data === null || !(data.grow || data.create || install !== null)) return;
    const { prepareData } = await import("./prepare-data.ts");
    await prepareData(boot, { disk, pair, devices, record: readRecord(boot, record) });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    boot.warn(`the table of ${disk.path} is left as it is: ${why}`);
  }
}

function restore(boot: Launch, disk: BlockDevice, pair: GptPair): void {
  const restored = restoreBackup(pair);
  if (restored === null) return;
  const what =
    typeof pair.backup === "string" ? `its backup copy was damaged (${pair.backup})` : "its backup copy was another one";
  if (typeof restored === "string") {
    boot.warn(`the partition table of ${disk.path}: ${what}, and is not restored: ${restored}`);
    return;
  }
  writeTable(boot.kernel, disk, restored);
  boot.note(`the partition table of ${disk.path} is restored: ${what}`);
}

/** As it is before this boot writes to it. A file on the data filesystem knows of state only where that is there. */
function readRecord({ kernel, control }: Launch, device: BlockDevice): RecordReading {
  if (control.bootRecord.device === null) return { condition: "empty", record: null, sequence: 0, nextCopy: 0, reason: null };
  const store = new BootRecordStore(kernel, openRecordDevice(kernel, device.path, "look"));
  try {
    return store.read().record;
  } finally {
    store.close();
  }
}
