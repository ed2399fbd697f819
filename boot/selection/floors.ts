/**
 * The floors below which a rollback index must not be: what keeps an older image with a known hole, signed as it is, from coming
 * back. They bind only where images are signed: an index that nobody signed says nothing.
 */
import type { ControlTrust } from "../../state-ops/control.ts";
import type { BootRecord, SlotName, SlotRecord } from "../record/record.ts";

/** What a commit takes note of, of the image's seal. */
export interface CommittedSeal {
  rollbackIndex: number;
  revokesBelow: number | null;
}

/** What is installed must not be below: the highest index that was ever committed. Null where images are not signed. */
export function installFloor(record: BootRecord, trust: ControlTrust): number | null {
  if (trust.mode === "unsigned") return null;
  return Math.max(trust.rollbackFloor, record.floors?.install ?? 0);
}

/**
 * What boots must not be below: what was revoked, and the lowest index among the committed slots that can boot. So the fallback
 * stays bootable, and nothing that is older than it. Null where images are not signed.
 */
export function bootFloor(record: BootRecord, trust: ControlTrust): number | null {
  const revoked = revokedBelow(record, trust);
  if (revoked === null) return null;
  const indexes = Object.entries(record.slots)
    .filter(([name, slot]) => isFallback(record, name, slot) && whyRevoked(record, slot, trust) === null)
    .map(([, slot]) => slot.rollbackIndex ?? 0);
  return Math.max(revoked, indexes.length === 0 ? 0 : Math.min(...indexes));
}

/** A committed slot that can boot; also the one that is being tried, whose last try is counted before its image is looked at. */
function isFallback(record: BootRecord, name: SlotName, slot: SlotRecord): boolean {
  const isTried = record.attempt?.slot === name && !record.attempt.cleanEnd;
  return slot.state === "committed" && slot.damaged === null && (slot.tries > 0 || isTried);
}

/** Nothing below this ever boots again: the initrd says so, or an image that was committed. Null where images are not signed. */
function revokedBelow(record: BootRecord, trust: ControlTrust): number | null {
  return trust.mode === "unsigned" ? null : Math.max(trust.rollbackFloor, record.floors?.boot ?? 0);
}

/** Why the image that was committed in a slot does not boot any more, whatever the other slots hold; null where it does. */
export function whyRevoked(record: BootRecord, slot: SlotRecord, trust: ControlTrust): string | null {
  const floor = revokedBelow(record, trust);
  if (floor === null || slot.state !== "committed" || slot.rollbackIndex === undefined) return null;
  return slot.rollbackIndex < floor ? belowFloor(slot.rollbackIndex, floor) : null;
}

/** Why an image with that index does not boot; null where it does. */
export function whyBelowFloor(record: BootRecord, rollbackIndex: number, trust: ControlTrust): string | null {
  const floor = bootFloor(record, trust);
  return floor !== null && rollbackIndex < floor ? belowFloor(rollbackIndex, floor) : null;
}

function belowFloor(rollbackIndex: number, floor: number): string {
  return `its rollback index ${rollbackIndex} is below the boot floor ${floor}; install a newer image`;
}

/** The record's floors once an image was committed; `seal` is null for one that nobody signed, which raises nothing. */
export function raisedFloors(record: BootRecord, seal: CommittedSeal | null): Pick<BootRecord, "floors"> {
  const { floors } = record;
  if (seal === null) return floors === undefined ? {} : { floors };
  return {
    floors: {
      install: Math.max(floors?.install ?? 0, seal.rollbackIndex),
      boot: Math.max(floors?.boot ?? 0, seal.revokesBelow ?? 0),
    },
  };
}
