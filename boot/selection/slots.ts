import type { ControlTrust } from "../../state-ops/control.ts";
import { BadInput } from "../../state-ops/outcome.ts";
import type { BootRecord, SlotName, SlotRecord } from "../record/record.ts";
import { recoveryOver } from "../recovery/over.ts";
import { whyRevoked } from "./floors.ts";
import type { Policy } from "./policy.ts";

/** The record's slot. Throws BadInput when the record has none of that name. */
export function slotOf(record: BootRecord, name: SlotName): SlotRecord {
  const slot = Object.hasOwn(record.slots, name) ? record.slots[name] : undefined;
  if (slot) return slot;
  throw new BadInput(`no slot "${name}" in the boot record; it has ${Object.keys(record.slots).join(", ") || "none"}`);
}

/** The record with some of a slot's facts changed. */
export function withSlot(record: BootRecord, name: SlotName, change: Partial<SlotRecord>): BootRecord {
  return { ...record, slots: { ...record.slots, [name]: { ...slotOf(record, name), ...change } } };
}

/** Names of the slots, highest priority first. */
export function byPriority(record: BootRecord): SlotName[] {
  return Object.keys(record.slots).sort((left, right) => slotOf(record, right).priority - slotOf(record, left).priority);
}

/** The record with priorities as ranks n to 1 in the order of `names`, which holds every slot once. */
export function ranked(record: BootRecord, names: SlotName[]): BootRecord {
  const slots = names.map((name, index) => [name, { ...slotOf(record, name), priority: names.length - index }] as const);
  return { ...record, slots: Object.fromEntries(slots) };
}

/** The record with `name` before all others, which keep their order. */
export function raised(record: BootRecord, name: SlotName): BootRecord {
  return ranked(record, [name, ...byPriority(record).filter((other) => other !== name)]);
}

/** The record without the rollback index that it knows of a slot's image. */
export function withoutIndex(record: BootRecord, name: SlotName): BootRecord {
  const { rollbackIndex: _, ...rest } = slotOf(record, name);
  return { ...record, slots: { ...record.slots, [name]: rest } };
}

/**
 * The record with a slot's facts changed because it holds another image: what was known of the former one is forgotten, and a
 * recovery whose system that was is over.
 */
export function withNewImage(record: BootRecord, name: SlotName, change: Partial<SlotRecord>): BootRecord {
  const current = record.recovery?.current ?? null;
  const isOver = current !== null && current.slot === name && current.imageId !== change.imageId;
  const before = isOver ? recoveryOver(record) : record;
  return withSlot(withoutIndex(before, name), name, { credits: 0, damaged: null, reason: null, ...change });
}

/** Why a slot is no candidate whatever else is true; null for a candidate. */
export function notBootable(record: BootRecord, name: SlotName, trust: ControlTrust): string | null {
  const slot = slotOf(record, name);
  return whySpent(slot) ?? whyRevoked(record, slot, trust);
}

/** Why a slot has nothing left to try; null where it has. */
export function whySpent(slot: SlotRecord): string | null {
  if (slot.state === "empty") return "empty";
  if (slot.damaged !== null) return `damaged: ${slot.damaged}`;
  if (slot.tries <= 0) return slot.reason ?? "no tries left";
  return null;
}

/** Slots of the control file, other than `except`, that the next boot could choose; highest priority first. */
export function bootable(record: BootRecord, policy: Policy, except: SlotName): SlotName[] {
  return byPriority(record).filter(
    (name) => name !== except && policy.slots.includes(name) && notBootable(record, name, policy.trust) === null,
  );
}
