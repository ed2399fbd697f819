import { parseReference } from "../../boot/devices/reference.ts";
import { resolve } from "../../boot/devices/resolve.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import { needsOf, scanBlockDevices } from "../devices/scan.ts";
import { exists } from "../kernel/files.ts";
import type { Kernel } from "../kernel/kernel.ts";
import type { Machine } from "./machine.ts";

/**
 * The node of the device that `reference` means, found on the disk that this boot was from. Throws Refusal where it is not there.
 *
 * @param what it is, for the refusal: "slot b"
 */
export function deviceOnBootDisk(kernel: Kernel, { report }: Machine, what: string, reference: string): string {
  const wanted = parseReference(reference);
  if (wanted.by === "path") {
    if (exists(kernel, wanted.value)) return wanted.value;
    throw new Refusal(`${what}: ${wanted.value} is not there`);
  }
  const { devices } = scanBlockDevices(kernel, needsOf([wanted]));
  const anchor = report.record.device ?? report.data?.device ?? report.slotDevice;
  const booted = devices.find((device) => device.path === anchor);
  const disk = devices.find((device) => device.name === (booted?.disk ?? booted?.name));
  if (!disk) throw new Refusal(`${what}: the disk that this boot was from is not there any more`);
  const resolution = resolve(devices, disk, wanted);
  if ("found" in resolution) return resolution.found.path;
  throw new Refusal(`${what}: ${"missing" in resolution ? resolution.missing : resolution.ambiguous}`);
}
