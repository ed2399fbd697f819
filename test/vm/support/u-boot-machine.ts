/** Machines of small roots that U-Boot starts: arm64 only, `npm run test:vm -- --arch arm64`. */
import { statSync } from "node:fs";
import { consoleWord, guestArchitecture } from "../../../qemu/architecture.ts";
import { throwAwayCopy } from "../../../qemu/disks.ts";
import { guestKernel } from "../../../qemu/kernel.ts";
import { type Machine, startMachine } from "../../../qemu/machine.ts";
import type { MachineOptions } from "../../../qemu/machine-options.ts";
import { madeOf } from "../../../qemu/product.ts";
import { freshFlash, type UBootSettings, uBootPartitions, uBootScript } from "../../../qemu/u-boot.ts";
import { type SmallMachineSpec, smallDisk, smallInitrd, type Told, toEnd } from "./small-machine.ts";

/** Whether this run's machines are of the kind that Debian has such a U-Boot for. */
export const hasUBoot = guestArchitecture === "arm64";

export interface UBootMachine {
  disk: string;
  flash: string;
}

export interface UBootMachineSpec extends SmallMachineSpec {
  system: string;
  settings?: UBootSettings;
  /** What the partition uboot-env begins with. */
  environment?: Uint8Array;
}

const MIB = 1024 * 1024;

/** Disk and flash of a machine whose kernel and initrd lie on the boot partition, one for all slots. */
export async function uBootMachine(spec: UBootMachineSpec): Promise<UBootMachine> {
  const { kernel } = await guestKernel(spec.initrd?.flavour);
  const initrd = await smallInitrd(spec.system, spec.initrd, spec.beside);
  const mebibytes = Math.ceil((statSync(kernel).size + statSync(initrd).size) / MIB) + 16;
  const script = uBootScript({ ...spec.settings, lines: { "console=ttyAMA0": consoleWord(), ...spec.settings?.lines } });
  const files = { Image: { file: kernel }, initrd: { file: initrd } };
  const partitions = await uBootPartitions(script, files, {
    mebibytes,
    ...(spec.environment && { environment: spec.environment }),
  });
  const disk = await smallDisk({ size: "768M", ...spec, partitions });
  const flash = await madeOf("u-boot-flash", [], async (aside) => void freshFlash(`${aside}/flash`));
  return { disk, flash: throwAwayCopy(`${flash}/flash`) };
}

export function startUBoot(machine: UBootMachine, options: Partial<MachineOptions> = {}): Promise<Machine> {
  return startMachine({
    memoryMiB: 768,
    timeoutMs: 240_000,
    disks: [{ file: machine.disk }],
    ...options,
    firmware: { kind: "u-boot", flash: machine.flash },
  });
}

/** Starts it, however often it restarts, and waits until a small root ran to its end. */
export async function bootUBoot(machine: UBootMachine, options: Partial<MachineOptions> = {}): Promise<Told & { boots: number }> {
  const started = await startUBoot(machine, options);
  const told = await toEnd(started);
  return { ...told, boots: started.boots };
}

/** Which slots U-Boot started, in the order in which it did: "A" for each line "slipway: slot A, …". */
export function startedByUBoot(console: string): string[] {
  return [...console.matchAll(/^slipway: slot (\S+), \S+ boots? left/gm)].map(([, slot = ""]) => slot);
}
