import type { ControlFile, SlotDefinition } from "./control.ts";
import { LAYOUT } from "./layout.ts";

/** The smallest file that a slot may be, bytes. */
export const LEAST_SLOT_FILE = 1024 * 1024;

/** A slot's file has whole blocks, as the hash tree counts them. */
const BLOCK = 4096;

/** What is wrong with the place of a slot that is a file; null where nothing is. */
export function slotFileFault(path: string): string | null {
  const name = path.startsWith(`${LAYOUT.images}/`) ? path.slice(LAYOUT.images.length + 1) : "";
  if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name)) return null;
  return `${JSON.stringify(path)} is no place for a slot; write ${LAYOUT.images}/ and a name of up to 64 letters, digits, . _ and -, which lies at the root of the data filesystem`;
}

/** What is wrong with the size of a slot that is a file; null where nothing is. */
export function slotSizeFault(bytes: number): string | null {
  if (bytes < LEAST_SLOT_FILE) return `a slot of ${bytes} bytes holds no image; give it 1M at least`;
  if (!Number.isSafeInteger(bytes)) return "a slot of so many bytes cannot be counted; give it less";
  return bytes % BLOCK === 0 ? null : `${bytes} bytes are no whole blocks of ${BLOCK}; round the size up`;
}

/** The name below images/. */
export function slotFileName(file: string): string {
  return file.slice(LAYOUT.images.length + 1);
}

/** Reference to the device that the boot record lies on: its own, or that of the data filesystem, which is there for its file. */
export function deviceUnderRecord({
  bootRecord,
  data,
}: Pick<ControlFile, "bootRecord"> & { data: Pick<NonNullable<ControlFile["data"]>, "device"> | null }): string {
  return bootRecord.device ?? data?.device ?? "";
}

/** What the bootloader calls the slot. */
export function bootnameOf(slot: SlotDefinition): string {
  return slot.bootname ?? slot.name;
}

/** Reference to the device that the slot lies on: its own, or that of the data filesystem, which is there for every file. */
export function deviceUnder(slot: SlotDefinition, data: ControlFile["data"]): string {
  return "device" in slot ? slot.device : (data?.device ?? "");
}
