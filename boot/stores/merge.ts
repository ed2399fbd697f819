/**
 * What somebody else changed in the bootloader's store, carried into the boot record with its meaning. Every function here is
 * pure; the record's own changes go the other way (project.ts).
 *
 * The store is written before the record. A power cut between the two leaves a change of slipway's own in the store alone: it is
 * taken up here as a foreign one, to the same end.
 */
import { cutReason } from "../record/reason.ts";
import type { BootRecord, ImageId, SlotName } from "../record/record.ts";
import { freshRecord } from "../record/store.ts";
import { commitSlot, isSafeMode } from "../selection/running.ts";
import { byPriority, raised, ranked, slotOf, withNewImage, withSlot } from "../selection/slots.ts";
import { GIVEN_BACK, isBetter, isGivenBack } from "./given-back.ts";
import type { LoaderRules } from "./project.ts";
import { isBad, orderOf } from "./startable.ts";
import type { LoaderSlot, StoreView } from "./view.ts";

/** The reason of a slot that another tool gave up. */
export const MARKED_BAD = "marked bad in the bootloader's store";

/**
 * Nobody who changes variables takes the nonce away, but a loader does that lost them all and writes down what it takes for
 * missing: all slots, with all their boots.
 */
const BEGUN_ANEW = "the bootloader's store was lost and begun anew, without the nonce: it is written again from the boot record";

export interface MergeFacts extends LoaderRules {
  /** Wall clock, milliseconds since the epoch. */
  unixMs: number;
  /** In PID 1: the slot that the loader started, null where it named none. Undefined in the running system, where nothing counts. */
  started?: SlotName | null;
}

export interface Merged {
  record: BootRecord;
  /** What was changed by others, one sentence each. */
  changes: string[];
}

/**
 * The record with what the store says now, `seen`, where that is not what it said when it was last read or written, `base`. With
 * equal views the record stays as it is.
 */
export function mergeStore(record: BootRecord, base: StoreView, seen: StoreView, facts: MergeFacts): Merged {
  if (base.nonce !== null && seen.nonce === null) return { record, changes: [BEGUN_ANEW] };
  if (isGivenBack(base, seen, facts)) return { record, changes: [GIVEN_BACK] };
  const changes: string[] = [];
  let merged = record;
  const known = (name: SlotName) => facts.policy.slots.includes(name) && Object.hasOwn(merged.slots, name);
  const front = newFront(base, seen);
  const order = merged;
  // The one that was put first comes last: a commit of another slot puts that one first, and was before it.
  const entries = Object.entries(seen.slots).sort(([one], [other]) => Number(one === front) - Number(other === front));
  for (const [name, now] of entries) {
    const before = base.slots[name];
    if (before === undefined || !known(name)) continue;
    const change =
      name === front
        ? activated(merged, name, before, now, facts)
        : isBad(now) && !isBad(before)
          ? markedBad(merged, name, before, now, facts)
          : isBetter(before, now)
            ? markedGood(merged, name, facts)
            : counted(merged, name, before, now, facts);
    if (change === null) continue;
    merged = change.record;
    if (change.text !== null) changes.push(change.text);
  }
  const reordered = front === null ? withOrder(merged, base, seen, order) : null;
  if (reordered !== null) {
    merged = reordered;
    changes.push("the order of the slots was changed in the bootloader's store");
  }
  for (const name of Object.keys(base.slots)) {
    if (known(name) && seen.slots[name] === undefined) {
      changes.push(`the bootloader's store says nothing of slot ${name} any more: it is written again`);
    }
  }
  return { record: merged, changes };
}

/**
 * The record to begin with where there is none, from what the store says: its order, and what it gives up. All slots are trials,
 * since nothing is known of their images. Where it gives all of them up they are tried all the same.
 */
export function recordFromStore(seen: StoreView, { policy }: Pick<LoaderRules, "policy">): BootRecord {
  const fresh = freshRecord(policy);
  const said = (name: SlotName) => seen.slots[name];
  const names = [...policy.slots].sort((one, other) => (said(other)?.priority ?? 0) - (said(one)?.priority ?? 0));
  const record = ranked(fresh, names);
  const bad = names.filter((name) => isGivenUp(said(name)));
  if (bad.length === names.length) return record;
  return bad.reduce((left, name) => withSlot(left, name, { tries: 0, reason: MARKED_BAD }), record);
}

function isGivenUp(slot: LoaderSlot | undefined): boolean {
  return slot !== undefined && isBad(slot);
}

/** The slot that was put first; null where the first one is as before, or only since others were given up. */
function newFront(base: StoreView, seen: StoreView): SlotName | null {
  const [first] = orderOf(seen);
  if (first === undefined || base.slots[first] === undefined) return null;
  const before = orderOf(base).filter((name) => seen.slots[name] !== undefined && !isGivenUp(seen.slots[name]));
  return first === before[0] ? null : first;
}

interface Change {
  record: BootRecord;
  /** Null: ordinary, and nothing to tell of. */
  text: string | null;
}

/** What was committed here stays so as long as its image is the same, which the next boot of it shows. */
function activated(record: BootRecord, name: SlotName, before: LoaderSlot, now: LoaderSlot, facts: MergeFacts): Change {
  const { tries } = facts.policy;
  const text = `slot ${name} was put first in the bootloader's store: it boots next`;
  if (slotOf(record, name).state === "committed") {
    const armed = withSlot(record, name, { tries: tries.committed, credits: 0, damaged: null, reason: null });
    return { record: raised(armed, name), text };
  }
  // A trial that runs and was called good at the same time is committed by that.
  const isGood = runsIn(record, name) && isBetter(before, now);
  const commit = isGood ? committed(record, name, facts) : null;
  if (commit !== null) return { record: raised(commit, name), text: `${text}, and was marked good: its image is committed` };
  const armed = withNewImage(record, name, { state: "trial", tries: tries.trial, imageId: imageIn(record, name) });
  return { record: raised(armed, name), text: `${text}, on trial` };
}

