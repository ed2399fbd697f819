import type { MachineFacts } from "../../boot/channel/choose-release.ts";
import type { BootRecord, ImageId } from "../../boot/record/record.ts";
import { installFloor } from "../../boot/selection/floors.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import type { Machine, Places } from "../commands/machine.ts";
import { readSeal } from "../image/read-seal.ts";
import { O } from "../kernel/constants.ts";
import { readTextIfThere, sizeOf, withOpen } from "../kernel/files.ts";
import { type Kernel, KernelError } from "../kernel/kernel.ts";

/** What this machine knows of itself when it chooses a release. Throws Refusal where it cannot be told what runs. */
export function machineFacts(kernel: Kernel, places: Places, machine: Machine, record: BootRecord): MachineFacts {
  const { system, trust } = machine.control;
  return {
    system,
    running: runningImage(kernel, machine),
    installFloor: installFloor(record, trust) ?? 0,
    quarantined: record.quarantined,
    machineId: machineId(kernel, places),
  };
}

/**
 * Version and id of the image that runs, by its seal; null for an image without one. What cannot be read is not taken for none:
 * any release would count as newer then.
 */
function runningImage(kernel: Kernel, { report }: Machine): { version: string; imageId: ImageId } | null {
  const { slot, slotDevice, imageId } = report;
  const unknown = (why: string) =>
    new Refusal(
      `which version runs in slot ${slot} is not known: ${why}; see slipway status, and install an image by its own name`,
    );
  try {
    const reading = withOpen(kernel, slotDevice, O.RDONLY, (fd) => readSeal(kernel, fd, sizeOf(kernel, fd)));
    if (reading.is === "unsealed") return null;
    if (reading.is === "fault") throw unknown(reading.reason);
    const { version, rootHash } = reading.seal.manifest;
    if (rootHash === imageId) return { version, imageId };
    throw unknown(`${slotDevice} has the seal of image ${rootHash.slice(0, 12)}, booted was ${imageId.slice(0, 12)}`);
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    throw unknown(`${slotDevice} cannot be read (${error.code})`);
  }
}

/** Null for none, and for one that is still to be made: machine-id(5). */
function machineId(kernel: Kernel, { machineId: path }: Places): string | null {
  const id = readTextIfThere(kernel, path)?.trim() ?? "";
  return /^[0-9a-f]{32}$/.test(id) ? id : null;
}
