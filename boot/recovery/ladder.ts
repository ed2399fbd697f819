/**
 * What a machine does next when none of its slots boots: one step of the ladder. A pass begins at its first rung, goes from rung to
 * rung and never back, takes each step once, and ends after a bounded number of them; the caller then waits and begins anew.
 *
 * What was begun is in the record before it is done, so that a power cut repeats the step that it fell into and no other.
 */
import type { Rung } from "../../state-ops/recovery.ts";
import type { BootRecord, ImageId, SlotName, Stage } from "../record/record.ts";
import type { Failure } from "../selection/attempt.ts";
import { whyRevoked } from "../selection/floors.ts";
import { LONGEST_PAUSE, pauseAfter } from "../selection/give-up.ts";
import type { Policy } from "../selection/policy.ts";
import { byPriority, slotOf, whySpent } from "../selection/slots.ts";
import { interruptedStep, isOneTry, isSameStep, recoveryOf } from "./known.ts";
import { MOST_BEGUN, type TriedStep } from "./step.ts";

/** Images that one of the rungs that reinstall puts into a slot in one pass; keeps `tried` within its bounds. */
export const MOST_IMAGES = 6;

/** How a slot was left in this boot, and how far its attempt had come. */
export interface LeftSlot extends Failure {
  stage: Stage;
}

/** What the record does not know of this boot. */
export interface LadderFacts {
  /** Slots whose attempts failed in this boot. */
  left: ReadonlyMap<SlotName, LeftSlot>;
  /** Slots whose medium did not take, or has no room for, what was to be written to it. */
  badTargets: ReadonlySet<SlotName>;
  /** Whether the newest of what was tried was ended in this boot: nothing cut it off. */
  ended: boolean;
  /** Whether the newest step wanted something of the control file's sources, and none of them could be reached, or went on to be. */
  unreached: boolean;
  /** Longest pause between two passes, seconds. */
  longestPause: number;
}

/** Images to look for, in the order in which they are wanted. */
export interface Search {
  /** Null: any. */
  imageIds: ImageId[] | null;
  except: ImageId[];
}

export type LadderStep =
  | { do: "boot"; rung: "previous-generation" | "safe-mode"; slot: SlotName; imageId: ImageId }
  | { do: "repair"; rung: "repair"; slot: SlotName; imageId: ImageId }
  /** `slot` is where an image would go that no slot holds: see {@link targetFor}. `imageId` is not null where it goes on. */
  | { do: "reinstall"; rung: ReinstallRung; slot: SlotName; imageId: ImageId | null; searches: Search[] };

export type ReinstallRung = "reinstall" | "reinstall-fresh";

/** The rungs that somebody asked for. `ladder`: those that look after the slots, which keep the state as long as one of them may. */
export function rungsAsked(ladder: readonly Rung[], asked: Rung | "ladder"): Rung[] {
  if (asked !== "ladder") return ladder.filter((rung) => rung === asked);
  const changing = ladder.filter((rung) => !isOneTry(rung));
  const keeping = changing.filter((rung) => rung !== "reinstall-fresh");
  return keeping.length > 0 ? keeping : changing.length > 0 ? changing : [...ladder];
}

/**
 * Whether the rung waits for a later pass: state is not set aside for a network that may be back in a minute. Only once the pauses
 * between passes have grown as long as they become, or to ten minutes, is what the machine has by itself taken.
 */
export function isPutOff(record: BootRecord, rung: Rung, { unreached, longestPause }: LadderFacts): boolean {
  return rung === "reinstall-fresh" && unreached && pauseAfter(record.exhausted) < Math.min(longestPause, LONGEST_PAUSE);
}

/** The next step of a pass over `rungs`; null where it is over. */
export function nextStep(record: BootRecord, rungs: readonly Rung[], policy: Policy, facts: LadderFacts): LadderStep | null {
  const interrupted = facts.ended ? null : interruptedStep(record);
  const again = interrupted === null ? null : repeated(record, interrupted, rungs, policy, facts);
  if (again !== null) return again;
  const last = recoveryOf(record).tried.at(-1);
  const reached = last === undefined ? 0 : Math.max(0, rungs.indexOf(last.rung));
  for (const rung of rungs.slice(reached)) {
    const step = stepOf(record, rung, policy, facts);
    if (step !== null) return step;
  }
  return null;
}

function repeated(
  record: BootRecord,
  { rung, slot, imageId }: TriedStep,
  rungs: readonly Rung[],
  policy: Policy,
  facts: LadderFacts,
): LadderStep | null {
  const isPossible = rungs.includes(rung) && policy.slots.includes(slot) && !facts.badTargets.has(slot);
  if (!isPossible || (recoveryOf(record).begun ?? 1) >= MOST_BEGUN) return null;
  if (rung === "repair") return imageId === null ? null : { do: "repair", rung, slot, imageId };
  if (isOneTry(rung)) return null;
  if (imageId === null) return reinstallStep(record, rung, policy, facts);
  return { do: "reinstall", rung, slot, imageId, searches: [{ imageIds: [imageId], except: [] }] };
}

