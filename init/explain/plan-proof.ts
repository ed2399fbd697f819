import type { BlockDevice } from "../../boot/devices/block-device.ts";
import { judgeSeal, needsKernelSignature, refuseUnsealed } from "../../boot/image/judge-seal.ts";
import { decodeSeal, type Manifest } from "../../boot/image/seal.ts";
import {
  canRestartOnError,
  createStep,
  type DmStep,
  loadStep,
  resumeStep,
  signatureKeyName,
  type VerityTable,
  verityName,
  verityOptions,
} from "../../boot/image/verity-table.ts";
import { SlotFailure } from "../../boot/selection/attempt.ts";
import { whyBelowFloor } from "../../boot/selection/floors.ts";
import { noImage } from "../../boot/slot-image.ts";
import { ownArchitecture } from "../version.ts";
import type { ImageFacts } from "./facts.ts";
import type { Effect, PlannedProof, SlotPlan } from "./plan-shape.ts";
import type { Planning } from "./planning.ts";

/** Of the first device of device-mapper, which the slot's is: the initrd has no other. */
const VERITY_DEVICE = "/dev/dm-0";

/** Plans the proof of the image in a slot, and puts its effects into the plan. Throws SlotFailure where the slot has to be left. */
export async function planProof(
  planning: Planning,
  plan: SlotPlan,
  device: Pick<BlockDevice, "path" | "number">,
  { imageId, seal: reading }: ImageFacts,
): Promise<PlannedProof> {
  const { control, record, unknown } = planning;
  if (imageId === null) throw new SlotFailure("boot", noImage(device.path));
  if (reading.is !== "sealed") {
    refuseUnsealed(reading, control.trust);
    plan.checks.push(`not proven: ${reading.reason}`);
    return { proof: "none", signers: [], manifest: null, verity: null };
  }
  const seal = decodeSeal(new TextEncoder().encode(reading.text));
  const { manifest } = seal;
  const signers = await judgeSeal(seal, { ...control, architecture: ownArchitecture });
  const tooOld = whyBelowFloor(record.record, manifest.rollbackIndex, control.trust);
  if (tooOld !== null) throw new SlotFailure("boot", `image ${manifest.version} is too old: ${tooOld}`);
  plan.checks.push(sealSentence(manifest, signers));
  const wholeSince = record.whyReadWhole;
  if (wholeSince !== null) {
    unknown.push(`what reading slot ${plan.slot} whole shows, as PID 1 would ${wholeSince}; taken to be sound`);
    plan.checks.push(`it is read whole against its hash tree, ${wholeSince}`);
    record.wholeSlotRead();
    plan.effects.image.push(...record.takeEffects());
  }
  const verity = planVerity(planning, plan, device, manifest);
  return { proof: control.trust.mode, signers, manifest, verity };
}

function sealSentence({ version, system, rollbackIndex }: Manifest, signers: readonly string[]): string {
  const by =
    signers.length === 0 ? "signed by nobody who has to" : `signed by ${signers.map((id) => id.slice(0, 12)).join(", ")}`;
  return `its seal: ${system} ${version}, rollback index ${rollbackIndex}, ${by}`;
}

function planVerity(
  planning: Planning,
  plan: SlotPlan,
  { number }: Pick<BlockDevice, "number">,
  manifest: Manifest,
): PlannedProof["verity"] {
  const { facts, control, unknown } = planning;
  const version = facts.machine.verity;
  if (version === null) unknown.push("which dm-verity the initrd's kernel has: it is not loaded here; taken to be there");
  const name = verityName(plan.slot);
  const key = needsKernelSignature(control.trust) ? signatureKeyName(name) : null;
  const restartOnError = version !== null && canRestartOnError(version);
  const table = (mode: VerityTable["mode"]): VerityTable => ({
    device: number,
    manifest,
    mode,
    restartOnError,
    signatureKey: key,
  });
  const effect = (step: DmStep): Effect => ({ do: "device-mapper", ...step });
  const load = (mode: VerityTable["mode"]): Effect[] => [effect(loadStep(name, table(mode))), effect(resumeStep(name))];
  const length = Buffer.from(manifest.kernelSignature ?? "", "base64").length;
  if (key !== null) plan.effects.image.push({ do: "add-key", name: key, length });
  plan.effects.image.push(effect(createStep(name, manifest)), ...load("look"));
  plan.checks.push(
    `the kernel checks every block under root hash ${manifest.rootHash.slice(0, 12)} (dm-verity ${VERITY_DEVICE})`,
  );
  return { device: VERITY_DEVICE, options: verityOptions(table("armed")), arm: load("armed") };
}
