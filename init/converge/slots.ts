import type { SlotName } from "../../boot/record/record.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import type { Machine } from "../commands/machine.ts";
import { slotDevice } from "../commands/slot-device.ts";
import { readSeal } from "../image/read-seal.ts";
import { O } from "../kernel/constants.ts";
import { exists, readTextIfThere, withOpen } from "../kernel/files.ts";
import { type Kernel, KernelError } from "../kernel/kernel.ts";
import type { Donor } from "./compare.ts";
import { OpenSlot } from "./open-slot.ts";
import { sealOf } from "./withdraw.ts";

/** Every slot but `except` that holds a sealed image that can be read, open for reading. The caller closes them. */
export function openDonors(kernel: Kernel, machine: Machine, except: SlotName | null): Donor[] {
  return machine.policy.slots
    .filter((name) => name !== except)
    .flatMap((name) => {
      try {
        const slot = OpenSlot.open(kernel, slotDevice(kernel, machine, name), "read");
        const reading = sealOf(slot, readSeal);
        if (reading.is === "sealed") return [{ name, slot, manifest: reading.seal.manifest }];
        slot.close();
      } catch (error) {
        // A slot that cannot be read helps nobody, and stands in nobody's way.
        if (!(error instanceof KernelError || error instanceof Refusal)) throw error;
      }
      return [];
    });
}

/** Opens a slot for writing. Throws Refusal where it is in use, or its device cannot be written. */
export function openTarget(kernel: Kernel, machine: Machine, name: SlotName): OpenSlot {
  const device = slotDevice(kernel, machine, name);
  const loop = loopOf(kernel, device);
  if (loop !== null)
    throw new Refusal(`slot ${name}: ${device} is in use as ${loop}; unmount what is on it (losetup -d ${loop})`);
  try {
    return OpenSlot.open(kernel, device, "write");
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    throw new Refusal(`slot ${name}: ${device} cannot be opened for writing (${error.code}); ${remedyOf(error.code)}`);
  }
}

function remedyOf(code: string): string {
  if (code === "EBUSY") return "it is mounted or in use: unmount it";
  if (code === "EROFS" || code === "EPERM" || code === "EACCES")
    return "is it set read-only (blockdev --getro), or are you not root?";
  return "is the disk still there?";
}

/** The loop device that a file is behind; null where there is none. O_EXCL tells of block devices only. */
function loopOf(kernel: Kernel, path: string): string | null {
  const blocks = "/sys/block";
  if (kernel.statusAt(path).kind !== "file" || !exists(kernel, blocks)) return null;
  const names = withOpen(kernel, blocks, O.RDONLY | O.DIRECTORY, (fd) =>
    kernel.readDirectory(fd).map(({ name }) => Buffer.from(name).toString()),
  );
  const loop = names.find((name) => readTextIfThere(kernel, `${blocks}/${name}/loop/backing_file`)?.trimEnd() === path);
  return loop === undefined ? null : `/dev/${loop}`;
}
