/** A machine of commands-machine.ts whose slot a runs a sealed image, and that believes what one key signs. */
import { BLOCK } from "../../boot/image/verity.ts";
import type { BootRecord } from "../../boot/record/record.ts";
import { O } from "../../init/kernel/constants.ts";
import { sizeOf, withOpen } from "../../init/kernel/files.ts";
import type { ControlFile } from "../../state-ops/control.ts";
import type { SealedImage, TestKey } from "../samples/sealed-image.ts";
import { type MachineOptions, record, report, slot, TestMachine } from "./commands-machine.ts";

export const MACHINE_ID = "0123456789abcdef0123456789abcdef";

export function trusting(keys: readonly TestKey[], threshold = 1, rollbackFloor = 0): Pick<ControlFile, "system" | "trust"> {
  return {
    system: "acme",
    trust: {
      mode: "signed",
      keys: keys.map(({ key }) => key.raw.toHex()),
      threshold,
      rollbackFloor,
      kernelSignature: "ignored",
    },
  };
}

/** Slot a runs `image`; `change` is what its boot record says otherwise. */
export function sealedMachine(image: SealedImage, options: MachineOptions, change: Partial<BootRecord> = {}): TestMachine {
  const { rootHash: imageId } = image.manifest;
  const machine = new TestMachine({
    record: record({
      slots: { a: slot({ priority: 2, imageId }), b: slot() },
      lastCommitted: { slot: "a", imageId },
      ...change,
    }),
    report: report({ imageId }),
    ...options,
    root: { "etc/machine-id": `${MACHINE_ID}\n`, ...options.root },
  });
  putImage(machine, "/dev/vda2", image.bytes);
  return machine;
}

/** Writes an image as an install does: its footer at the end of the device. */
export function putImage({ kernel }: TestMachine, device: string, bytes: Uint8Array): void {
  withOpen(kernel, device, O.RDWR, (fd) => {
    kernel.write(fd, bytes.subarray(0, bytes.length - BLOCK), 0n);
    kernel.write(fd, bytes.subarray(bytes.length - BLOCK), sizeOf(kernel, fd) - BigInt(BLOCK));
  });
}

/** What the work fails with. Throws where it does not. */
export async function failure(work: Promise<unknown>): Promise<Error> {
  try {
    await work;
  } catch (error) {
    if (error instanceof Error) return error;
  }
  throw new Error("it was taken");
}
