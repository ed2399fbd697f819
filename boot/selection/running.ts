import { Refusal } from "../../state-ops/outcome.ts";
import { cutReason } from "../record/reason.ts";
import type { BootRecord, ImageId, LastCommitted, SlotName } from "../record/record.ts";
import { recoveryOver } from "../recovery/over.ts";
import { type CommittedSeal, raisedFloors } from "./floors.ts";
import type { Policy } from "./policy.ts";
import { bootable, byPriority, notBootable, raised, slotOf, whySpent, withNewImage, withSlot } from "./slots.ts";

/** Tries that clean shutdowns give back between two good boots. */
const MOST_CREDITS = 3;

/**
 * The record after a good boot of `slot` (which holds `imageId`): ends a trial, or re-arms a committed slot. `unixMs` is
 * the wall clock, `seal` what the image's seal says, null where none was trusted. Unclean ends stay counted.
 */
export function commitSlot(
  record: BootRecord,
  slot: SlotName,
  imageId: ImageId,
  policy: Policy,
  unixMs: number,
  seal: CommittedSeal | null = null,
): BootRecord {
  const endsTrial = slotOf(record, slot).state !== "committed";
  const armed = withNewImage(recoveryOver(record), slot, {
    state: "committed",
    tries: policy.tries.committed,
    imageId,
    ...(seal === null ? {} : { rollbackIndex: seal.rollbackIndex }),
  });
  const attempt = record.attempt;
  return {
    ...(endsTrial ? raised(armed, slot) : armed),
    attempt: attempt?.slot === slot ? { ...attempt, imageId, stage: "good" } : attempt,
    lastCommitted: { slot, imageId, ...goodAttempt(record, slot) },
    exhausted: 0,
    quarantined: record.quarantined.filter((entry) => entry.imageId !== imageId),
    lastKnownUnixMs: unixMs,
    ...raisedFloors(record, seal),
  };
}

/** A machine that never had a recovery has no state that was only tried by one, and an older version can read its record. */
function goodAttempt({ attempt, lastCommitted, recovery }: BootRecord, slot: SlotName): Pick<LastCommitted, "attempt"> {
  if (recovery === undefined && lastCommitted?.attempt === undefined) return {};
  return attempt?.slot === slot ? { attempt: attempt.number } : {};
}

/** Whether the attempt under way runs in safe mode, as the record says. */
export function isSafeMode({ attempt, recovery }: BootRecord): boolean {
  const current = recovery?.current ?? null;
  return (
    current !== null && current.rung === "safe-mode" && current.slot === attempt?.slot && current.imageId === attempt.imageId
  );
}

/**
 * The record at an orderly shutdown of the attempt under way. With `credit` a committed slot gets its try back, at most
 * three times between good boots and never above its maximum; a trial never. Out of safe mode any slot that has no try left gets
 * one: who shut it down has looked at it. Doing it twice gives nothing more.
 */
export function endCleanly(record: BootRecord, policy: Policy, end: { credit: boolean; unixMs: number }): BootRecord {
  const attempt = record.attempt;
  const ended = { ...record, uncleanEnds: 0, lastKnownUnixMs: end.unixMs };
  if (attempt === null || attempt.cleanEnd) return ended;
  const closed = { ...ended, attempt: { ...attempt, cleanEnd: true } };
  const { state, tries, credits, reason } = slotOf(record, attempt.slot);
  if (end.credit && isSafeMode(record) && tries === 0 && reason === null)
    return withSlot(closed, attempt.slot, { tries: 1, reason: null });
  const room = tries < policy.tries.committed && credits < MOST_CREDITS;
  // A slot with a reason was marked bad while it ran: it stays so.
  const gives = end.credit && state === "committed" && reason === null && room;
  return gives ? withSlot(closed, attempt.slot, { tries: tries + 1, credits: credits + 1 }) : closed;
}

/** The record with `slot` given up for `reason`. Throws Refusal where no other slot could boot. */
export function markBad(record: BootRecord, slot: SlotName, reason: string, policy: Policy): BootRecord {
  if (notBootable(record, slot, policy.trust) === null && bootable(record, policy, slot).length === 0) {
    throw new Refusal(
      `slot ${slot} is the only one that can boot (${others(record, slot, policy)}); install or activate another first`,
    );
  }
  return withSlot(record, slot, { tries: 0, credits: 0, reason: cutReason(reason) });
}

