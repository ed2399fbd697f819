/** Where PID 1 finds the slots' images, while no system runs. */

import type { SlotName } from "../../boot/record/record.ts";
import type { FileSlot, SlotDefinition } from "../../state-ops/control.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import type { SlotPlace } from "../converge/slot-place.ts";
import { loopOver } from "../devices/loop.ts";
import { refuseDpsTarget } from "../dps/read-partitions.ts";
import { O } from "../kernel/constants.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";
import { closeData, openDataIfPossible } from "../sequence/data.ts";
import { DeviceFailure } from "../sequence/devices.ts";
import { outOfReach } from "../sequence/file-slot.ts";
import { setReadOnly } from "../sequence/image.ts";
import { procPath, withDescriptor } from "../state/beneath.ts";
import { makeSlotFile } from "../state/make-slot-file.ts";
import { NoSlotFile, openSlotFile, openSlotFiles } from "../state/slot-files.ts";
import type { RecoveryDesk } from "./desk.ts";

type Desk = Pick<RecoveryDesk, "boot" | "devices" | "counters">;

/** The slot of that name in the control file. */
export function slotDefinition({ boot }: Desk, name: SlotName): SlotDefinition {
  const found = boot.control.slots.find((slot) => slot.name === name);
  if (found === undefined) throw new Refusal(`slot ${name} is not in the control file`);
  return found;
}

/**
 * The slot's device, or its file, for reading.
 *
 * @throws DeviceFailure where it is not there; NoSlotFile for a slot whose file was never made; Error where something else is in
 *   the file's place
 */
export async function findSlot(desk: Desk, slot: SlotDefinition): Promise<SlotPlace> {
  if ("device" in slot) return devicePlace(desk, slot);
  return filePlace(desk, slot, (data) => openForReading(desk.boot.kernel, data, slot));
}

/**
 * The slot for an image to be written into: its device can be written (BLKROSET), its file is made where it is not there, with
 * all of its size allocated. As {@link findSlot} otherwise.
 *
 * @throws Refusal where the data filesystem has no room for the file, or the file is in use
 */
export async function findSlotToWrite(desk: Desk, slot: SlotDefinition): Promise<SlotPlace> {
  const { kernel } = desk.boot;
  refuseDpsTarget(slot);
  if ("device" in slot) {
    const place = await devicePlace(desk, slot);
    try {
      setReadOnly(kernel, place.path, false);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      throw new DeviceFailure(
        `slot ${slot.name}: ${place.path} cannot be made writable (${error.code}); is the disk still there?`,
      );
    }
    return place;
  }
  return filePlace(desk, slot, (data) => {
    const fd = makeSlotFile(kernel, data, slot);
    const loop = loopOver(kernel, fd);
    if (loop === null) return fd;
    kernel.close(fd);
    throw new Refusal(`slot ${slot.name}: ${slot.file} is in use as ${loop}`);
  });
}

/** Bytes that the slot's file has or will have: it is made as large as declared, and one that is larger stays so. */
export async function sizeOfSlotFile(desk: Desk, slot: FileSlot): Promise<number> {
  const { kernel } = desk.boot;
  try {
    const place = await filePlace(desk, slot, (data) => openForReading(kernel, data, slot));
    try {
      return Math.max(slot.size, Number(kernel.status(place.fd).size));
    } finally {
      place.close();
    }
  } catch (error) {
    if (error instanceof NoSlotFile) return slot.size;
    throw error;
  }
}

async function devicePlace({ devices }: Desk, slot: Extract<SlotDefinition, { device: string }>): Promise<SlotPlace> {
  const { path } = await devices.find(`slot ${slot.name}`, slot.device);
  return { path, shown: path, close: () => {} };
}

function openForReading(kernel: Kernel, data: Descriptor, { file }: FileSlot): Descriptor {
  const directory = () => openSlotFiles(kernel, data, file);
  return withDescriptor(kernel, directory, (files) => openSlotFile(kernel, files, file, O.RDONLY));
}

/** Mounts the data filesystem, opens the slot's file with `open`, and lets go of all but the file. */
async function filePlace(
  desk: Desk,
  slot: FileSlot,
  open: (data: Descriptor) => Descriptor,
): Promise<SlotPlace & { fd: Descriptor }> {
  const { boot, devices, counters } = desk;
  const { kernel, control } = boot;
  const { data, missing } = await openDataIfPossible(boot, {
    knownData: counters.record.dataFilesystem,
    findDevice: () => devices.find("the data filesystem", control.data?.device ?? ""),
    opened: null,
    checked: null,
  });
  if (data === null) throw new DeviceFailure(outOfReach(slot.file, missing));
  try {
    const fd = open(data.root);
    // The descriptor outlives the mount: whoever opens its path reaches the same file.
    return { fd, path: String(procPath(fd)), shown: slot.file, close: () => kernel.close(fd) };
  } finally {
    closeData(kernel, data);
  }
}
