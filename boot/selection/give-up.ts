import type { BootRecord, SlotName } from "../record/record.ts";
import { whyRevoked } from "./floors.ts";
import type { Policy } from "./policy.ts";
import { byPriority, slotOf, withoutIndex, withSlot } from "./slots.ts";

const SHORTEST_PAUSE = 5;
/** Where the control file says no other, seconds. */
export const LONGEST_PAUSE = 600;

/** Seconds that the machine pauses after `exhausted` pauses in a row, where nothing bounds them. */
export function pauseAfter(exhausted: number): number {
  return SHORTEST_PAUSE * 2 ** Math.min(exhausted, 20);
}

/** Last committed slot first, then the others by priority, those last that hold no known image, or one that was revoked. */
function rotation(record: BootRecord, policy: Policy): SlotName[] {
  const rank = (name: SlotName) => {
    if (slotOf(record, name).state === "empty") return 2;
    if (whyRevoked(record, slotOf(record, name), policy.trust) !== null) return 3;
    return record.lastCommitted?.slot === name ? 0 : 1;
  };
  return byPriority(record)
    .filter((name) => policy.slots.includes(name))
    .sort((left, right) => rank(left) - rank(right));
}

/**
 * The record when no slot is left and recovery cannot help: one slot gets a try, the last committed one first and the
 * others in turn when that is of no use either, even damaged or revoked ones (their proof runs again: somebody may have put
 * another image there). The caller waits
 * `pauseSeconds` (5 s, doubled each time in a row up to `longestPause`), writes the record and reboots.
 */
export function giveUp(
  record: BootRecord,
  policy: Policy,
  longestPause = LONGEST_PAUSE,
): { record: BootRecord; rearmed: SlotName | null; pauseSeconds: number } {
  const order = rotation(record, policy);
  const rearmed = order[record.exhausted % Math.max(1, order.length)] ?? null;
  const pauseSeconds = Math.min(longestPause, pauseAfter(record.exhausted));
  const counted = { ...record, exhausted: record.exhausted + 1 };
  if (rearmed === null) return { record: counted, rearmed, pauseSeconds };
  const slot = slotOf(record, rearmed);
  const change = {
    state: slot.state === "empty" ? ("trial" as const) : slot.state,
    tries: Math.max(1, slot.tries),
    damaged: null,
    reason: null,
  };
  const known = whyRevoked(record, slot, policy.trust) === null ? counted : withoutIndex(counted, rearmed);
  return { record: withSlot(known, rearmed, change), rearmed, pauseSeconds };
}
