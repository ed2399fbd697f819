/** What there is to tell of a machine's bootloaders; nothing is changed. */
import { type EditionName, editionText, isSameEdition } from "../../boot/bootloader/edition.ts";
import { type BootPlace, runningLoader } from "../../boot/bootloader/facts.ts";
import type { BootloaderRecord } from "../../boot/bootloader/record.ts";
import { settle, type TrialFate } from "../../boot/bootloader/settle.ts";
import { bootEntryName, bootOrderText } from "../../boot/stores/efi-variables.ts";
import { validRecord } from "../commands/change-record.ts";
import { type Machine, type Places, readMachine } from "../commands/machine.ts";
import { openRecord } from "../commands/open-record.ts";
import { O } from "../kernel/constants.ts";
import { type Kernel, KernelError } from "../kernel/kernel.ts";
import { openBeneath, withDescriptor } from "../state/beneath.ts";
import type { Esp } from "./esp.ts";
import { gatherFacts, stepText, withBootloaders } from "./gather.ts";

export interface BootloaderStatus {
  schema: 1;
  program: string;
  /** What runs, where that is known, and what the firmware and the loader say of it. */
  running: { edition: EditionName | null; entry: string; loader: string | null };
  committed: EditionName | null;
  /** Where the firmware goes when the committed one cannot be read. */
  fallback: EditionName | null;
  trial: (NonNullable<BootloaderRecord["trial"]> & { fate: TrialFate["is"] }) | null;
  failed: BootloaderRecord["failed"];
  directories: (Pick<BootPlace, "device" | "directory" | "fault"> & {
    editions: { path: string; version: string | null; fault: string | null }[];
    /** Whether the firmware's last resort, EFI/BOOT/BOOT….EFI, is on this partition; null where it was not looked at. */
    lastResort: boolean | null;
  })[];
  firmware: { order: number[]; next: number | null };
  /** What a check would change, a sentence each. */
  wrong: string[];
  warnings: string[];
}

/** Throws Refusal on a machine without boot directories or UEFI, and where the boot record is not valid. */
export function bootloaderStatus(kernel: Kernel, places: Places): BootloaderStatus {
  const machine = readMachine(kernel, places);
  return withBootloaders(kernel, places, machine, "look", (bootloaders) => {
    const { control, esps } = bootloaders;
    const facts = gatherFacts(kernel, bootloaders, recordOf(kernel, machine), "whole");
    const { fate, steps, wanted, warnings, record } = settle(facts, false);
    const { trial } = facts.record;
    const { edition, told } = runningLoader(facts);
    return {
      schema: 1,
      program: control.program,
      running: { edition, entry: told, loader: facts.firmware.loader.info },
      committed: wanted.first,
      fallback: wanted.second,
      trial: trial === null ? null : { ...trial, fate: fate.is },
      failed: record.failed,
      directories: facts.places.map(({ device, directory, fault, editions }) => ({
        device,
        directory,
        fault,
        editions: editions.map(({ path, version, fault: wrong }) => ({ path, version, fault: wrong })),
        lastResort: lastResort(kernel, esps.get(device)),
      })),
      firmware: { order: facts.firmware.order, next: facts.firmware.next },
      wrong: steps.map(stepText),
      warnings,
    };
  });
}

function recordOf(kernel: Kernel, machine: Machine) {
  const store = openRecord(kernel, machine);
  try {
    return validRecord(store.read().record, machine.report.record.device);
  } finally {
    store.close();
  }
}

/** UEFI specification 2.10, chapter 3.5.1.1: the names by the machine's architecture. */
const LAST_RESORTS = ["EFI/BOOT/BOOTX64.EFI", "EFI/BOOT/BOOTAA64.EFI"];

function lastResort(kernel: Kernel, esp: Esp | undefined): boolean | null {
  const root = esp?.root ?? null;
  if (root === null) return null;
  return LAST_RESORTS.some((path) => {
    try {
      withDescriptor(
        kernel,
        () => openBeneath(kernel, root, path, O.RDONLY | O.NONBLOCK),
        () => {},
      );
      return true;
    } catch (error) {
      if (error instanceof KernelError) return false;
      throw error;
    }
  });
}

/** The status for people. */
export function statusText(status: BootloaderStatus): string {
  const { running, committed, fallback, trial, failed, directories, firmware, wrong, warnings } = status;
  const named = (edition: EditionName | null) => (edition === null ? "unknown" : editionText(edition));
  const lines = [
    `Running:    ${running.edition === null ? running.entry : `${editionText(running.edition)}, by ${running.entry}`}${running.loader === null ? "" : `, ${running.loader}`}`,
    `Committed:  ${named(committed)}`,
    `Falls back: ${fallback === null ? "to nothing" : `to ${editionText(fallback)}`}`,
    ...(trial === null
      ? []
      : [`Trial:      ${editionText(trial.edition)}${trial.version === null ? "" : `, ${trial.version}`}: ${FATES[trial.fate]}`]),
    ...(failed === null ? [] : [`Failed:     ${editionText(failed.edition)}: ${failed.reason}`]),
    `Firmware:   BootOrder ${bootOrderText(firmware.order) || "is empty"}${firmware.next === null ? "" : `, BootNext ${bootEntryName(firmware.next).slice(4)}`}`,
  ];
  for (const { device, directory, fault, editions, lastResort } of directories) {
    lines.push("", `${directory} on ${device}:${fault === null ? "" : ` ${fault}`}`);
    for (const { path, version, fault: edition } of editions) {
      const marks = [
        isSameEdition({ device, path }, running.edition) ? "runs" : null,
        isSameEdition({ device, path }, committed) ? "committed" : null,
        edition,
      ].filter((mark) => mark !== null);
      lines.push(`  ${path}  ${version ?? "no version"}${marks.length === 0 ? "" : ` (${marks.join(", ")})`}`);
    }
    if (editions.length === 0 && fault === null) lines.push("  empty");
    if (lastResort === false) lines.push("  no EFI/BOOT/BOOT….EFI: a firmware that forgot its entries starts nothing here");
  }
  if (wrong.length > 0) lines.push("", "The firmware's entries are not as they should be:", ...wrong.map((line) => `  ${line}`));
  if (warnings.length > 0) lines.push("", ...warnings.map((line) => `Warning: ${line}`));
  return [...lines, "", `Next: ${nextOf(status)}`].join("\n");
}

const FATES: Record<TrialFate["is"], string> = {
  none: "none",
  armed: "the next start is by it",
  running: "it runs, and waits for its commit",
  failed: "it is over, and was not committed",
};

function nextOf({ trial, wrong, committed, fallback }: BootloaderStatus): string {
  if (trial?.fate === "armed") return "reboot (systemctl reboot) to try it.";
  if (trial?.fate === "running") return 'run "slipway commit", as slipway-commit.service does at each good boot.';
  if (committed === null || fallback === null) return 'run "slipway bootloader install DIR".';
  return wrong.length > 0 || trial?.fate === "failed" ? 'run "slipway bootloader check".' : "nothing to do.";
}
