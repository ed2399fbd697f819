/** Whether the image that a seal stands for may boot on this machine. The tree has still to be checked, by dm-verity. */
import type { ControlTrust } from "../../state-ops/control.ts";
import type { Architecture } from "../architecture.ts";
import { SlotFailure } from "../selection/attempt.ts";
import { CONTROL_FORMAT, FEATURES, type Needs, type Seal, unmetNeed } from "./seal.ts";
import { judgeEnvelope, trustOf } from "./trust.ts";

/** `signed`: by keys that are trusted. `unsigned`: the image is what its own seal says, which anybody may have written. `none`: unproven. */
export type Proof = "signed" | "unsigned" | "none";

/** What this machine is, and what it believes: of the control file in its initrd, and of nothing else. */
export interface Judge {
  system: string;
  trust: ControlTrust;
  architecture: Architecture;
}

/** What an initrd of this version can do for an image on a machine of `architecture`. */
export function abilitiesOn(architecture: Architecture): Needs {
  return { controlFormat: CONTROL_FORMAT, features: [...FEATURES, architecture].sort() };
}

/**
 * Judges a seal. Returns the ids of the trusted keys that signed it, none where nobody has to sign. Throws SlotFailure: `proof`
 * where this is no image of ours, `boot` where it is one that this initrd cannot boot.
 */
export async function judgeSeal(seal: Seal, { system, trust, architecture }: Judge): Promise<string[]> {
  const { manifest, envelope } = seal;
  const verdict = await judgeEnvelope("the seal", envelope, trustOf(trust));
  if (!verdict.trusted) throw new SlotFailure("proof", verdict.reason);
  if (manifest.system !== system) {
    throw new SlotFailure(
      "proof",
      `the image is for the system ${manifest.system}, and this initrd is for ${system}; install the right image`,
    );
  }
  if (needsKernelSignature(trust) && manifest.kernelSignature === null) {
    throw new SlotFailure(
      "proof",
      "the seal has no signature for the kernel, and the control file wants one (trust: kernel-signature: required)",
    );
  }
  const unmet = unmetNeed(manifest.needs, abilitiesOn(architecture));
  if (unmet !== null) throw new SlotFailure("boot", `image ${manifest.version} cannot boot here: ${unmet}`);
  return verdict.signers;
}

/** Whether the kernel has to check a signature of the root hash as well. */
export function needsKernelSignature(trust: ControlTrust): boolean {
  return trust.mode === "signed" && trust.kernelSignature === "required";
}

/** A slot whose seal is damaged, or which has none where images have to be signed, is left. Throws SlotFailure then. */
export function refuseUnsealed(reading: { is: "unsealed" | "fault"; reason: string }, trust: ControlTrust): void {
  if (reading.is === "fault") throw new SlotFailure("proof", reading.reason);
  if (trust.mode === "unsigned") return;
  throw new SlotFailure("proof", `no sealed image: ${reading.reason}; make one with slipway image seal, and install it`);
}

/** What is said at every boot where anybody's image boots. */
export const UNPROVEN =
  "IMAGES ARE NOT PROVEN: the control file trusts unsigned images (trust: unsigned); give it keys before this leaves the desk";
