import { bootloaderRecord, refuseDuringTrial } from "../../boot/bootloader/record.ts";
import type { ImageId } from "../../boot/record/record.ts";
import { whyBelowFloor } from "../../boot/selection/floors.ts";
import { activate } from "../../boot/selection/running.ts";
import { slotOf } from "../../boot/selection/slots.ts";
import { BadInput, Refusal } from "../../state-ops/outcome.ts";
import type { SlotPlace } from "../converge/slot-place.ts";
import { type DpsSlot, isDpsSlot, rootHashOf } from "../dps/read-partitions.ts";
import type { SealReading } from "../image/read-seal.ts";
import { type Kernel, KernelError } from "../kernel/kernel.ts";
import { linuxKernel } from "../kernel/linux.ts";
import { readSlotImage } from "../store/image-id.ts";
import { refuseWithoutSpace } from "./activation-space.ts";
import { type Answer, finish, print } from "./answer.ts";
import { type Change, changeRecord, writeRecord } from "./change-record.ts";
import { finishByKexec, KEXEC_HELP, refuseTwoWays, requireKexec } from "./kexec.ts";
import { refuseUnheard } from "./loader-facts.ts";
import { type Machine, PLACES, type Places, readMachine, requireSlot } from "./machine.ts";
import { deviceOnBootDisk } from "./slot-device.ts";
import { slotDefinition, withSlotPlace } from "./slot-place.ts";
import { type Brought, bringUki, NOTHING } from "./slot-uki.ts";
import { flag, type Verb } from "./verb.ts";

function imageIn(kernel: Kernel, slot: string, { path, shown }: SlotPlace): { imageId: ImageId; reading: SealReading } {
  try {
    const { imageId, reading } = readSlotImage(kernel, path);
    if (imageId !== null) return { imageId, reading };
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    throw new Refusal(`slot ${slot}: ${shown} cannot be read (${error.code}); is the disk failing?`);
  }
  throw new Refusal(`slot ${slot} is empty: the first 68 KiB of ${shown} are zero; put an image there first`);
}

/** The root hash in the slot's own partitions. Who signed it is left to the boot. */
function dpsImageIn(kernel: Kernel, machine: Machine, slot: DpsSlot): { imageId: ImageId; reading: null } {
  const find = (reference: string) => deviceOnBootDisk(kernel, machine, `slot ${slot.name}`, reference);
  const signature = slot.signature === undefined ? null : find(slot.signature);
  try {
    return { imageId: rootHashOf(kernel, { data: find(slot.device), tree: find(slot.verity), signature }), reading: null };
  } catch (error) {
    if (error instanceof BadInput) throw new Refusal(`slot ${slot.name}: ${error.message}`);
    if (!(error instanceof KernelError)) throw error;
    throw new Refusal(`slot ${slot.name} cannot be read (${error.message}); is the disk failing?`);
  }
}

/**
 * What the next boot would refuse at once is refused here. Who signed the seal is left to it: it falls back in the same boot.
 *
 * @throws Refusal
 */
function refuseUnbootable({ machine, record }: Change, slot: string, reading: SealReading): void {
  const { control } = machine;
  const repair = `run "slipway repair ${slot}", or install an image there`;
  if (reading.is === "fault") throw new Refusal(`slot ${slot} is damaged: ${reading.reason}; ${repair}`);
  if (reading.is === "unsealed") {
    if (control.trust.mode === "unsigned") return;
    throw new Refusal(`slot ${slot} holds no sealed image (${reading.reason}), and this machine boots signed ones only`);
  }
  const { system, version, rollbackIndex } = reading.seal.manifest;
  if (system !== control.system) {
    throw new Refusal(`slot ${slot} holds an image for the system ${system}, and this machine is a ${control.system}`);
  }
  const tooOld = whyBelowFloor(record, rollbackIndex, control.trust);
  if (tooOld !== null) throw new Refusal(`image ${version} in slot ${slot} is too old: ${tooOld}`);
}

