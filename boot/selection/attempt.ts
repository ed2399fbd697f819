import { cutReason } from "../record/reason.ts";
import type { BootRecord, ImageId, SlotName } from "../record/record.ts";
import { closed, giveReason } from "./begin.ts";
import type { Policy } from "./policy.ts";
import { slotOf, withNewImage, withSlot } from "./slots.ts";

/**
 * The record with a new attempt on `slot` and one try less: to be made durable before anything of the slot is used.
 * The stage is `counted`.
 */
export function countTry(record: BootRecord, slot: SlotName): BootRecord {
  const { state, tries, imageId } = slotOf(record, slot);
  const counted = withSlot(record, slot, { tries: Math.max(0, tries - 1) });
  const number = (record.attempt?.number ?? 0) + 1;
  const trial = state !== "committed";
  return { ...counted, attempt: { number, slot, imageId, trial, stage: "counted", cleanEnd: false } };
}

function short(imageId: ImageId): string {
  return imageId.slice(0, 12);
}

/**
 * The record once the counted slot's image is known. Another image than the recorded one is on trial, whatever was
 * committed there: where the record cannot be written the caller leaves such a slot. The note says so.
 *
 * A trial whose image changes gets no further tries, so that an image that changes at every boot cannot hold the machine.
 */
export function identifyImage(
  record: BootRecord,
  slot: SlotName,
  imageId: ImageId,
  policy: Policy,
): { record: BootRecord; note: string | null } {
  const known = slotOf(record, slot);
  const attempt = record.attempt?.slot === slot ? { ...record.attempt, imageId } : record.attempt;
  if (known.imageId === imageId) return { record: { ...record, attempt }, note: null };
  if (known.imageId === null) {
    return { record: { ...withSlot(record, slot, { imageId }), attempt }, note: null };
  }
  const full = Math.max(0, policy.tries.trial - 1);
  const tries = known.state === "committed" ? full : Math.min(known.tries, full);
  const changed = withNewImage(record, slot, { state: "trial", tries, imageId });
  return {
    record: { ...changed, attempt: attempt?.slot === slot ? { ...attempt, trial: true } : attempt },
    note: `slot ${slot} holds image ${short(imageId)}, the boot record knew ${short(known.imageId)}: it is on trial`,
  };
}

/**
 * Why a slot did not get as far as the handover: its image's `proof`; something else about what it holds (`boot`), as that it is
 * too old or needs a newer initrd; or the `device` it lies on, or the kernel.
 */
export interface Failure {
  kind: "proof" | "boot" | "device";
  reason: string;
}

/** A slot has to be left, and of which kind the failure is. */
export class SlotFailure extends Error {
  override readonly name = "SlotFailure";
  constructor(
    readonly kind: Failure["kind"],
    reason: string,
  ) {
    super(reason);
  }
}

/**
 * The record after the attempt under way failed within PID 1, which goes on with the next slot: no unclean end. A failed
 * proof makes the slot damaged. Without an attempt under way the record stays as it is.
 */
export function failAttempt(record: BootRecord, failure: Failure): BootRecord {
  const attempt = record.attempt;
  if (attempt === null) return record;
  const reason = cutReason(failure.reason);
  const ended = { ...record, attempt: closed(attempt) };
  return failure.kind === "proof" ? withSlot(ended, attempt.slot, { damaged: reason }) : giveReason(ended, reason);
}

/** The record once the slot under attempt was read whole after many unclean ends, and is sound: the count begins anew. */
export function wholeSlotRead(record: BootRecord): BootRecord {
  return { ...record, uncleanEnds: 0 };
}

/** The record of the attempt that now hands over to the slot's system, which may have to do without some of its state. */
export function reachHandover(record: BootRecord, degraded = false): BootRecord {
  if (record.attempt === null) return record;
  return { ...record, attempt: { ...record.attempt, stage: "handover", ...(degraded ? { degraded } : {}) } };
}
