import { refuseLarge } from "../../boot/converge/preflight.ts";
import { type Phase, Rate } from "../../boot/converge/progress-text.ts";
import type { ImageLayout, Seal } from "../../boot/image/seal.ts";
import { BLOCK } from "../../boot/image/verity.ts";
import type { SlotName } from "../../boot/record/record.ts";
import type { Donor } from "../converge/compare.ts";
import { type Converged, converge, type Wanted } from "../converge/converge.ts";
import type { OpenSlot } from "../converge/open-slot.ts";
import { donorAt, openToWrite } from "../converge/slot-place.ts";
import type { ImageSource } from "../converge/source.ts";
import type { RecoveryDesk } from "./desk.ts";
import { findSlot, findSlotToWrite, sizeOfSlotFile, slotDefinition } from "./slot-places.ts";
import { SlotSource } from "./slot-source.ts";

/** An image that was judged. */
export interface ImageToHold {
  seal: Seal;
  layout: ImageLayout;
  /** Null: what the machine's slots hold has to do. */
  source: ImageSource | null;
}

/** Longest time between two turns of the event loop, milliseconds: signals, the network's timers and the screen wait for them. */
const TURN_EVERY = 100;

/**
 * Makes a slot hold an image, whole and read back: blocks that it holds already, then those of the other slots, then the source's.
 * Where the slot holds that image, only what is damaged is written, and `withdraw` is not called. Else it is called before the
 * slot's image is taken away: it makes durable that nothing boots from the slot. Where this throws, what has come is kept, and the
 * next call goes on with it, after a power cut too.
 *
 * @throws Refusal where the slot cannot be written, or is too small; DeviceFailure where it is not there; SourceNeeded, with the
 *   number of blocks, and TreeMissing where the machine has not all of them and there is no source; SourceError where the source
 *   fails; WriteFailed and BadMedium, which name the device, where the disk does; what `withdraw` throws; the reason of the desk's
 *   signal where it is given up
 */
export async function makeSlotHold(
  desk: RecoveryDesk,
  slot: SlotName,
  image: ImageToHold,
  withdraw: () => void,
): Promise<Converged> {
  const { seal, layout } = image;
  // What a slot has is had as a donor's blocks, or not at all.
  const source = image.source instanceof SlotSource ? null : image.source;
  const target = await openTarget(desk, slot, seal);
  const donors: Donor[] = [];
  try {
    donors.push(...(await openDonors(desk, slot)));
    const wanted = { seal, layout, source, target, donors, withdraw, told: progressTo(desk, source), breathe: turns(desk) };
    return await converge(wanted);
  } catch (error) {
    desk.signal.throwIfAborted();
    throw error;
  } finally {
    for (const donor of donors) donor.slot.close();
    target.close();
    desk.screen.show({ progress: null });
  }
}

async function openTarget(desk: RecoveryDesk, name: SlotName, seal: Seal): Promise<OpenSlot> {
  const slot = slotDefinition(desk, name);
  const { system, version } = seal.manifest;
  const facts = { name: `${system} ${version}`, seal };
  // Before a file is made that is of no use.
  if ("file" in slot) refuseLarge(facts, name, await sizeOfSlotFile(desk, slot));
  const target = openToWrite(desk.boot.kernel, name, await findSlotToWrite(desk, slot));
  try {
    refuseLarge(facts, name, target.size);
    return target;
  } catch (error) {
    target.close();
    throw error;
  }
}

/** Every other slot that holds a sealed image, whoever signed it: each block is checked against the wanted image's tree. */
async function openDonors(desk: RecoveryDesk, target: SlotName): Promise<Donor[]> {
  const donors: Donor[] = [];
  for (const slot of desk.boot.control.slots) {
    if (slot.name === target) continue;
    try {
      const donor = donorAt(desk.boot.kernel, slot.name, await findSlot(desk, slot));
      if (donor !== null) donors.push(donor);
    } catch (error) {
      // A slot that cannot be read helps nobody, and stands in nobody's way.
      if (!(error instanceof Error)) throw error;
      desk.boot.log.notice(`slot ${slot.name} gives no blocks: ${error.message}`);
    }
  }
  return donors;
}

/** Shows how far it came, and that it gets on. */
function progressTo(desk: RecoveryDesk, source: ImageSource | null): Wanted["told"] {
  let phase: Phase | null = null;
  let rate = new Rate();
  return (step) => {
    if (step.phase !== phase) {
      phase = step.phase;
      rate = new Rate();
    }
    rate.add(desk.boot.kernel.now().bootMs, step.done * BLOCK);
    desk.advanced();
    desk.screen.show({ progress: { ...step, network: source?.transferred ?? 0, rate: rate.perSecond } });
  };
}

function turns({ boot, signal }: RecoveryDesk): () => Promise<void> {
  let turned = boot.kernel.now().bootMs;
  return async () => {
    signal.throwIfAborted();
    if (boot.kernel.now().bootMs - turned < TURN_EVERY) return;
    await boot.breathe();
    turned = boot.kernel.now().bootMs;
  };
}
