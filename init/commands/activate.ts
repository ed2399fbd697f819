import type { ImageId } from "../../boot/record/record.ts";
import { activate } from "../../boot/selection/running.ts";
import { slotOf } from "../../boot/selection/slots.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import { type Kernel, KernelError } from "../kernel/kernel.ts";
import { linuxKernel } from "../kernel/linux.ts";
import { readImageId } from "../store/image-id.ts";
import { refuseWithoutSpace } from "./activation-space.ts";
import { type Answer, finish } from "./answer.ts";
import { changeRecord, PLACES, type Places, requireSlot, writeRecord } from "./machine.ts";
import { type SlotPlace, withSlotPlace } from "./slot-place.ts";
import { flag, type Verb } from "./verb.ts";

function imageIn(kernel: Kernel, slot: string, { path, shown }: SlotPlace): ImageId {
  try {
    const imageId = readImageId(kernel, path);
    if (imageId !== null) return imageId;
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    throw new Refusal(`slot ${slot}: ${shown} cannot be read (${error.code}); is the disk failing?`);
  }
  throw new Refusal(`slot ${slot} is empty: the first 68 KiB of ${shown} are zero; put an image there first`);
}

/**
 * Makes the next boot choose `name`, on trial unless the very image it holds was committed there. Throws BadInput for a
 * slot that is not there, Refusal for an empty one, where the rules of selection forbid it and where its first boot would
 * find no space to clone the state, Error where the record cannot be written.
 */
export function activateSlot(kernel: Kernel, places: Places, name: string): Answer {
  return changeRecord(kernel, places, "slipway activate", ({ machine, store, record }) => {
    const slot = requireSlot(machine, name);
    const { slot: running } = machine.report;
    const imageId = withSlotPlace(kernel, machine, slot, (place) => imageIn(kernel, slot, place));
    const activated = activate(record, slot, imageId, running, machine.policy);
    const changed = JSON.stringify(activated) !== JSON.stringify(record);
    const warnings = changed ? refuseWithoutSpace(kernel, places, machine, activated, slot) : [];
    if (changed) writeRecord(store, activated);
    const { state, tries } = slotOf(activated, slot);
    const as = state === "committed" ? "as a committed slot" : "on trial";
    return {
      slot,
      changed,
      did: [`The next boot is slot ${slot} with image ${imageId.slice(0, 12)}, ${as} with ${tries} tries.`],
      warnings,
      next: slot === running ? "nothing to do: the slot runs already." : `reboot (systemctl reboot) to go to slot ${slot}.`,
    };
  });
}

export const verb: Verb = {
  help: `
Usage: slipway activate SLOT [--reboot] [--json]

Makes the next boot choose SLOT: on trial with a few tries, unless the very image that it holds was committed there before.
Refused for an empty slot, while the running slot is on trial, while another slot waits for its trial, and where the data
filesystem has no space for the clone of the state that the slot's first boot makes.

Options:
  --reboot  reboot at once
  --json    print one JSON object: slot, changed, did, warnings, next`,
  options: { reboot: { type: "boolean" }, json: { type: "boolean" } },
  positionals: ["SLOT"],
  async run(values, [slot = ""]) {
    const answer = activateSlot(linuxKernel(), PLACES, slot);
    return finish(answer, { json: flag(values, "json"), reboot: flag(values, "reboot") }, PLACES);
  },
};
