/** Everything that is to be known of a machine's bootloaders, and the steps carried out. */
import type { BootloaderFacts, FirmwareFacts } from "../../boot/bootloader/facts.ts";
import type { VariableStep } from "../../boot/bootloader/put-right.ts";
import { bootloaderRecord } from "../../boot/bootloader/record.ts";
import type { BootRecord } from "../../boot/record/record.ts";
import { decodeLoadOption, encodeLoadOption, type LoadOption } from "../../boot/stores/efi-load-option.ts";
import {
  bootEntryName,
  bootEntryNumber,
  bootEntryVariable,
  bootOrderText,
  decodeBootNumber,
  decodeBootOrder,
  decodeText,
  EFI_VARIABLE,
  encodeBootNumber,
  encodeBootOrder,
  KEPT_VARIABLE,
} from "../../boot/stores/efi-variables.ts";
import type { ControlBootloader } from "../../state-ops/control.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import type { Machine, Places } from "../commands/machine.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { EfiVariables, mountEfiVariables } from "../store/efi-variables.ts";
import { type Esp, type EspPurpose, withEsps } from "./esp.ts";
import { type EditionReading, readPlace } from "./read-editions.ts";

/** A machine's bootloaders, open. */
export interface Bootloaders {
  machine: Machine;
  control: ControlBootloader;
  variables: EfiVariables;
  esps: ReadonlyMap<string, Esp>;
}

/**
 * Opens the firmware's variables and the boot directories' partitions. Throws Refusal where the control file names none, and on a
 * machine that UEFI did not start.
 */
export function withBootloaders<Result>(
  kernel: Kernel,
  places: Places,
  machine: Machine,
  purpose: EspPurpose,
  use: (bootloaders: Bootloaders) => Result,
): Result {
  const control = machine.control.bootloader;
  if (control === undefined) {
    throw new Refusal(
      "this machine's bootloader is nothing of slipway's: its control file has no \"bootloader\"; say its boot directories in system.yaml, and build the initrd anew",
    );
  }
  const devices = control.directories.map(({ device }) => device);
  return withEsps(kernel, machine, devices, purpose, (esps) => {
    mountEfiVariables(kernel, places.efivars);
    return use({ machine, control, variables: new EfiVariables(kernel, places.efivars), esps });
  });
}

export function gatherFacts(
  kernel: Kernel,
  { machine, control, variables, esps }: Bootloaders,
  record: BootRecord,
  how: EditionReading,
): BootloaderFacts {
  const places = control.directories.map((directory) => {
    const esp = esps.get(directory.device);
    if (esp === undefined) throw new Error(`${directory.device} was not opened`);
    return readPlace(kernel, esp, directory, control.program, how);
  });
  const firmware = readFirmware(variables);
  return { control, places, firmware, record: bootloaderRecord(record.bootloader), attempt: machine.report.attempt };
}

function readFirmware(variables: EfiVariables): FirmwareFacts {
  const faults: string[] = [];
  const value = (name: string): Uint8Array | null => {
    const read = variables.read(name);
    if (typeof read !== "string") return read?.value ?? null;
    faults.push(`the firmware's variable ${name} is damaged: ${read}`);
    return null;
  };
  const decoded = <Value>(name: string, decode: (value: Uint8Array) => Value | string): Value | null => {
    const bytes = value(name);
    const result = bytes === null ? null : decode(bytes);
    if (typeof result !== "string") return result;
    faults.push(`the firmware's variable ${name} is damaged: ${result}`);
    return null;
  };
  const text = (name: string): string | null => {
    const bytes = value(name);
    return bytes === null ? null : decodeText(bytes);
  };
  const entries = new Map<number, LoadOption>();
  const taken = new Set<number>();
  for (const name of variables.names()) {
    const number = bootEntryNumber(name);
    if (number === null) continue;
    taken.add(number);
    const option = decoded(name, decodeLoadOption);
    if (option !== null) entries.set(number, option);
  }
  return {
    order: decoded(EFI_VARIABLE.bootOrder, decodeBootOrder) ?? [],
    next: decoded(EFI_VARIABLE.bootNext, decodeBootNumber),
    current: decoded(EFI_VARIABLE.bootCurrent, decodeBootNumber),
    entries,
    taken,
    loader: {
      info: text(EFI_VARIABLE.loaderInfo),
      partition: text(EFI_VARIABLE.loaderDevicePartUuid),
      image: text(EFI_VARIABLE.loaderImageIdentifier),
    },
    faults,
  };
}

/** Carries the steps out one after the other. Throws Refusal or Error at the first that the firmware does not take. */
export function carryOut(variables: EfiVariables, steps: readonly VariableStep[]): void {
  const set = (name: string, value: Uint8Array) => variables.write(name, { attributes: KEPT_VARIABLE, value });
  for (const step of steps) {
    if ("remove" in step) {
      variables.remove(step.remove === "next" ? EFI_VARIABLE.bootNext : bootEntryVariable(step.number));
    } else if (step.set === "entry") set(bootEntryVariable(step.number), encodeLoadOption(step.option));
    else if (step.set === "order") set(EFI_VARIABLE.bootOrder, encodeBootOrder(step.order));
    else set(EFI_VARIABLE.bootNext, encodeBootNumber(step.number));
  }
}

/** The step in one sentence, for people. */
export function stepText(step: VariableStep): string {
  if ("remove" in step) {
    const what = step.remove === "next" ? "BootNext" : bootEntryName(step.number);
    return `${what} is taken away (${step.why}).`;
  }
  switch (step.set) {
    case "entry":
      return `${bootEntryName(step.number)} is set (${step.why}).`;
    case "order":
      return `BootOrder is ${bootOrderText(step.order)} now (${step.why}).`;
    case "next":
      return `BootNext is ${bootEntryName(step.number)} (${step.why}).`;
  }
}
