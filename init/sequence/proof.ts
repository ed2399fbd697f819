import { judgeSeal, needsKernelSignature, type Proof, refuseUnsealed } from "../../boot/image/judge-seal.ts";
import type { Manifest, Seal } from "../../boot/image/seal.ts";
import { verityName } from "../../boot/image/verity-table.ts";
import type { ImageId } from "../../boot/record/record.ts";
import { SlotFailure } from "../../boot/selection/attempt.ts";
import { whyBelowFloor } from "../../boot/selection/floors.ts";
import { noImage } from "../../boot/slot-image.ts";
import { checkSlot, damageText, openRaw } from "../image/check-slot.ts";
import { byteLine } from "../image/progress.ts";
import { VerityDevice, VerityUnavailable } from "../image/verity-device.ts";
import { readSlotImage } from "../store/image-id.ts";
import { ownArchitecture } from "../version.ts";
import type { Counters } from "./counters.ts";
import type { Launch } from "./launch.ts";

/** What is known of a slot's image before anything of it is used. */
export interface ProvenImage {
  imageId: ImageId;
  proof: Proof;
  /** Ids of the trusted keys that signed its seal. */
  signers: string[];
  /** What its seal says; null where it has none. */
  manifest: Manifest | null;
  /** What to mount; null where nothing can be checked, and the slot's own device is mounted. */
  verity: VerityDevice | null;
}

/**
 * Proves the image in a slot: its seal, which is read once, who signed it, whom it is for, how old it is; and puts dm-verity over
 * the slot. Throws SlotFailure where the slot has to be left.
 */
export async function proveImage(boot: Launch, counters: Counters, slot: string, device: string): Promise<ProvenImage> {
  const { kernel, control } = boot;
  const { imageId, reading } = readSlotImage(kernel, device);
  if (imageId === null) throw new SlotFailure("boot", noImage(device));
  if (reading.is !== "sealed") {
    refuseUnsealed(reading, control.trust);
    return { imageId, proof: "none", signers: [], manifest: null, verity: null };
  }
  const { seal } = reading;
  return boot.part("proof", () => proveSealed(boot, counters, { slot, device, imageId, seal }));
}

interface SealedSlot {
  slot: string;
  device: string;
  imageId: ImageId;
  seal: Seal;
}

async function proveSealed(boot: Launch, counters: Counters, { slot, device, imageId, seal }: SealedSlot): Promise<ProvenImage> {
  const { control } = boot;
  const { manifest } = seal;
  const signers = await judgeSeal(seal, { ...control, architecture: ownArchitecture });
  const tooOld = whyBelowFloor(counters.record, manifest.rollbackIndex, control.trust);
  if (tooOld !== null) throw new SlotFailure("boot", `image ${manifest.version} is too old: ${tooOld}`);
  const wholeSince = counters.whyReadWhole;
  if (wholeSince !== null) {
    boot.log.notice(`slot ${slot} is read whole, ${wholeSince}`);
    await boot.part("read-whole", () => readWhole(boot, counters, slot, device, manifest));
  }
  const verity = makeVerity(boot, slot, device, manifest);
  const proof = verity === null ? "none" : control.trust.mode;
  return { imageId, proof, signers, manifest, verity };
}

/** Null, with a warning, where the kernel has no dm-verity and images need not be proven. */
function makeVerity(boot: Launch, slot: string, device: string, manifest: Manifest): VerityDevice | null {
  const { trust } = boot.control;
  boot.loadForVerity();
  try {
    const number = boot.kernel.statusAt(device).node;
    const kernelSignature = needsKernelSignature(trust);
    return VerityDevice.create(boot.kernel, { name: verityName(slot), manifest, number, kernelSignature });
  } catch (error) {
    if (!(error instanceof VerityUnavailable)) throw error;
    if (trust.mode === "signed") throw new SlotFailure("device", `the image cannot be checked: ${error.message}`);
    boot.warnOnce(`the image in slot ${slot} is not checked block by block: ${error.message}`);
    return null;
  }
}

/** A reading that takes no longer than this is not told of, milliseconds. */
const FIRST_AFTER = 2000;
/** Time between two lines, milliseconds. */
const EVERY = 4000;

/**
 * Reads the whole slot against its tree. Without that, a bad block that is read once the system runs would restart the machine
 * for ever. What cannot be read counts as damage as much as what is wrong: both are cured by writing the block again.
 */
async function readWhole(boot: Launch, counters: Counters, slot: string, path: string, manifest: Manifest): Promise<void> {
  const { kernel, log } = boot;
  const beganMs = kernel.now().bootMs;
  let nextMs = beganMs + FIRST_AFTER;
  const fd = openRaw(kernel, path);
  try {
    for (const { done, total, damaged } of checkSlot(kernel, fd, manifest)) {
      const [bad] = damaged;
      if (bad !== undefined) throw new SlotFailure("proof", `${damageText(bad)}; repair the slot, or install again`);
      await boot.breathe();
      const elapsedMs = kernel.now().bootMs - beganMs;
      if (beganMs + elapsedMs < nextMs) continue;
      nextMs = beganMs + elapsedMs + EVERY;
      log.notice(byteLine(`reading slot ${slot}`, done, total, elapsedMs / 1000));
    }
  } finally {
    kernel.close(fd);
  }
  counters.wholeSlotRead();
}
