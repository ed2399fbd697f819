/** The image in a slot that does not run, looked into as PID 1 would mount it: each block is proven as it is read. */
import { judgeSeal, needsKernelSignature, refuseUnsealed } from "../../boot/image/judge-seal.ts";
import type { Manifest } from "../../boot/image/seal.ts";
import { verityName } from "../../boot/image/verity-table.ts";
import type { SlotName } from "../../boot/record/record.ts";
import { SlotFailure } from "../../boot/selection/attempt.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import type { SlotPlace } from "../converge/slot-place.ts";
import { attachLoop } from "../devices/loop.ts";
import { VerityDevice } from "../image/verity-device.ts";
import { O } from "../kernel/constants.ts";
import { withOpen } from "../kernel/files.ts";
import type { Descriptor, Kernel } from "../kernel/kernel.ts";
import { readSlotImage } from "../store/image-id.ts";
import { ownArchitecture } from "../version.ts";
import { withSlotImage } from "./data-access.ts";
import type { Machine } from "./machine.ts";
import { withSlotPlace } from "./slot-place.ts";

/**
 * Believes the slot's seal, or throws Refusal. What it gives mounts the image for as long as it is looked into; that throws
 * VerityUnavailable, SlotFailure and KernelError too.
 *
 * @param purpose ends the name of the dm-verity device
 */
export async function provenImage(
  kernel: Kernel,
  machine: Machine,
  slot: SlotName,
  purpose: string,
): Promise<<Result>(use: (root: Descriptor) => Result) => Result> {
  const manifest = await withSlotPlace(kernel, machine, slot, (place) => judgedManifest(kernel, machine, place));
  return (use) =>
    withSlotPlace(kernel, machine, slot, (place) =>
      withDevice(kernel, place, (device) =>
        withProven(kernel, machine, { slot, device, manifest, purpose }, (proven) => withSlotImage(kernel, slot, proven, use)),
      ),
    );
}

/** What the slot's seal says, once it is believed; null where there is none and none is asked for. */
async function judgedManifest(kernel: Kernel, { control }: Machine, { path }: SlotPlace): Promise<Manifest | null> {
  const { reading } = readSlotImage(kernel, path);
  try {
    if (reading.is === "sealed") {
      await judgeSeal(reading.seal, { ...control, architecture: ownArchitecture });
      return reading.seal.manifest;
    }
    refuseUnsealed(reading, control.trust);
    return null;
  } catch (error) {
    throw error instanceof SlotFailure ? new Refusal(error.message) : error;
  }
}

/** The slot as a block device: dm-verity and mounts want one. */
function withDevice<Result>(kernel: Kernel, { path, shown }: SlotPlace, use: (device: string) => Result): Result {
  if (path === shown) return use(path);
  const loop = withOpen(kernel, path, O.RDONLY, (file) => attachLoop(kernel, file, shown));
  try {
    return use(loop.path);
  } finally {
    kernel.close(loop.held);
  }
}

interface ProvenSlot {
  slot: SlotName;
  device: string;
  manifest: Manifest | null;
  purpose: string;
}

function withProven<Result>(
  kernel: Kernel,
  { control }: Machine,
  { slot, device, manifest, purpose }: ProvenSlot,
  use: (proven: string) => Result,
): Result {
  if (manifest === null) return use(device);
  const number = kernel.statusAt(device).node;
  const kernelSignature = needsKernelSignature(control.trust);
  const verity = VerityDevice.create(kernel, { name: `${verityName(slot)}-${purpose}`, manifest, number, kernelSignature });
  try {
    return use(verity.path);
  } finally {
    verity.remove();
  }
}
