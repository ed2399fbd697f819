/** Where the commands find a slot's image, whether the slot is a partition or a file on the data filesystem. */
import type { SlotName } from "../../boot/record/record.ts";
import type { FileSlot, SlotDefinition } from "../../state-ops/control.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import { O } from "../kernel/constants.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";
import { procPath, withDescriptor } from "../state/beneath.ts";
import { openSlotFile, openSlotFiles } from "../state/slot-files.ts";
import { withSlotData } from "./data-access.ts";
import type { Machine } from "./machine.ts";
import { deviceOnBootDisk } from "./slot-device.ts";

/** A slot that can be opened. */
export interface SlotPlace {
  /** Opens the device, or the file: "/dev/vda3". */
  path: string;
  /** As people know it: "/dev/vda3", "images/c.img". */
  shown: string;
  close(): void;
}

export function slotDefinition({ control }: Machine, name: SlotName): SlotDefinition {
  const found = control.slots.find((slot) => slot.name === name);
  if (found === undefined) throw new Refusal(`slot ${name} is not in the control file of this boot`);
  return found;
}

/** How people know a slot's place, whether or not it is there. */
export function slotPlaceName(machine: Machine, name: SlotName): string {
  const slot = slotDefinition(machine, name);
  return "file" in slot ? slot.file : slot.device;
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
  try {
    return withDescriptor(
      kernel,
      () => openSlotFiles(kernel, data, file),
      (files) => openSlotFile(kernel, files, file, O.RDONLY),
    );
  } catch (error) {
    if (error instanceof KernelError)
      throw new Refusal(`slot ${name}: ${file} cannot be opened (${error.code}); is the disk failing?`);
    throw new Refusal(`slot ${name}: ${error instanceof Error ? error.message : error}`);
  }
}
