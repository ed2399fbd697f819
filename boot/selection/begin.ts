import { cutReason } from "../record/reason.ts";
import type { Attempt, BootRecord, ImageId, Quarantine, SlotName, SlotRecord } from "../record/record.ts";
import { MOST_QUARANTINED } from "../record/shape.ts";
import { afterOneTry, isHeldAgainstNobody } from "../recovery/changes.ts";
import type { Policy } from "./policy.ts";
import { byPriority, ranked, slotOf, withSlot } from "./slots.ts";

/** How the attempt before this boot ended. */
export type PreviousAttempt = Pick<Attempt, "slot" | "imageId" | "trial" | "stage"> & {
  /** Its number. */
  attempt: number;
  ended: "clean" | "unclean";
};

/**
 * How the last try of the image that `slot` holds ended; `none` unless that was the very attempt before this one. A boot
 * of another slot in between means a trial that begins anew, or one whose own end nobody knows any more.
 */
export function endOfLastTry(previous: PreviousAttempt | null, slot: SlotName, imageId: ImageId): "clean" | "unclean" | "none" {
  return previous?.slot === slot && previous.imageId === imageId ? previous.ended : "none";
}

/** The reason of a committed slot of which nothing else is known. */
export const USED_UP = "tries used up without a good boot";

/** From this many unclean ends in a row on, PID 1 reads the slot against its tree before using it. */
const UNCLEAN_ENDS_BEFORE_CHECK = 5;

/**
 * Why PID 1 reads the slot under attempt whole before it uses it; null where it does not. A bad block that is read after the
 * handover restarts the machine, so that nothing else tells of it: neither where the slot is committed and boots for ever so, nor
 * before the last try of a trial, whose end would be held against the image.
 */
export function whyReadWhole(record: BootRecord, previous: PreviousAttempt | null): string | null {
  if (record.uncleanEnds >= UNCLEAN_ENDS_BEFORE_CHECK) {
    return `since the last ${UNCLEAN_ENDS_BEFORE_CHECK} boots or more ended uncleanly`;
  }
  const { attempt } = record;
  if (attempt === null || attempt.imageId === null || !attempt.trial) return null;
  const isLastTry = slotOf(record, attempt.slot).tries === 0;
  const before = previous?.stage === "handover" ? endOfLastTry(previous, attempt.slot, attempt.imageId) : "none";
  return isLastTry && before === "unclean" ? "since this is its last try, and the one before ended uncleanly" : null;
}

/** Whether the attempt still waits for the next boot to close it. */
function isOpen(attempt: Attempt): boolean {
  const ranASystem = attempt.stage === "handover" || attempt.stage === "good";
  return ranASystem || !attempt.cleanEnd;
}

/** Whether a boot with that nonce on its command line goes on with the attempt that the record tells of. */
export function isSecondStage({ attempt }: BootRecord, nonce: string | null): boolean {
  return attempt !== null && isOpen(attempt) && attempt.kexec?.nonce === nonce;
}

/** The attempt as one that nothing waits for: PID 1 ended it, or a boot after it has counted its end. */
export function closed(attempt: Attempt): Attempt {
  return { ...attempt, stage: "counted", cleanEnd: true };
}

function quarantine(record: BootRecord, entry: Quarantine): BootRecord {
  const others = record.quarantined.filter((known) => known.imageId !== entry.imageId);
  return { ...record, quarantined: [...others, entry].slice(-MOST_QUARANTINED) };
}

/**
 * The record with a reason where the last attempt used up its slot's tries. A trial that reached the handover has its
 * image quarantined: it proved itself and failed for another cause than device, space or state. One that ran with degraded
 * state, or with another state than its own, could not be committed, whatever the image is worth. Nor could one in a slot that the commit found damaged: that is what
 * is wrong with the slot, and another copy of the image may be sound.
 */
export function giveReason(record: BootRecord, last: string | null): BootRecord {
  const attempt = record.attempt;
  if (attempt === null || !Object.hasOwn(record.slots, attempt.slot)) return record;
  const slot = slotOf(record, attempt.slot);
  if (slot.damaged !== null) return record;
  const usedUp = slot.tries <= 0 && slot.reason === null && slot.imageId === attempt.imageId && attempt.stage !== "good";
  if (!usedUp) return record;
  const used = slot.state === "committed" ? USED_UP : "trial used up without a commit";
  const degraded = attempt.degraded === true && attempt.stage === "handover";
  const cause = last ?? (degraded ? "it ran with degraded state" : null);
  const reason = cutReason(cause === null ? used : `${used}; last: ${cause}`);
  const given = withSlot(record, attempt.slot, { reason });
  const isExcused = degraded || isHeldAgainstNobody(record, attempt.slot);
  if (slot.state !== "trial" || attempt.imageId === null || attempt.stage !== "handover" || isExcused) return given;
  return quarantine(given, { imageId: attempt.imageId, reason, attempt: attempt.number });
}

function newSlot(policy: Policy): SlotRecord {
  return {
    state: "trial",
    priority: 1,
    tries: policy.tries.trial,
    imageId: null,
    credits: 0,
    damaged: null,
    reason: null,
  };
}

/** Brings the record's slots in line with the control file's: unknown ones go, new ones come last, as trials. */
function alignSlots(record: BootRecord, policy: Policy): { record: BootRecord; notes: string[] } {
  const names = byPriority(record);
  const kept = names.filter((name) => policy.slots.includes(name));
  const gone = names.filter((name) => !policy.slots.includes(name));
  const added = policy.slots.filter((name) => !names.includes(name));
  const slots = Object.fromEntries([
    ...kept.map((name) => {
      const slot = slotOf(record, name);
      const most = slot.state === "committed" ? policy.tries.committed : policy.tries.trial;
      return [name, { ...slot, tries: Math.min(slot.tries, most) }] as const;
    }),
    ...added.map((name) => [name, newSlot(policy)] as const),
  ]);
  return {
    record: ranked({ ...record, slots }, [...kept, ...added]),
    notes: [
      ...gone.map((name) => `slot ${name} is not in the control file: dropped from the boot record`),
      ...added.map((name) => `slot ${name} is new in the control file: last in order, on trial`),
    ],
  };
}

/**
 * The record as a boot takes it up: the last attempt is closed (its end counted as unclean unless a clean shutdown was
 * seen), and the slots are those of the control file. `previous` is null when there was no attempt before, or PID 1
 * itself ended it, or this boot goes on with it.
 *
 * @param nonce what the command line says of the attempt that this is the second stage of
 */
export function beginBoot(
  record: BootRecord,
  policy: Policy,
  nonce: string | null = null,
): { record: BootRecord; previous: PreviousAttempt | null; notes: string[] } {
  const attempt = record.attempt;
  if (attempt === null || !isOpen(attempt) || isSecondStage(record, nonce)) {
    return { ...alignSlots(record, policy), previous: null };
  }
  const ended = attempt.cleanEnd ? "clean" : "unclean";
  const judged = afterOneTry(giveReason(record, null), attempt.slot);
  const { record: aligned, notes } = alignSlots(
    { ...judged, attempt: closed(attempt), uncleanEnds: record.uncleanEnds + (ended === "unclean" ? 1 : 0) },
    policy,
  );
  const { number, slot, imageId, trial, stage } = attempt;
  return { record: aligned, previous: { attempt: number, slot, imageId, trial, stage, ended }, notes };
}
