import { judgeSeal } from "../../../boot/image/judge-seal.ts";
import { neededArchitecture, type Seal } from "../../../boot/image/seal.ts";
import { SlotFailure } from "../../../boot/selection/attempt.ts";
import type { ControlFile } from "../../../state-ops/control.ts";
import { ownArchitecture } from "../../version.ts";

/** Why machines whose initrd has this control file would not boot the image, a line each. The one in an image is usually theirs. */
export async function refusals({ system, trust }: ControlFile, seal: Seal): Promise<string[]> {
  const would = "machines whose initrd has this control file would refuse the image";
  const reasons: string[] = [];
  try {
    const architecture = neededArchitecture(seal.manifest.needs) ?? ownArchitecture;
    await judgeSeal(seal, { system, trust, architecture });
  } catch (error) {
    if (!(error instanceof SlotFailure)) throw error;
    reasons.push(error.message);
  }
  const { rollbackIndex } = seal.manifest;
  if (trust.mode === "signed" && rollbackIndex < trust.rollbackFloor) {
    reasons.push(`its rollback index is ${rollbackIndex}, and their rollback-floor ${trust.rollbackFloor}`);
  }
  return reasons.map((reason) => `${would}: ${reason}`);
}
