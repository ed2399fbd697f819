import type { BootRecord, SlotName } from "../record/record.ts";
import { byPriority, slotOf } from "../selection/slots.ts";
import { type MergeFacts, mergeStore } from "./merge.ts";
import { orderOf } from "./startable.ts";
import type { StoreView } from "./view.ts";

/** A boot record and what it knows of the store, as both are on the disk. */
export interface OnDisk {
  record: BootRecord;
  /** Null: nothing is known of what the store said before. */
  base: StoreView | null;
}

/**
 * Whether the store may be written before the record. A power cut between the two leaves the store's new view to be merged into
 * the old record: that must not take a slot for committed which nobody called good, as where one is only armed again. Then the
 * record goes first, with the view that the store is to have.
 *
 * @param view what the store will say
 */
export function isStoreFirst(onDisk: OnDisk | null, next: BootRecord, view: StoreView, facts: MergeFacts): boolean {
  if (onDisk === null || onDisk.base === null) return true;
  const { record } = mergeStore(onDisk.record, onDisk.base, view, facts);
  return byPriority(record).every((name) => {
    const isCommitted = (of: BootRecord) => Object.hasOwn(of.slots, name) && slotOf(of, name).state === "committed";
    return !isCommitted(record) || isCommitted(next) || isCommitted(onDisk.record);
  });
}

/** Whether two views say the same. */
export function sameView(one: StoreView, other: StoreView): boolean {
  const names = Object.keys(one.slots);
  if (one.nonce !== other.nonce || names.length !== Object.keys(other.slots).length) return false;
  return names.every((name) => {
    const [left, right] = [one.slots[name], other.slots[name]];
    return left?.priority === right?.priority && left?.tries === right?.tries && left?.good === right?.good;
  });
}

/** The slot that a loader starts first; null where it starts none. */
export function firstOf(view: StoreView): SlotName | null {
  return orderOf(view)[0] ?? null;
}