/**
 * The record in which `slot`, which does not run, has all its tries again, as a trial unless it was committed; its rank stays.
 * Throws Refusal for an empty and for a damaged one.
 */
export function rearm(record: BootRecord, slot: SlotName, policy: Policy): BootRecord {
  const { state, damaged } = slotOf(record, slot);
  if (state === "empty") throw new Refusal(`slot ${slot} is empty; install an image there`);
  if (damaged !== null) throw new Refusal(`slot ${slot} is damaged (${damaged}); run "slipway repair ${slot}"`);
  return withSlot(record, slot, { tries: policy.tries[state], credits: 0, reason: null });
}

/** A slot before `running` whose image waits for its trial: the next boot would choose it. */
export function pendingTrial(record: BootRecord, running: SlotName): SlotName | null {
  const order = byPriority(record);
  const before = order.slice(0, order.indexOf(running));
  return before.find((name) => slotOf(record, name).state === "trial" && whySpent(slotOf(record, name)) === null) ?? null;
}

/** Promise P2. Throws Refusal where `slot` must not get another image now. */
export function refuseNewImage(record: BootRecord, slot: SlotName, running: SlotName): void {
  slotOf(record, slot);
  if (slot === running) throw new Refusal(`slot ${slot} is the running one and is never written; use another slot`);
  if (slotOf(record, running).state !== "committed") {
    if (isSafeMode(record)) {
      throw new Refusal(
        `the running slot ${running} is on trial, and in safe mode it cannot be committed; "slipway recover reinstall" has the next boot install an image`,
      );
    }
    throw new Refusal(`the running slot ${running} is on trial, slot ${slot} is its fallback; run "slipway commit" first`);
  }
  const pending = pendingTrial(record, running);
  if (pending !== null && pending !== slot) {
    throw new Refusal(`slot ${pending} waits for its trial; reboot into it, or run "slipway mark-bad ${pending}" first`);
  }
}

/** The record before the image in `slot` is replaced: nothing boots from it until it is activated. Throws Refusal. */
export function withdraw(record: BootRecord, slot: SlotName, running: SlotName): BootRecord {
  refuseNewImage(record, slot, running);
  return withNewImage(record, slot, { state: "empty", tries: 0, imageId: null });
}

/**
 * The record in which the next boot chooses `slot`, which holds `imageId`: as a committed slot if that very image was
 * committed there, else on trial. The running slot can only be put first again, with the image it runs. Throws Refusal
 * while the running slot is on trial or another slot waits for its trial.
 */
export function activate(record: BootRecord, slot: SlotName, imageId: ImageId, running: SlotName, policy: Policy): BootRecord {
  const known = slotOf(record, slot);
  const same = known.state === "committed" && known.imageId === imageId;
  if (slot === running && same) return raised(record, slot);
  refuseNewImage(record, slot, running);
  const armed = same
    ? withSlot(record, slot, { tries: policy.tries.committed, credits: 0, damaged: null, reason: null })
    : withNewImage(record, slot, { state: "trial", tries: policy.tries.trial, imageId });
  return raised(armed, slot);
}

function others(record: BootRecord, except: SlotName, { trust }: Policy): string {
  const reasons = byPriority(record)
    .filter((name) => name !== except)
    .map((name) => `${name}: ${notBootable(record, name, trust) ?? "not in the control file"}`);
  return reasons.join("; ") || "there is no other";
}

/**
 * The record in which the next boot leaves the running slot for `target`: the first committed slot that can boot, else
 * the first other one. A trial that is left loses its tries and keeps `reason`. Throws Refusal where none can boot.
 */
export function rollBack(
  record: BootRecord,
  running: SlotName,
  policy: Policy,
  reason: string,
): { record: BootRecord; target: SlotName } {
  const trial = slotOf(record, running).state !== "committed";
  const able = bootable(record, policy, running);
  const target = able.find((name) => slotOf(record, name).state === "committed") ?? able[0];
  if (target === undefined) {
    throw new Refusal(`no other slot than ${running} can boot (${others(record, running, policy)}); install one first`);
  }
  const left = trial ? withSlot(record, running, { tries: 0, reason: cutReason(reason) }) : record;
  return { record: raised(left, target), target };
}
