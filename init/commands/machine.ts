import type { SlotName } from "../../boot/record/record.ts";
import { type BootReport, RUN } from "../../boot/report.ts";
import type { Policy } from "../../boot/selection/policy.ts";
import { BadInput, Refusal } from "../../state-ops/outcome.ts";
import { exists, readText } from "../kernel/files.ts";
import { type Kernel, KernelError } from "../kernel/kernel.ts";
import { type BootedControl, readBootedControl, readReport } from "./read-facts.ts";

/** Where the commands find things. Tests give others. */
export interface Places {
  report: string;
  control: string;
  uncommitted: string;
  recoveryReport: string;
  lock: string;
  installLock: string;
  systemctl: string;
  journalctl: string;
  watchdogs: string;
  /** Where UEFI's variables are mounted. */
  efivars: string;
  osRelease: string;
  machineId: string;
  /** The control file of the running image. */
  imageControl: string;
}

export const PLACES: Places = {
  report: RUN.report,
  control: RUN.control,
  uncommitted: RUN.uncommitted,
  recoveryReport: RUN.recoveryReport,
  lock: RUN.lock,
  installLock: RUN.installLock,
  systemctl: "systemctl",
  journalctl: "journalctl",
  watchdogs: "/sys/class/watchdog",
  efivars: "/sys/firmware/efi/efivars",
  osRelease: "/usr/lib/os-release",
  machineId: "/etc/machine-id",
  imageControl: "/usr/lib/slipway/control.json",
};

/** A machine that slipway booted: what PID 1 did, and what was declared. */
export interface Machine {
  report: BootReport;
  control: BootedControl;
  policy: Policy;
}

function readRun<Value>(kernel: Kernel, path: string, read: (text: string) => Value): Value {
  let text: string;
  try {
    text = readText(kernel, path);
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    throw new Refusal(
      `this machine was not booted by slipway: ${path} cannot be read (${error.code}); run this as root on a machine that boots with an initrd of "slipway initrd build"`,
    );
  }
  try {
    return read(text);
  } catch (error) {
    throw new Refusal(
      `${path}: ${error instanceof Error ? error.message : error}; are initrd and image too far apart in version?`,
    );
  }
}

/** Throws Refusal on a machine that slipway did not boot. */
export function readBootReport(kernel: Kernel, places: Places): BootReport {
  return readRun(kernel, places.report, readReport);
}

/** Throws Refusal on a machine that slipway did not boot. */
export function readMachine(kernel: Kernel, places: Places): Machine {
  const report = readBootReport(kernel, places);
  const control = readRun(kernel, places.control, readBootedControl);
  return {
    report,
    control,
    policy: { slots: control.slots.map((slot) => slot.name), tries: control.tries, trust: control.trust },
  };
}

/** Whether the image of this boot still waits for its commit. */
export function isUncommitted(kernel: Kernel, places: Places): boolean {
  return exists(kernel, places.uncommitted);
}

/** Throws BadInput unless the control file has such a slot. */
export function requireSlot(machine: Machine, name: string): SlotName {
  if (machine.policy.slots.includes(name)) return name;
  throw new BadInput(`no slot "${name}"; this machine has ${machine.policy.slots.join(", ")}`);
}
