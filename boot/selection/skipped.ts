import type { JournalEntry } from "../record/journal.ts";
import { OPERATOR_ROLLBACK } from "../record/reason.ts";
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

/** What a boot knows of the attempts before it. */
export interface AttemptsBefore {
  /** The last attempt of each slot, those of this very boot too, as far as the boot knows. */
  last: ReadonlyMap<SlotName, number>;
  /** The boot journal as this boot found it. */
  journal: readonly JournalEntry[];
}

/**
 * The rollback that a boot of `slot` is: the best slot that was passed over for it, or the one that an operator left for it,
 * and why. Null where it is none.
 */
export function rollbackOf(
  record: BootRecord,
  slot: SlotName,
  skipped: readonly Skipped[],
  before: AttemptsBefore,
): BootReport["rollback"] {
  const left = skipped.find((entry) => entry.slot !== slot && slotOf(record, entry.slot).state !== "empty");
  if (!left) return operatorRollback(record, slot, before.journal);
  const { slot: from, reason } = left;
  const attempt = before.last.get(from) ?? null;
  const entry = before.journal.find((candidate) => candidate.attempt === attempt && candidate.slot === from);
  return { from, imageId: slotOf(record, from).imageId, reason, attempt, startedUnixMs: entry?.startedUnixMs ?? null };
}

/** A committed slot that an operator left can boot, so that nothing passes over it: the boot journal alone tells. */
function operatorRollback(record: BootRecord, slot: SlotName, journal: readonly JournalEntry[]): BootReport["rollback"] {
  const before = journal.find((entry) => entry.attempt === (record.attempt?.number ?? 0) - 1);
  if (before === undefined || before.slot === slot || before.reason?.startsWith(OPERATOR_ROLLBACK) !== true) return null;
  const { slot: from, imageId, reason, attempt, startedUnixMs } = before;
  return { from, imageId, reason, attempt, startedUnixMs };
}
