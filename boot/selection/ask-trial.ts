/**
 * A firmware that starts a trial only when the restart asks for it, and forgets that with the power (Raspberry Pi's tryboot): the
 * boot of another slot asks again. What never comes up is asked for as often as a trial has tries.
 */
import { cutReason } from "../record/reason.ts";
import type { BootRecord, SlotName } from "../record/record.ts";
import type { Policy } from "./policy.ts";
import { selectSlot } from "./select.ts";
import { slotOf, withSlot } from "./slots.ts";

/** The record after that decision, to be made durable; `slot` is to be asked for by a restart. Null: it was given up. */
export interface AskedTrial {
  record: BootRecord;
  slot: SlotName | null;
}

/**
 * What becomes of a trial that waits while the firmware started `named`; null where none waits. A trial whose own boot this is
 * came up.
 */
export function askTrial(record: BootRecord, named: SlotName | null, policy: Policy): AskedTrial | null {
  const { slot } = selectSlot(record, { preferred: null, failed: new Map(), recordWritable: true }, policy);
  if (named === null || slot === null || slot === named || slotOf(record, slot).state !== "trial") return null;
  const { trialsAsked = 0, ...rest } = record;
  if (trialsAsked < policy.tries.trial) return { record: { ...rest, trialsAsked: trialsAsked + 1 }, slot };
  const reason = cutReason(`the firmware was asked for its trial ${trialsAsked} times, and it did not come up`);
  return { record: withSlot(rest, slot, { tries: 0, reason }), slot: null };
}

/** The record once a boot has nothing to ask for. */
export function trialCame(record: BootRecord): BootRecord {
  const { trialsAsked: _, ...rest } = record;
  return rest;
}
