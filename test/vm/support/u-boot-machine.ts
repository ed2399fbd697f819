/** Machines of small roots that U-Boot starts: arm64 only, `npm run test:vm -- --arch arm64`. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import type { BootReport } from "../../../boot/report.ts";
import { readEnvironment } from "../../../boot/stores/uboot-env.ts";
import { consoleWord, guestArchitecture } from "../../../qemu/architecture.ts";
import { readAt, startOf, writeInto } from "../../../qemu/disk-partitions.ts";
import { throwAwayCopy } from "../../../qemu/disks.ts";
import { guestKernel } from "../../../qemu/kernel.ts";
import { type Machine, startMachine } from "../../../qemu/machine.ts";
import type { MachineOptions } from "../../../qemu/machine-options.ts";
import { madeOf } from "../../../qemu/product.ts";
import { runProgram } from "../../../qemu/program.ts";
import { ENVIRONMENT_LABEL, freshFlash, type UBootSettings, uBootPartitions, uBootScript } from "../../../qemu/u-boot.ts";
import { part, partsOf, type SmallMachineSpec, smallDisk, smallInitrd, type Told } from "./small-machine.ts";

/** Whether this run's machines are of the kind that Debian has such a U-Boot for. */
export const hasUBoot = guestArchitecture === "arm64";

export interface UBootMachine {
  disk: string;
  flash: string;
}

export interface UBootMachineSpec extends SmallMachineSpec {
  system: string;
  settings?: UBootSettings;
  /** The kernel's console; default the virtual board's. */
  console?: string;
  /** What the partition uboot-env begins with. */
  environment?: Uint8Array;
}

const MIB = 1024 * 1024;

/** Disk and flash of a machine whose kernel and initrd lie on the boot partition, one for all slots. */
export async function uBootMachine(spec: UBootMachineSpec): Promise<UBootMachine> {
  const { kernel } = await guestKernel(spec.initrd?.flavour);
  const initrd = await smallInitrd(spec.system, spec.initrd, spec.beside);
  const mebibytes = Math.ceil((statSync(kernel).size + statSync(initrd).size) / MIB) + 16;
  const script = uBootScript({
    ...spec.settings,
    lines: { "console=ttyAMA0": spec.console ?? consoleWord(), ...spec.settings?.lines },
  });
  const files = { Image: { file: kernel }, initrd: { file: initrd } };
  const partitions = await uBootPartitions(script, files, {
    mebibytes,
    ...(spec.environment && { environment: spec.environment }),
  });
  const disk = await smallDisk({ size: "768M", ...spec, partitions });
  const flash = await madeOf("u-boot-flash", [], async (aside) => void freshFlash(`${aside}/flash`));
  return { disk, flash: throwAwayCopy(`${flash}/flash`) };
}

function startUBoot(machine: UBootMachine, options: Partial<MachineOptions> = {}): Promise<Machine> {
  return startMachine({
    memoryMiB: 768,
    timeoutMs: 240_000,
    disks: [{ file: machine.disk }],
    ...options,
    firmware: { kind: "u-boot", flash: machine.flash },
  });
}

/**
 * Starts it, however often it restarts, until a small root powers off.
 * @returns what that root told, and the markers of all that ran
 */
export async function bootUBoot(
  machine: UBootMachine,
  options: Partial<MachineOptions> = {},
): Promise<Told & { roots: string[] }> {
  const started = await startUBoot(machine, options);
  await started.expectResult("small root ends: power-off\n");
  await started.exited;
  const { results, console } = started;
  const roots = [...results.text.matchAll(/^small root up: (.*)$/gm)].map(([, root = ""]) => root.trim());
  const parts = partsOf(results.text);
  const report: BootReport = JSON.parse(part({ parts }, "boot"));
  return { root: roots.at(-1) ?? "", roots, console: console.text, parts, report };
}

/** Which slots U-Boot started, in the order in which it did: "A" for each line "slipway: slot A, …". */
export function startedByUBoot(console: string): string[] {
  return [...console.matchAll(/^slipway: slot (\S+), \S+ boots? left/gm)].map(([, slot = ""]) => slot);
}

/** Bytes of the environment that {@link environmentConfig} speaks of. */
export const ENVIRONMENT_BYTES = 512;

/** fw_env.config of the partition uboot-env. */
export const environmentConfig = `/dev/disk/by-partlabel/${ENVIRONMENT_LABEL} 0x0 0x${ENVIRONMENT_BYTES.toString(16)}\n`;

/** The variables in the partition uboot-env. Throws where they are none. */
export function environmentOn(disk: string): Record<string, string> {
  const reading = readEnvironment([readAt(disk, startOf(disk, ENVIRONMENT_LABEL), ENVIRONMENT_BYTES)], "single");
  if (reading.condition !== "valid") throw new Error(`the environment on ${disk}: ${reading.reason}`);
  return Object.fromEntries(reading.variables);
}

/** fw_setenv with these variables, while the machine is off. */
export async function setEnvironmentOn(disk: string, variables: Record<string, string>): Promise<void> {
  const directory = mkdtempSync(`${tmpdir()}/slipway-fw-`);
  try {
    const file = `${directory}/environment`;
    writeFileSync(file, readAt(disk, startOf(disk, ENVIRONMENT_LABEL), ENVIRONMENT_BYTES));
    writeFileSync(`${directory}/config`, `${file} 0x0 0x${ENVIRONMENT_BYTES.toString(16)}\n`);
    const script = Object.entries(variables).map(([name, value]) => `${name}=${value}\n`);
    writeFileSync(`${directory}/script`, script.join(""));
    await runProgram("fw_setenv", ["-c", `${directory}/config`, "-s", `${directory}/script`]);
    writeInto(disk, ENVIRONMENT_LABEL, readFileSync(file));
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** A power cut in the middle of a write that is larger than a sector. */
export function tearEnvironmentOn(disk: string): void {
  writeInto(disk, ENVIRONMENT_LABEL, new Uint8Array(8).fill(0xff), 16);
}
