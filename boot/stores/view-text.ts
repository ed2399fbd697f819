/** What a store says of the slots, for people. */
import { isBad, orderOf } from "./startable.ts";
import type { LoaderSlot, StoreView } from "./view.ts";

/** "good", "2 tries left", "bad" */
export function loaderSlotText(slot: LoaderSlot): string {
  if (isBad(slot)) return "bad";
  const { tries, good } = slot;
  const left = tries === null ? "" : `${tries} ${tries === 1 ? "try" : "tries"} left`;
  if (good) return tries === null ? "good" : `good, ${left}`;
  return left === "" ? "on trial" : `on trial, ${left}`;
}

/** The slots in the loader's order, those that it never starts last: "b (on trial, 3 tries left), a (good)". */
export function viewText({ slots }: StoreView): string {
  const ordered = Object.entries(slots).sort(([, one], [, other]) => other.priority - one.priority);
  return ordered.map(([name, slot]) => `${name} (${loaderSlotText(slot)})`).join(", ");
}

/** What the store says otherwise than the boot record would have it, one sentence for each slot, and for the order. */
export function viewDifferences(seen: StoreView, wanted: StoreView): string[] {
  const names = [...new Set([...Object.keys(wanted.slots), ...Object.keys(seen.slots)])].sort();
  const differences = names.flatMap((name) => {
    const [said, own] = [seen.slots[name], wanted.slots[name]].map((slot) =>
      slot === undefined ? "nothing" : loaderSlotText(slot),
    );
    return said === own ? [] : [`slot ${name}: the store says ${said}, slipway ${own}`];
  });
  const [first, wantedFirst] = [orderOf(seen), orderOf(wanted)].map((order) => order.join(", "));
  return first === wantedFirst
    ? differences
    : [...differences, `the store's order is ${first || "none"}, slipway's ${wantedFirst || "none"}`];
}