function markedBad(record: BootRecord, name: SlotName, before: LoaderSlot, now: LoaderSlot, facts: MergeFacts): Change | null {
  const { tries, reason } = slotOf(record, name);
  // Some loaders give a slot up with its last boot.
  const isLastBoot = before.tries === 1 && before.good !== true && now.tries === 0;
  if (facts.chooser === "loader" && facts.started !== undefined && isLastBoot) return counted(record, name, before, now, facts);
  if (tries === 0 && reason !== null) return null;
  const given = withSlot(record, name, { tries: 0, credits: 0, reason: cutReason(reason ?? MARKED_BAD) });
  return { record: given, text: `slot ${name} was marked bad in the bootloader's store` };
}

function markedGood(record: BootRecord, name: SlotName, facts: MergeFacts): Change | null {
  const { state, tries, damaged } = slotOf(record, name);
  const { policy } = facts;
  const text = `slot ${name} was marked good in the bootloader's store`;
  const runs = runsIn(record, name);
  if (state === "committed" && damaged === null && tries === policy.tries.committed) return null;
  const commit = runs ? committed(record, name, facts) : null;
  if (commit !== null) return { record: commit, text: state === "committed" ? text : `${text}: its image is committed` };
  if (runs && state !== "committed") {
    return { record, text: `${text}, and is not committed: it runs without some of its state` };
  }
  if (state === "committed") {
    const armed = { tries: policy.tries.committed, credits: 0, damaged: null, reason: null };
    return { record: withSlot(record, name, armed), text };
  }
  const armed = withNewImage(record, name, { state: "trial", tries: policy.tries.trial, imageId: imageIn(record, name) });
  return { record: armed, text: `${text}: it has its tries again` };
}

/** Whether the last attempt was of that slot, and led to a system which could call it good. */
function runsIn({ attempt }: BootRecord, name: SlotName): boolean {
  return attempt !== null && attempt.slot === name && (attempt.stage === "handover" || attempt.stage === "good");
}

/** The image that a slot holds whatever was done to it: that of the running one. Of others the next boot sees it. */
function imageIn(record: BootRecord, name: SlotName): ImageId | null {
  return runsIn(record, name) ? (record.attempt?.imageId ?? null) : null;
}

/** The record with the image of the last attempt committed; null where it cannot be. */
function committed(record: BootRecord, name: SlotName, { policy, unixMs }: MergeFacts): BootRecord | null {
  const { attempt } = record;
  const slot = slotOf(record, name);
  if (attempt === null || attempt.imageId === null || slot.imageId !== attempt.imageId || slot.damaged !== null) return null;
  if (slot.state !== "committed" && (attempt.degraded === true || isSafeMode(record))) return null;
  return commitSlot(record, name, attempt.imageId, policy, Math.max(unixMs, record.lastKnownUnixMs));
}

/** Boots that the loader counted: the one that goes on is counted by PID 1, and the others never came as far. */
function counted(record: BootRecord, name: SlotName, before: LoaderSlot, now: LoaderSlot, facts: MergeFacts): Change | null {
  const { chooser, started, traits } = facts;
  const all = before.tries ?? (traits.countsGood ? traits.mostTries : 0);
  const fell = all - (now.tries ?? all);
  if (chooser === "slipway") {
    // A loader's script that counts all the same takes one at a time, and slipway counts for itself.
    if (fell <= 1 || now.tries !== 0) return null;
    // Power that went a few times before slipway came gives up no slot that was good.
    if (started === undefined || slotOf(record, name).state !== "committed") return markedBadByCount(record, name);
    return startedUnseen(record, name, fell);
  }
  if (started === undefined) return null;
  return startedUnseen(record, name, fell - (name === started ? 1 : 0));
}

function startedUnseen(record: BootRecord, name: SlotName, unseen: number): Change | null {
  if (unseen <= 0) return null;
  const { tries } = slotOf(record, name);
  const text = `the bootloader started slot ${name} ${unseen === 1 ? "once" : `${unseen} times`} without getting as far as slipway`;
  return { record: withSlot(record, name, { tries: Math.max(0, tries - unseen) }), text };
}

function markedBadByCount(record: BootRecord, name: SlotName): Change | null {
  if (slotOf(record, name).tries === 0) return null;
  const given = withSlot(record, name, { tries: 0, credits: 0, reason: MARKED_BAD });
  return {
    record: given,
    text: `slot ${name} has no tries left in the bootloader's store, and was not booted: it is marked bad`,
  };
}

/** The store's order, where it is another one than before; null where it is not. Slots that it gives up keep their places behind. */
function withOrder(record: BootRecord, base: StoreView, seen: StoreView, original: BootRecord): BootRecord | null {
  const now = orderOf(seen).filter((name) => Object.hasOwn(record.slots, name));
  const before = orderOf(base).filter((name) => now.includes(name));
  const same = now.filter((name) => before.includes(name)).every((name, index) => name === before[index]);
  if (same || byPriority(record).some((name, index) => name !== byPriority(original)[index])) return null;
  const rest = byPriority(record).filter((name) => !now.includes(name));
  return ranked(record, [...now, ...rest]);
}
