/** Where the commands find a slot's image, whether the slot is a partition or a file on the data filesystem. */
import type { SlotName } from "../../boot/record/record.ts";
import type { FileSlot, SlotDefinition } from "../../state-ops/control.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import type { SlotPlace } from "../converge/slot-place.ts";
import { loopOver } from "../devices/loop.ts";
import { refuseDpsTarget } from "../dps/read-partitions.ts";
import { O } from "../kernel/constants.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";
import { procPath, withDescriptor } from "../state/beneath.ts";
import { makeSlotFile } from "../state/make-slot-file.ts";
import { NoSlotFile, openSlotFile, openSlotFiles } from "../state/slot-files.ts";
import { withSlotData } from "./data-access.ts";
import type { Machine } from "./machine.ts";
import { deviceOnBootDisk } from "./slot-device.ts";

export function slotDefinition({ control }: Machine, name: SlotName): SlotDefinition {
  const found = control.slots.find((slot) => slot.name === name);
  if (found === undefined) throw new Refusal(`slot ${name} is not in the control file of this boot`);
  return found;
}

/**
 * The slot's device, or its file, which stays open until {@link SlotPlace.close}. The running slot is always a device. Throws
 * Refusal where it is not there, or the data filesystem with the file cannot be reached.
 */
export function openSlotPlace(kernel: Kernel, machine: Machine, name: SlotName): SlotPlace {
  const slot = slotDefinition(machine, name);
  if (name === machine.report.slot) return placeOf(machine.report.slotDevice);
  if ("device" in slot) return placeOf(deviceOnBootDisk(kernel, machine, `slot ${name}`, slot.device));
  const fd = withSlotData(kernel, machine, `slot ${name}`, (data) => openFile(kernel, data, slot));
  // The descriptor outlives the mount: whoever opens its path reaches the same file.
  return { path: String(procPath(fd)), shown: slot.file, close: () => kernel.close(fd) };
}

/**
 * The slot for an image to be written into. Its file is made where it is not there, with all of its size allocated. As
 * {@link openSlotPlace} otherwise.
 *
 * @throws Refusal also where the file has no room, or is in use as a device
 */
export function openSlotTarget(kernel: Kernel, machine: Machine, name: SlotName): SlotPlace {
  const slot = slotDefinition(machine, name);
  if (name === machine.report.slot) throw new Refusal(`slot ${name} runs; name another one`);
  refuseDpsTarget(slot);
  if ("device" in slot) return openSlotPlace(kernel, machine, name);
  const fd = withSlotData(kernel, machine, `slot ${name}`, (data) => {
    const made = refusing(name, slot.file, () => makeSlotFile(kernel, data, slot));
    const loop = loopOver(kernel, made);
    if (loop === null) return made;
    kernel.close(made);
    throw new Refusal(`slot ${name}: ${slot.file} is in use as ${loop}; unmount what is on it (losetup -d ${loop})`);
  });
  return { path: String(procPath(fd)), shown: slot.file, close: () => kernel.close(fd) };
}

/**
 * As {@link openSlotTarget}, to see what an install would do: where the slot's file is not there, one without a name stands for it,
 * and where it is in use, it is looked at all the same.
 */
export function openSlotToPlan(kernel: Kernel, machine: Machine, name: SlotName): SlotPlace {
  const slot = slotDefinition(machine, name);
  refuseDpsTarget(slot);
  if (name === machine.report.slot || "device" in slot) return openSlotPlace(kernel, machine, name);
  const open = (data: Descriptor) => {
    try {
      return withDescriptor(
        kernel,
        () => openSlotFiles(kernel, data, slot.file),
        (files) => openSlotFile(kernel, files, slot.file, O.RDONLY),
      );
    } catch (error) {
      if (error instanceof NoSlotFile) return emptyFile(kernel, data, slot.size);
      throw error;
    }
  };
  const fd = withSlotData(kernel, machine, `slot ${name}`, (data) => refusing(name, slot.file, () => open(data)));
  return { path: String(procPath(fd)), shown: slot.file, close: () => kernel.close(fd) };
}

function emptyFile(kernel: Kernel, data: Descriptor, size: number): Descriptor {
  const fd = kernel.open(".", O.TMPFILE | O.RDWR, { at: data });
  kernel.truncate(fd, BigInt(size));
  return fd;
}

/** Hands the path by which the slot can be opened to `use`. As {@link openSlotPlace} otherwise. */
export function withSlotPlace<Result>(
  kernel: Kernel,
  machine: Machine,
  name: SlotName,
  use: (place: SlotPlace) => Result,
): Result {
  const place = openSlotPlace(kernel, machine, name);
  try {
    return use(place);
  } finally {
    place.close();
  }
}

function placeOf(device: string): SlotPlace {
  return { path: device, shown: device, close: () => {} };
}

function openFile(kernel: Kernel, data: Descriptor, { name, file }: FileSlot): Descriptor {
  const directory = () => openSlotFiles(kernel, data, file);
  return refusing(name, file, () => withDescriptor(kernel, directory, (files) => openSlotFile(kernel, files, file, O.RDONLY)));
}

/** What stands in the way of a slot's file is a refusal, whatever it is. */
function refusing<Result>(name: SlotName, file: string, work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    if (error instanceof KernelError) {
      throw new Refusal(`slot ${name}: ${file} cannot be opened (${error.code}); is the disk failing?`);
    }
    throw new Refusal(`slot ${name}: ${error instanceof Error ? error.message : error}`);
  }
}
