/** The unified kernel image that a slot's image brings for itself, taken to where systemd-boot looks for it. */
import type { ImageId, SlotName } from "../../boot/record/record.ts";
import { SlotFailure } from "../../boot/selection/attempt.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import { bootnameOf } from "../../state-ops/slot-file.ts";
import { VerityUnavailable } from "../image/verity-device.ts";
import { O } from "../kernel/constants.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";
import { isCode, openBeneath, withDescriptor } from "../state/beneath.ts";
import { BlsStore } from "../store/loader-store/bls.ts";
import type { Machine } from "./machine.ts";
import { reachStore } from "./open-record.ts";
import { provenImage } from "./proven-image.ts";
import { slotDefinition } from "./slot-place.ts";

/** Directory in an image of what a slot is started with: BOOTNAME.efi for each slot, since the slot is in its signed command line. */
export const UKI_DIRECTORY = "usr/lib/slipway/uki";

/** What was done, and what somebody may not expect; a sentence each. */
export interface Brought {
  did: string[];
  warnings: string[];
}

export const NOTHING: Brought = { did: [], warnings: [] };

/**
 * Makes ready to take the image's own unified kernel image to the loader's directory, where the control file has one of those.
 * The seal of the slot's image is believed first; what is given back copies the file, each block of which is proven as it is read.
 * Call that before the slot is activated. Both throw Refusal.
 */
export async function bringUki(kernel: Kernel, machine: Machine, slot: SlotName): Promise<(imageId: ImageId) => Brought> {
  const { bootRecord } = machine.control;
  const isWanted = bootRecord?.store === "bls" && bootRecord.bls.directory === "EFI/Linux" && slot !== machine.report.slot;
  if (!isWanted) return () => NOTHING;
  const { store, missing } = reachStore(kernel, machine, bootRecord);
  if (!(store instanceof BlsStore)) throw new Refusal(`the bootloader's store cannot be reached: ${missing}`);
  const named = { name: slot, bootname: bootnameOf(slotDefinition(machine, slot)) };
  const path = `${UKI_DIRECTORY}/${named.bootname}.efi`;
  const look = await provenImage(kernel, machine, slot, "uki");
  const copy = (file: Descriptor, imageId: ImageId): Brought => {
    const name = store.bringImage(named, `-${imageId.slice(0, 12)}`, file);
    if (name === null) return NOTHING;
    return { did: [`Its unified kernel image lies in ${store.place} as ${name} until it is activated.`], warnings: [] };
  };
  return (imageId) =>
    refusing(slot, () =>
      look((root) => {
        const file = openIfThere(kernel, root, path);
        if (file !== null)
          return withDescriptor(
            kernel,
            () => file,
            (fd) => copy(fd, imageId),
          );
        const warning = `the image in slot ${slot} brings no /${path}: the slot is started with the unified kernel image that it has`;
        return { did: [], warnings: [warning] };
      }),
    );
}

function openIfThere(kernel: Kernel, root: Descriptor, path: string): Descriptor | null {
  try {
    return openBeneath(kernel, root, path, O.RDONLY);
  } catch (error) {
    if (isCode(error, "ENOENT", "ENOTDIR")) return null;
    throw error;
  }
}

function refusing<Result>(slot: SlotName, work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    if (error instanceof KernelError)
      throw new Refusal(`slot ${slot}: its unified kernel image cannot be taken over (${error.message})`);
    if (error instanceof VerityUnavailable || error instanceof SlotFailure) throw new Refusal(`slot ${slot}: ${error.message}`);
    throw error;
  }
}
