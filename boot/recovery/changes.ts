/** How the boot record changes with the steps of a recovery. Each change is made durable before what it tells of is done. */
import { type StateWish, WISH_OF } from "../../state-ops/recovery.ts";
import type { BootRecord, ImageId, SlotName } from "../record/record.ts";
import type { Policy } from "../selection/policy.ts";
import { raised, slotOf, withNewImage, withSlot } from "../selection/slots.ts";
import { isOneTry, isSameStep, recoveryOf } from "./known.ts";
import { MOST_BEGUN, MOST_TRIED, type RecoveryRecord, type ToldRecovery, type TriedStep } from "./step.ts";

/** What a slot's damage is while an image is written to it that the record knew there before. */
export const BEING_WRITTEN = "its image was being written";

function withRecovery(record: BootRecord, change: Partial<RecoveryRecord>): BootRecord {
  const { begun: _, ...before } = recoveryOf(record);
  return { ...record, recovery: { ...before, ...change } };
}

/** What was tried with `step` as the newest. A search for an image is told by the image that it found. */
function withTried(tried: readonly TriedStep[], step: TriedStep): TriedStep[] {
  const last = tried.at(-1) ?? null;
  const isFound = last !== null && last.imageId === null && last.rung === step.rung;
  const others = isFound || isSameStep(last, step) ? tried.slice(0, -1) : tried;
  return [...others, step].slice(-MOST_TRIED);
}

/**
 * The record before a step is carried out that takes its time. A step that is `again` the newest of those that were begun is
 * counted; nobody has to ask for it any more.
 */
export function beginStep(record: BootRecord, step: TriedStep, again: boolean): BootRecord {
  const { tried, begun = 1 } = recoveryOf(record);
  const times = again ? begun + 1 : 1;
  const change = { asked: null, tried: withTried(tried, step), current: null };
  return withRecovery(record, times === 1 ? change : { ...change, begun: times });
}

/** The record once the newest of what was begun is given up for good, as after as many power cuts as are borne. */
export function giveUpStep(record: BootRecord): BootRecord {
  return withRecovery(record, { begun: MOST_BEGUN });
}

/** The record before a slot is booted with another state: one try, which is held against nobody. */
export function armOnce(record: BootRecord, step: TriedStep): BootRecord {
  const { tries } = slotOf(record, step.slot);
  const armed = withSlot(record, step.slot, { tries: Math.max(1, tries), reason: null });
  return withRecovery(armed, { asked: null, tried: withTried(recoveryOf(record).tried, step), current: step });
}

/** The record before an image is written to a slot that holds another, or none that is found: nothing boots from it meanwhile. */
export function withdrawFor(record: BootRecord, slot: SlotName, imageId: ImageId): BootRecord {
  const known = slotOf(record, slot);
  if (known.state !== "empty" && known.imageId === imageId)
    return withSlot(record, slot, { tries: 0, damaged: known.damaged ?? BEING_WRITTEN });
  return withNewImage(record, slot, { state: "empty", tries: 0, imageId: null });
}

/**
 * The record once the step's slot holds its image whole: as a committed slot if that very image was committed there, else on
 * trial, and before all others.
 */
export function armInstalled(record: BootRecord, step: TriedStep & { imageId: ImageId }, policy: Policy): BootRecord {
  const { slot, imageId } = step;
  const known = slotOf(record, slot);
  const isKnown = known.state !== "empty" && known.imageId === imageId;
  const state = isKnown && known.state === "committed" ? "committed" : "trial";
  const change = { state, tries: policy.tries[state], credits: 0, damaged: null, reason: null, imageId } as const;
  const armed = isKnown ? withSlot(record, slot, change) : withNewImage(record, slot, change);
  return withRecovery(raised(armed, slot), {
    asked: null,
    tried: withTried(recoveryOf(record).tried, step),
    current: step,
  });
}

/**
 * The record before the ladder begins anew, or is left since a slot boots after all. `obeyed` is what `slipway.recover` is obeyed
 * in by that.
 */
export function beginPass(record: BootRecord, obeyed = recoveryOf(record).obeyed): BootRecord {
  const { recovery: _, ...rest } = record;
  return obeyed === undefined ? rest : { ...rest, recovery: { asked: null, tried: [], current: null, obeyed } };
}

/** The record once `slipway.recover` is gone from the command line: from then on it is obeyed again. */
export function forgetObeyed(record: BootRecord): BootRecord {
  const { obeyed: _, ...recovery } = recoveryOf(record);
  const isEmpty = recovery.asked === null && recovery.tried.length === 0 && recovery.current === null;
  const { recovery: __, ...rest } = record;
  return isEmpty ? rest : { ...rest, recovery };
}

/** The record as the next boot takes it up: a system that was booted for one try is not booted so again. */
export function afterOneTry(record: BootRecord, slot: SlotName): BootRecord {
  return isHeldAgainstNobody(record, slot) ? withRecovery(record, { current: null }) : record;
}

/** How the state of the image in a slot is laid. */
export function wishOf(record: BootRecord, slot: SlotName, imageId: ImageId | null): StateWish {
  const { current } = recoveryOf(record);
  const isBooted = current !== null && imageId !== null && current.slot === slot && current.imageId === imageId;
  return isBooted ? WISH_OF[current.rung] : "ordinary";
}

/** For the report of a boot that goes on with what an earlier boot's recovery put into the slot; null where it does not. */
export function goesOnRecovered(record: BootRecord, slot: SlotName, imageId: ImageId): ToldRecovery | null {
  const { current } = recoveryOf(record);
  if (current === null || current.slot !== slot || current.imageId !== imageId) return null;
  return { asked: null, rung: current.rung, steps: [], network: null, reportedTo: null };
}

/** Whether the attempt on `slot` is one that is held against nobody: it ran with another state than its own. */
export function isHeldAgainstNobody(record: BootRecord, slot: SlotName): boolean {
  const { current } = recoveryOf(record);
  return current !== null && current.slot === slot && isOneTry(current.rung);
}
