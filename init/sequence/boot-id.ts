import { isBootId, type JournalEntry } from "../../boot/record/journal.ts";
import { readTextIfThere } from "../kernel/files.ts";
import type { Kernel } from "../kernel/kernel.ts";

/** The kernel's id of this boot as the boot journal holds it; nothing where it does not tell. */
export function readBootId(kernel: Kernel): Pick<JournalEntry, "bootId"> {
  const bootId = readTextIfThere(kernel, "/proc/sys/kernel/random/boot_id")?.trim().replaceAll("-", "") ?? "";
  return isBootId(bootId) ? { bootId } : {};
}
