import type { ControlTrust } from "../../state-ops/control.ts";
import type { BootRecord, SlotName } from "../record/record.ts";
import { notBootable, slotOf } from "./slots.ts";

/**
 * Why the slot that was committed last does not boot: it failed in this boot (`failed`), or the record says so. Null where
 * nothing speaks against it, or it was given another image since.
 */
export function whyLeft(record: BootRecord, failed: ReadonlyMap<SlotName, string>, trust: ControlTrust): string | null {
  const last = record.lastCommitted;
  if (last === null) return null;
  if (!Object.hasOwn(record.slots, last.slot)) return "it is not in the control file any more";
  const slot = slotOf(record, last.slot);
  if (slot.state !== "committed" || slot.imageId !== last.imageId) return null;
  return failed.get(last.slot) ?? notBootable(record, last.slot, trust);
}
