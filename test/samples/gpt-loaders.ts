/**
 * What bootloaders do with the attributes of a partition table's entries: vboot's GptNextKernelEntry and GptUpdateKernelEntry,
 * and GRUB's gptprio module.
 */
import type { BootBits } from "../../boot/stores/gpt-attributes.ts";

/** The entry that boots, by its index; null where none does. Both loaders choose alike. */
export function chosenEntry(entries: readonly BootBits[]): number | null {
  let best: number | null = null;
  for (const [index, { priority, tries, successful }] of entries.entries()) {
    const able = priority > 0 && (successful || tries > 0);
    if (able && priority > (best === null ? 0 : (entries[best]?.priority ?? 0))) best = index;
  }
  return best;
}

/** The entry that boots, once its loader has counted. */
export function countedEntry(bits: BootBits, dialect: "chromeos" | "gptprio"): BootBits {
  if (dialect === "gptprio") return { ...bits, tries: Math.max(0, bits.tries - 1) };
  if (bits.successful) return bits;
  return bits.tries > 1 ? { ...bits, tries: bits.tries - 1 } : { ...bits, tries: 0, priority: 0 };
}
