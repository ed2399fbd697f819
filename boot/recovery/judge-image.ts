/** Which images a recovery takes, and which of several it tries first. */
import { compareVersions } from "../channel/version-order.ts";
import { type Judge, judgeSeal } from "../image/judge-seal.ts";
import type { Seal } from "../image/seal.ts";
import type { BootRecord, ImageId } from "../record/record.ts";
import { SlotFailure } from "../selection/attempt.ts";
import { installFloor, whyBelowFloor } from "../selection/floors.ts";
import { quarantinedReason } from "../selection/quarantine.ts";

/** What the machine knows of itself. */
export interface RecoveryJudge extends Judge {
  record: BootRecord;
}

/**
 * Why a recovery does not take the image with that seal; null where it does. A quarantined one is taken, last of all: see
 * {@link preferred}.
 */
export async function whyNotTaken(seal: Seal, judge: RecoveryJudge): Promise<string | null> {
  try {
    await judgeSeal(seal, judge);
  } catch (error) {
    if (error instanceof SlotFailure) return error.message;
    throw error;
  }
  const { rootHash, rollbackIndex, version } = seal.manifest;
  const tooOld = whyTooOld(rootHash, rollbackIndex, judge);
  return tooOld === null ? null : `image ${version} is too old: ${tooOld}`;
}

/**
 * Why an image is below the floor that binds it; null where none does. One that this machine has, or had committed last, is put
 * back and not installed: it may be as old as what boots (boot/selection/floors.ts).
 */
export function whyTooOld(imageId: ImageId, rollbackIndex: number, { record, trust }: RecoveryJudge): string | null {
  if (isKnown(record, imageId)) return whyBelowFloor(record, rollbackIndex, trust);
  const floor = installFloor(record, trust);
  if (floor === null || rollbackIndex >= floor) return null;
  return `its rollback index ${rollbackIndex} is below ${floor}, which was committed here; offer a newer one`;
}

/** Whether the record knows the image in a slot, or as the one that was committed last. */
function isKnown(record: BootRecord, imageId: ImageId): boolean {
  if (record.lastCommitted?.imageId === imageId) return true;
  return Object.values(record.slots).some((slot) => slot.imageId === imageId);
}

/** What one of several images is known by before it is fetched. */
export interface Offered {
  imageId: ImageId;
  version: string;
}

/**
 * `offers`, best first: in the order of `wanted` where images are asked for by their ids; else the image that was committed last,
 * then the newest, and quarantined ones last. Of equal ones the order stays.
 */
export function preferred<Offer extends Offered>(
  offers: readonly Offer[],
  record: BootRecord,
  wanted: readonly ImageId[] | null,
): Offer[] {
  const rank = ({ imageId }: Offer): number => {
    if (wanted !== null) return wanted.indexOf(imageId);
    if (quarantinedReason(record, imageId) !== null) return 2;
    return record.lastCommitted?.imageId === imageId ? 0 : 1;
  };
  return [...offers].sort((left, right) => rank(left) - rank(right) || compareVersions(right.version, left.version));
}
