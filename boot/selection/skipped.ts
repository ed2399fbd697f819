import type { BootRecord, SlotName } from "../record/record.ts";
import type { BootReport } from "../report.ts";
import { slotOf } from "./slots.ts";

/** A slot that a boot passed over. */
export interface Skipped {
  slot: SlotName;
  reason: string;
}

/** `first`, then what `second` says of further slots. */
export function joinSkipped(first: readonly Skipped[], second: readonly Skipped[]): Skipped[] {
  const told = new Set(first.map(({ slot }) => slot));
  return [...first, ...second.filter(({ slot }) => !told.has(slot))];
}

/**
 * The rollback that a boot of `slot` is: the best slot that was left for it, and why. Null where it is none.
 *
 * @param lastAttempts the last attempt of each slot, as far as the boot knows
 */
export function rollbackOf(
  record: BootRecord,
  slot: SlotName,
  skipped: readonly Skipped[],
  lastAttempts: ReadonlyMap<SlotName, number>,
): BootReport["rollback"] {
  const left = skipped.find((entry) => entry.slot !== slot && slotOf(record, entry.slot).state !== "empty");
  if (!left) return null;
  const { slot: from, reason } = left;
  return { from, imageId: slotOf(record, from).imageId, reason, attempt: lastAttempts.get(from) ?? null };
}
