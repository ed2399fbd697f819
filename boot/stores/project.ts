import type { BootRecord, SlotName } from "../record/record.ts";
import type { Policy } from "../selection/policy.ts";
import { byPriority, notBootable, slotOf } from "../selection/slots.ts";
import { isBad } from "./startable.ts";
import type { StoreTraits } from "./traits.ts";
import type { LoaderSlot, StoreView } from "./view.ts";

/** What a boot record is told to a bootloader with, and its answers are understood by. */
export interface LoaderRules {
  policy: Policy;
  /** Who counts. */
  chooser: "slipway" | "loader";
  traits: StoreTraits;
}

const BAD: LoaderSlot = { priority: 0, tries: 0, good: false };

/**
 * What the store is to say of the record's slots. `seen` is what it says now, null where it cannot be read: what the loader
 * counted is never undone, and a slot that is in use stays used until it is good or activated anew, so that nobody takes less
 * use for a word that it is good.
 *
 * A slot that has all its tries is as RAUC makes it: a committed one good, a trial just activated. One that has used some of them
 * has as many as are left, and one less than all at most: then `mark-good` of any tool changes something that can be seen.
 */
export function projectRecord(record: BootRecord, nonce: string | null, seen: StoreView | null, rules: LoaderRules): StoreView {
  const { policy, traits, chooser } = rules;
  const order = byPriority(record).filter((name) => policy.slots.includes(name));
  const slots: Record<SlotName, LoaderSlot> = {};
  for (const [index, name] of order.entries()) {
    const said = seen?.slots[name] ?? null;
    slots[name] = projectSlot(record, name, order.length - index, chooser === "loader" ? said : null, rules);
  }
  if (chooser === "loader") giveOneTry(record, order, slots, policy);
  return { slots, nonce: traits.hasNonce ? nonce : null };
}

function projectSlot(
  record: BootRecord,
  name: SlotName,
  priority: number,
  counted: LoaderSlot | null,
  { policy, traits }: LoaderRules,
): LoaderSlot {
  const { state, tries } = slotOf(record, name);
  if (notBootable(record, name, policy.trust) !== null && !isOnLastTry(record, name)) return BAD;
  const committed = state === "committed";
  const isFull = tries >= (committed ? policy.tries.committed : policy.tries.trial);
  const most = Math.min(committed ? traits.mostTries : policy.tries.trial, traits.mostTries);
  if (isFull) return { priority, tries: committed ? null : most, good: committed ? true : null };
  if (committed && !traits.countsGood) return { priority, tries: null, good: true };
  const left = committed ? most - 1 : Math.min(tries, most - 1);
  if (counted === null) return { priority, tries: left, good: null };
  // What was given up is armed again, if with fewer tries than before.
  if (isBad(counted)) return { priority, tries: tries === 0 ? 0 : Math.max(1, left), good: null };
  const limit = isUnderAttempt(record, name) ? left : Math.max(1, Math.min(committed ? most : tries, most));
  return { priority, tries: Math.min(limit, counted.tries ?? limit), good: null };
}

/** Whether the slot runs, or was run by the boot before this one. */
function isUnderAttempt({ attempt }: BootRecord, name: SlotName): boolean {
  return attempt !== null && attempt.slot === name && !attempt.cleanEnd && attempt.stage !== "good";
}

/** Its tries are used up, and whether the last one was good is still open. */
function isOnLastTry({ attempt, slots }: BootRecord, name: SlotName): boolean {
  const slot = slots[name];
  if (attempt === null || slot === undefined || attempt.slot !== name || attempt.cleanEnd) return false;
  return slot.state !== "empty" && slot.tries === 0 && slot.damaged === null && slot.reason === null;
}

/** The loader's count ends before the record's, where a good slot has more tries than the store has room for: it is to boot all the same. */
function giveOneTry(record: BootRecord, order: readonly SlotName[], slots: Record<SlotName, LoaderSlot>, policy: Policy): void {
  if (Object.values(slots).some(({ priority, tries }) => priority > 0 && tries !== 0)) return;
  const best = order.find((name) => notBootable(record, name, policy.trust) === null);
  const slot = best === undefined ? undefined : slots[best];
  if (slot !== undefined) slot.tries = 1;
}
