/** What keeps an image from being installed, before a byte is written. */
import { Refusal } from "../../state-ops/outcome.ts";
import { sizeText } from "../../state-ops/size-text.ts";
import { imageSizeOf, type Seal, unmetNeed } from "../image/seal.ts";
import type { BootRecord, SlotName } from "../record/record.ts";
import { installFloor } from "../selection/floors.ts";
import type { Policy } from "../selection/policy.ts";
import { quarantinedReason } from "../selection/quarantine.ts";
import { slotOf, withSlot } from "../selection/slots.ts";

export interface ImageFacts {
  /** How people call it: "acme 2.1 from https://…". */
  name: string;
  seal: Seal;
}

export interface MachineFacts {
  system: string;
  record: BootRecord;
  policy: Policy;
  /** What the initrd that booted is able to do. */
  initrd: { controlFormat: number; features: readonly string[] };
  /** Installed in spite of its quarantine. */
  retry: boolean;
}

/** Throws Refusal where the machine must not get that image, whatever the slot. The signatures were judged already. */
export function refuseImage({ name, seal }: ImageFacts, { system, record, policy, initrd, retry }: MachineFacts): void {
  const { manifest } = seal;
  if (manifest.system !== system) {
    throw new Refusal(`${name} is for the system ${manifest.system}, this machine is ${system}; give an image for ${system}`);
  }
  const need = unmetNeed(manifest.needs, initrd);
  if (need !== null) throw new Refusal(`${name}: ${need}`);
  const floor = installFloor(record, policy.trust);
  if (floor !== null && manifest.rollbackIndex < floor) {
    throw new Refusal(
      `${name} has the rollback index ${manifest.rollbackIndex}, this machine takes none below ${floor} any more; install a newer image`,
    );
  }
  const quarantined = quarantinedReason(record, manifest.rootHash);
  if (quarantined !== null && !retry) {
    throw new Refusal(`${name}: ${quarantined}; give --retry to try it once more, or install another image`);
  }
}

/** Throws Refusal where the slot, which has `size` bytes, is too small. */
export function refuseLarge({ name, seal }: ImageFacts, slot: string, size: number): void {
  const wanted = imageSizeOf(seal.manifest, seal.bytes.length);
  if (wanted <= size) return;
  const both = `${sizeText(wanted)} (${wanted} bytes), slot ${slot} has ${sizeText(size)} (${size})`;
  throw new Refusal(`${name} takes ${both}; make the image smaller, or the slot larger`);
}

/** The image that the record quarantined is tried once more. */
export function withoutQuarantine(record: BootRecord, imageId: string): BootRecord {
  return { ...record, quarantined: record.quarantined.filter((entry) => entry.imageId !== imageId) };
}

/** The slot was found damaged once, and its image is whole now. The same record where nobody said so, or of another image. */
export function withoutDamage(record: BootRecord, slot: SlotName, imageId: string): BootRecord {
  const known = slotOf(record, slot);
  const ofIt = known.imageId === null || known.imageId === imageId;
  return known.damaged !== null && ofIt ? withSlot(record, slot, { damaged: null }) : record;
}