function stepOf(record: BootRecord, rung: Rung, policy: Policy, facts: LadderFacts): LadderStep | null {
  switch (rung) {
    case "previous-generation":
    case "safe-mode": {
      const found = slotStep(record, rung, policy, (slot) => canRun(record, slot, facts));
      return found && { do: "boot", rung, ...found };
    }
    case "repair": {
      const found = slotStep(record, rung, policy, () => true);
      return found && { do: "repair", rung, ...found };
    }
    case "reinstall":
    case "reinstall-fresh":
      return isOver(record, rung, facts) || isPutOff(record, rung, facts) ? null : reinstallStep(record, rung, policy, facts);
  }
}

/** Slots whose image is known and may boot, last committed first, then by priority. */
function knownSlots(record: BootRecord, policy: Policy): { slot: SlotName; imageId: ImageId }[] {
  const last = record.lastCommitted?.slot;
  return byPriority(record)
    .filter((name) => policy.slots.includes(name))
    .sort((left, right) => Number(right === last) - Number(left === last))
    .flatMap((slot) => {
      const { state, imageId } = slotOf(record, slot);
      const isKnown = state !== "empty" && imageId !== null && whyRevoked(record, slotOf(record, slot), policy.trust) === null;
      return isKnown ? [{ slot, imageId }] : [];
    });
}

function slotStep(record: BootRecord, rung: Rung, policy: Policy, isFit: (slot: SlotName) => boolean) {
  const { tried } = recoveryOf(record);
  const found = knownSlots(record, policy).find(
    (candidate) => isFit(candidate.slot) && !tried.some((step) => isSameStep(step, { rung, ...candidate })),
  );
  return found ?? null;
}

/** Whether another state could make a difference to the slot: as far as anybody knows its image is whole, and can be reached. */
function canRun(record: BootRecord, slot: SlotName, { left }: LadderFacts): boolean {
  const stage = left.get(slot)?.stage;
  return slotOf(record, slot).damaged === null && stage !== "counted" && stage !== "image";
}

function ofRung(record: BootRecord, rung: Rung): TriedStep[] {
  return recoveryOf(record).tried.filter((step) => step.rung === rung);
}

/** Images were looked for and none was found, or enough of them were tried. */
function isOver(record: BootRecord, rung: ReinstallRung, { badTargets }: LadderFacts): boolean {
  const tried = ofRung(record, rung);
  return tried.length >= MOST_IMAGES || tried.some(({ slot, imageId }) => imageId === null && !badTargets.has(slot));
}

function reinstallStep(record: BootRecord, rung: ReinstallRung, policy: Policy, facts: LadderFacts): LadderStep | null {
  const slot = targetFor(record, null, policy, facts);
  return slot === null ? null : { do: "reinstall", rung, slot, imageId: null, searches: searches(record, rung, facts) };
}

/** The image that was committed last, then any that nothing is known against, then those that were quarantined. */
function searches(record: BootRecord, rung: ReinstallRung, facts: LadderFacts): Search[] {
  const tried = ofRung(record, rung).flatMap(({ slot, imageId }) =>
    imageId === null || facts.badTargets.has(slot) ? [] : [imageId],
  );
  const except = [...new Set([...tried, ...(rung === "reinstall" ? wholeButFailed(record, facts) : [])])];
  const quarantined = record.quarantined.map(({ imageId }) => imageId).filter((imageId) => !except.includes(imageId));
  const last = record.lastCommitted?.imageId;
  const isLastGood = last !== undefined && !except.includes(last) && !quarantined.includes(last);
  return [
    ...(isLastGood ? [{ imageIds: [last], except: [] }] : []),
    { imageIds: null, except: [...except, ...quarantined] },
    ...(quarantined.length > 0 ? [{ imageIds: quarantined, except: [] }] : []),
  ];
}

/** Images that lie whole in a slot, as far as anybody knows, and failed there after their proof: that needs other state. */
function wholeButFailed(record: BootRecord, { left }: LadderFacts): ImageId[] {
  return byPriority(record).flatMap((name) => {
    const slot = slotOf(record, name);
    if (slot.state === "empty" || slot.damaged !== null || slot.imageId === null) return [];
    const failure = left.get(name);
    const hasFailed = failure === undefined ? whySpent(slot) !== null : failure.kind !== "device" && failure.stage !== "counted";
    return hasFailed ? [slot.imageId] : [];
  });
}

/**
 * The slot that the image goes to: the one that it is recorded in, else the one that is missed least. Null where none takes
 * anything.
 */
export function targetFor(record: BootRecord, imageId: ImageId | null, policy: Policy, facts: LadderFacts): SlotName | null {
  const rank = (name: SlotName): number => {
    const slot = slotOf(record, name);
    const unreachable = facts.left.get(name)?.kind === "device" ? 100 : 0;
    if (imageId !== null && slot.imageId === imageId) return unreachable + (slot.damaged === null ? 0 : 1);
    const isBootable = whySpent(slot) === null && !facts.left.has(name);
    const holdsNothing = slot.damaged !== null || slot.imageId === null;
    const missed = isBootable ? 10 : slot.state === "empty" ? 2 : holdsNothing ? 3 : 5;
    const known = record.lastCommitted?.slot === name ? 3 : slot.state === "committed" ? 2 : 0;
    return unreachable + missed + (missed < 5 ? 0 : known);
  };
  const able = byPriority(record)
    .reverse()
    .filter((name) => policy.slots.includes(name) && !facts.badTargets.has(name))
    .sort((left, right) => rank(left) - rank(right));
  return able[0] ?? null;
}
