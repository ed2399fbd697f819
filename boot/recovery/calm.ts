import type { BootRecord, SlotName } from "../record/record.ts";
import { USED_UP } from "../selection/begin.ts";
import { whyRevoked } from "../selection/floors.ts";
import type { Policy } from "../selection/policy.ts";
import { slotOf } from "../selection/slots.ts";
import { recoveryOf } from "./known.ts";

/** How long the power has to hold before the slot gets its try, seconds. */
export const CALM = 60;

/** Fewer unclean ends in a row than these speak of the system, not of the power. */
const UNCLEAN_ENDS = 3;

/**
 * The slot that gets one more try as it is before a recovery begins; null where none does. Nothing but unclean ends is known
 * against the slot that was committed last, and power that comes and goes makes them too: no state is to be left for that. The
 * machine waits for {@link CALM} first, so that the power has to hold. Once between two good boots.
 *
 * @param failed slots that failed in this boot
 */
export function slotToCalm(record: BootRecord, policy: Policy, failed: ReadonlySet<SlotName>): SlotName | null {
  const { asked, tried, current } = recoveryOf(record);
  const last = record.lastCommitted;
  if (asked !== null || tried.length > 0 || current !== null || record.exhausted > 0 || last === null) return null;
  if (!policy.slots.includes(last.slot) || !Object.hasOwn(record.slots, last.slot) || failed.has(last.slot)) return null;
  const slot = slotOf(record, last.slot);
  const isItself = slot.state === "committed" && slot.imageId === last.imageId;
  const isSpent = slot.tries <= 0 && slot.reason === USED_UP && record.uncleanEnds >= UNCLEAN_ENDS;
  return isItself && isSpent && slot.damaged === null && whyRevoked(record, slot, policy.trust) === null ? last.slot : null;
}
