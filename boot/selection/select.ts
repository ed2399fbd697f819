import type { BootRecord, SlotName } from "../record/record.ts";
import type { Policy } from "./policy.ts";
import { byPriority, notBootable, slotOf } from "./slots.ts";

/** What selection needs to know beside the record. */
export interface SelectionFacts {
  /** From `slipway.slot=` or `rauc.slot=`: a wish for this boot. */
  preferred: SlotName | null;
  /** Slots that failed earlier in this boot, and why. */
  failed: ReadonlyMap<SlotName, string>;
  recordWritable: boolean;
}

export interface Selection {
  slot: SlotName | null;
  /** One sentence: why this slot, or why none. */
  why: string;
  /** Slots that rank before it (or all, without one) and why each is no candidate; highest priority first. */
  skipped: { slot: SlotName; reason: string }[];
  notes: string[];
}

function refusal(record: BootRecord, name: SlotName, facts: SelectionFacts, policy: Policy): string | null {
  const slot = slotOf(record, name);
  if (!policy.slots.includes(name)) return "not in the control file";
  const failure = facts.failed.get(name);
  if (failure !== undefined) return failure;
  if (!facts.recordWritable && slot.state !== "committed") return "not committed, and the boot record cannot be written";
  return notBootable(record, name, policy.trust);
}

/**
 * Without a record that can be written no slot can be re-armed, so used-up tries and former damage rank a committed
 * slot last instead of excluding it: a machine never gives up.
 */
function lastResort(record: BootRecord, facts: SelectionFacts, policy: Policy): SlotName | null {
  if (facts.recordWritable) return null;
  const committed = byPriority(record).filter(
    (name) => slotOf(record, name).state === "committed" && policy.slots.includes(name) && !facts.failed.has(name),
  );
  const last = record.lastCommitted?.slot;
  return committed.find((name) => name === last) ?? committed[0] ?? null;
}

/** What a slot is and has left, for a selection's `why`. */
export function standing(record: BootRecord, name: SlotName, policy: Policy): string {
  const { state, tries } = slotOf(record, name);
  const most = state === "committed" ? policy.tries.committed : policy.tries.trial;
  return `${state === "committed" ? "committed" : "on trial"}, ${tries} of ${most} tries left`;
}

/** Chooses the slot to boot: candidates have tries left, are not damaged and have not failed in this boot. */
export function selectSlot(record: BootRecord, facts: SelectionFacts, policy: Policy): Selection {
  const order = byPriority(record);
  const refusals = new Map(order.map((name) => [name, refusal(record, name, facts, policy)]));
  const candidates = order.filter((name) => refusals.get(name) === null);
  const notes: string[] = [];
  if (!facts.recordWritable) notes.push("the boot record cannot be written: no try is counted, only committed slots boot");
  const wished = facts.preferred;
  if (wished !== null && !candidates.includes(wished)) {
    notes.push(`slot "${wished}" was asked for and is passed over: ${refusals.get(wished) ?? "there is no such slot"}`);
  }
  const asked = wished !== null && candidates.includes(wished) ? wished : null;
  const best = asked ?? candidates[0] ?? null;
  const slot = best ?? lastResort(record, facts, policy);
  const before = slot === null ? order : order.slice(0, order.indexOf(slot));
  const skipped = before.flatMap((name) => {
    const reason = refusals.get(name) ?? null;
    return reason === null ? [] : [{ slot: name, reason }];
  });
  if (slot === null) return { slot, why: "no slot can boot", skipped, notes };
  const cause = asked !== null ? "asked for" : best !== null ? "first of the slots that can boot" : "last resort";
  return { slot, why: `${cause} (${standing(record, slot, policy)})`, skipped, notes };
}
