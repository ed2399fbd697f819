import type { Attempt, BootRecord, SlotRecord } from "../../boot/record/record.ts";
import { freshRecord } from "../../boot/record/store.ts";
import type { Policy } from "../../boot/selection/policy.ts";
import { slotOf } from "../../boot/selection/slots.ts";

export const policy: Policy = { slots: ["a", "b"], tries: { trial: 3, committed: 10 }, trust: { mode: "unsigned" } };
export const three: Policy = { ...policy, slots: ["a", "b", "c"] };

export const imageA = "a".repeat(64);
export const imageB = "b".repeat(64);
export const imageNew = "f".repeat(64);

/** A slot that runs as it should. */
export const committed: SlotRecord = {
  state: "committed",
  priority: 2,
  tries: 10,
  imageId: imageA,
  credits: 0,
  damaged: null,
  reason: null,
};
/** A slot that was activated and never booted. */
export const trial: SlotRecord = { ...committed, state: "trial", priority: 1, tries: 3, imageId: imageB };

export function attemptOf(slot: string, change: Partial<Attempt> = {}): Attempt {
  return {
    number: 7,
    slot,
    imageId: slot === "a" ? imageA : imageB,
    trial: slot !== "a",
    stage: "handover",
    cleanEnd: false,
    ...change,
  };
}

/** Slot a committed with priority 2, slot b on trial with 1; changed as asked. */
export function recordOf(
  slots: { a?: Partial<SlotRecord>; b?: Partial<SlotRecord>; c?: Partial<SlotRecord> } = {},
  change: Partial<BootRecord> = {},
): BootRecord {
  const third = slots.c ? { c: { ...trial, priority: 3, ...slots.c } } : {};
  return {
    ...freshRecord(policy),
    slots: { a: { ...committed, ...slots.a }, b: { ...trial, ...slots.b }, ...third },
    lastCommitted: { slot: "a", imageId: imageA },
    ...change,
  };
}

/** "a:3 b:10" in order of priority: tries of each slot. */
export function standing(record: BootRecord): string {
  return Object.keys(record.slots)
    .sort((left, right) => slotOf(record, right).priority - slotOf(record, left).priority)
    .map((name) => `${name}:${slotOf(record, name).tries}`)
    .join(" ");
}
