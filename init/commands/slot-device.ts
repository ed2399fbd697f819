import { parseReference } from "../../boot/devices/reference.ts";
import { resolve } from "../../boot/devices/resolve.ts";
import type { SlotName } from "../../boot/record/record.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import { needsOf, scanBlockDevices } from "../devices/scan.ts";
import { exists } from "../kernel/files.ts";
import type { Kernel } from "../kernel/kernel.ts";
import type { Machine } from "./machine.ts";

/** The node of a slot's device, found on the disk that this boot was from. Throws Refusal where it is not there. */
export function slotDevice(kernel: Kernel, machine: Machine, name: SlotName): string {
  const { report, control } = machine;
  if (name === report.slot) return report.slotDevice;
  const reference = parseReference(control.slots.find((slot) => slot.name === name)?.device ?? "");
  if (reference.by === "path") {
    if (exists(kernel, reference.value)) return reference.value;
    throw new Refusal(`slot ${name}: ${reference.value} is not there`);
  }
  const { devices } = scanBlockDevices(kernel, needsOf([reference]));
  const booted = devices.find((device) => device.path === (report.record.device ?? report.slotDevice));
  const disk = devices.find((device) => device.name === (booted?.disk ?? booted?.name));
  if (!disk) throw new Refusal(`slot ${name}: the disk that this boot was from is not there any more`);
  const resolution = resolve(devices, disk, reference);
  if ("found" in resolution) return resolution.found.path;
  throw new Refusal(`slot ${name}: ${"missing" in resolution ? resolution.missing : resolution.ambiguous}`);
}
