import type { SlotName } from "../record/names.ts";
import type { LoaderSlot, StoreView } from "./view.ts";

/** Whether the loader never starts the slot. */
export function isBad({ priority, good }: LoaderSlot): boolean {
  return priority === 0 || good === false;
}

/** Slots that the loader would start, first one first; what has no tries left keeps its place. */
export function startable({ slots }: StoreView): [SlotName, LoaderSlot][] {
  return Object.entries(slots)
    .filter(([, slot]) => !isBad(slot))
    .sort(([, one], [, other]) => other.priority - one.priority);
}

/** The names of those. */
export function orderOf(view: StoreView): SlotName[] {
  return startable(view).map(([name]) => name);
}
