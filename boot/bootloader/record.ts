/** What the boot record remembers of the bootloader's editions. PID 1 keeps it as it is, and only the commands read it. */
import { Fields } from "../../state-ops/fields.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import { cutReason } from "../record/reason.ts";
import { type EditionName, editionText } from "./edition.ts";

export interface BootloaderTrial {
  edition: EditionName;
  version: string | null;
  /** Number of the firmware's boot entry for it. */
  entry: number;
  /** The boot that installed it: what starts later is the trial, or came back from it. */
  attempt: number;
  /** Whether the firmware was told: an install that the power cut short before never begins its trial. */
  armed: boolean;
}

export interface BootloaderRecord {
  /** What boots first; null until it was first seen. */
  committed: EditionName | null;
  trial: BootloaderTrial | null;
  /** The last trial that did not come up, or was given up. */
  failed: { edition: EditionName; version: string | null; reason: string } | null;
  /** The highest number that an edition ever had, so that none is used twice. */
  lastNumber: number;
}

export const NO_BOOTLOADER: BootloaderRecord = { committed: null, trial: null, failed: null, lastNumber: 0 };

const LONGEST = 400;

/** The record's `bootloader`. Throws BadInput naming the key that is missing, unknown or wrong. */
export function bootloaderRecord(value: unknown): BootloaderRecord {
  if (value === undefined) return NO_BOOTLOADER;
  const fields = new Fields(value, "bootloader", ["committed", "trial", "failed", "lastNumber"]);
  return {
    committed: fields.nullable("committed", () => edition(fields, "committed")),
    trial: fields.nullable("trial", () => trial(fields.value("trial"))),
    failed: fields.nullable("failed", () => {
      const failed = new Fields(fields.value("failed"), "bootloader.failed", ["edition", "version", "reason"]);
      return { edition: edition(failed, "edition"), version: versionOf(failed), reason: shortText(failed, "reason") };
    }),
    lastNumber: fields.integer("lastNumber", 0, 999_999),
  };
}

function trial(value: unknown): BootloaderTrial {
  const fields = new Fields(value, "bootloader.trial", ["edition", "version", "entry", "attempt", "armed"]);
  return {
    edition: edition(fields, "edition"),
    version: versionOf(fields),
    entry: fields.integer("entry", 0, 0xffff),
    attempt: fields.integer("attempt", 1, Number.MAX_SAFE_INTEGER),
    armed: fields.oneOf("armed", [true, false]),
  };
}

function edition(fields: Fields, key: string): EditionName {
  const name = fields.object(key, ["device", "path"]);
  return { device: shortText(name, "device"), path: shortText(name, "path") };
}

function versionOf(fields: Fields): string | null {
  return fields.nullable("version", () => shortText(fields, "version"));
}

function shortText(fields: Fields, key: string): string {
  const value = fields.text(key);
  return value.length <= LONGEST ? value : fields.fail(key, `a text of at most ${LONGEST} characters`);
}

/** Throws Refusal while a bootloader is on trial, or waits for it. */
export function refuseDuringTrial({ trial }: BootloaderRecord): void {
  if (trial === null) return;
  throw new Refusal(
    `the bootloader ${editionText(trial.edition)} is on trial; reboot and have it committed, or run "slipway bootloader rollback" first`,
  );
}

/** The record after its trial did not come up, or was given up. */
export function withFailedTrial(record: BootloaderRecord, reason: string): BootloaderRecord {
  if (record.trial === null) return record;
  const { edition: failed, version } = record.trial;
  return { ...record, trial: null, failed: { edition: failed, version, reason: cutReason(reason) } };
}

/** The record after its trial was committed. A former failure says nothing about what boots now. */
export function withCommittedTrial(record: BootloaderRecord): BootloaderRecord {
  if (record.trial === null) return record;
  return { ...record, committed: record.trial.edition, trial: null, failed: null };
}