/**
 * Makes the next boot choose `name`, on trial unless the very image it holds was committed there. Throws BadInput for a
 * slot that is not there, Refusal for an empty one, for one whose image could not boot, where the rules of selection forbid it
 * and where its first boot would find no space to clone the state, Error where the record cannot be written.
 *
 * @param bring what {@link bringUki} made ready
 */
export function activateSlot(
  kernel: Kernel,
  places: Places,
  name: string,
  bring: (imageId: ImageId) => Brought = () => NOTHING,
): Answer {
  return changeRecord(kernel, places, "slipway activate", (facts) => {
    const { machine, store, record } = facts;
    const slot = requireSlot(machine, name);
    refuseUnheard(kernel, places, machine);
    const { slot: running } = machine.report;
    const definition = slotDefinition(machine, slot);
    const { imageId, reading } = isDpsSlot(definition)
      ? dpsImageIn(kernel, machine, definition)
      : withSlotPlace(kernel, machine, slot, (place) => imageIn(kernel, slot, place));
    if (slot !== running && reading !== null) refuseUnbootable(facts, slot, reading);
    const activated = activate(record, slot, imageId, running, machine.policy);
    // Going back to a committed slot may be what a bad bootloader is left by.
    if (slotOf(activated, slot).state !== "committed") refuseDuringTrial(bootloaderRecord(record.bootloader));
    const changed = JSON.stringify(activated) !== JSON.stringify(record);
    const warnings = changed ? refuseWithoutSpace(kernel, places, machine, activated, slot) : [];
    const brought = changed ? bring(imageId) : NOTHING;
    if (changed) writeRecord(store, activated);
    const { state, tries } = slotOf(activated, slot);
    const as = state === "committed" ? "as a committed slot" : "on trial";
    return {
      slot,
      changed,
      did: [...brought.did, `The next boot is slot ${slot} with image ${imageId.slice(0, 12)}, ${as} with ${tries} tries.`],
      warnings: [...warnings, ...brought.warnings],
      next: slot === running ? "nothing to do: the slot runs already." : `reboot (systemctl reboot) to go to slot ${slot}.`,
    };
  });
}

export const verb: Verb = {
  help: `
Usage: slipway activate SLOT [--reboot|--kexec] [--json]

Makes the next boot choose SLOT: on trial with a few tries, unless the very image that it holds was committed there before.
Refused for an empty slot, for an image that could not boot here (too old, for another system, a damaged seal), while the
running slot is on trial, while another slot waits for its trial, for a trial while the bootloader is on trial, where the
bootloader reads another store than slipway writes, and where the data filesystem has no space for the clone of the state that
the slot's first boot makes.

Where systemd-boot starts unified kernel images (boot-record: bls in EFI/Linux), the one that the image brings for the slot takes
the place of the one that the slot has, as at slipway install.

Options:
  --reboot     reboot at once
  ${KEXEC_HELP}
  --json       print one JSON object: slot, changed, did, warnings, next`,
  options: { reboot: { type: "boolean" }, kexec: { type: "boolean" }, json: { type: "boolean" } },
  positionals: ["SLOT"],
  async run(values, [slot = ""]) {
    const kernel = linuxKernel();
    const how = { reboot: flag(values, "reboot"), kexec: flag(values, "kexec") };
    const json = flag(values, "json");
    refuseTwoWays(how);
    if (how.kexec) requireKexec(kernel);
    const machine = readMachine(kernel, PLACES);
    const answer = activateSlot(kernel, PLACES, slot, await bringUki(kernel, machine, requireSlot(machine, slot)));
    if (how.kexec && answer.slot !== machine.report.slot)
      return finishByKexec(kernel, PLACES, answer, (told) => print(told, json));
    return finish(answer, { json, reboot: how.reboot }, PLACES);
  },
};
