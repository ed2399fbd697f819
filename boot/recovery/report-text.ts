/** What is posted to the control file's `recovery.report`: one JSON object, so that a fleet's master learns of a recovery. */
import { canonicalJson } from "../../state-ops/canonical-json.ts";
import type { Rung } from "../../state-ops/recovery.ts";
import type { Proof } from "../image/judge-seal.ts";
import type { BootRecord, ImageId, SlotName, SlotState } from "../record/record.ts";
import type { Skipped } from "../selection/skipped.ts";
import { recoveryOf } from "./known.ts";
import type { ToldRecovery, ToldStep, TriedStep } from "./step.ts";

export interface RecoveryReport {
  schema: 1;
  /** Of /etc/machine-id, 32 hex digits: identity state, the same before and after. Null where the system has none yet. */
  machineId: string | null;
  /** Of /etc/hostname; null where there is none that is sound. */
  hostname: string | null;
  /** The product's name, of the control file. */
  system: string;
  /** Version of the slipway in the initrd. */
  slipway: string;
  /** The kernel's id of this boot, 32 hex digits: with it a report that comes twice is known. Null where the kernel does not tell. */
  bootId: string | null;
  /** Of the boot record. */
  attempt: number;
  /** When this was written: milliseconds since the epoch by the machine's clock, which may be wrong, and since kernel start. */
  writtenUnixMs: number;
  writtenBootMs: number;
  /** Who asked for the recovery; null: nobody, no slot was left. */
  asked: string | null;
  /** The rung that is booted; null where the steps did not lead to this boot. */
  rung: Rung | null;
  booted: { slot: SlotName; imageId: ImageId; version: string | null; trial: boolean; proof: Proof };
  /** Every slot, and why it did not boot, or does not; null where nothing is known against it. */
  slots: { slot: SlotName; state: SlotState; imageId: ImageId | null; reason: string | null }[];
  /** What this boot did, oldest first. */
  steps: ToldStep[];
  /** What was begun since a system was good, this boot's steps included, oldest first. */
  tried: TriedStep[];
  /** What the booted slot was made to hold by this boot's last step; null where that installed and repaired nothing. */
  installed: ToldStep["installed"];
  network: ToldRecovery["network"];
}

/** What of the machine the report tells. */
export interface ReportFacts
  extends Pick<RecoveryReport, "machineId" | "hostname" | "system" | "slipway" | "bootId" | "attempt" | "booted"> {
  nowUnixMs: number;
  nowBootMs: number;
  /** As it is at the handover. */
  record: BootRecord;
  /** Slots that were looked at in this boot and did not boot at first, and why. */
  skipped: readonly Skipped[];
  told: ToldRecovery;
}

/** Letters of a reason: whoever takes the report need not take a program's whole output. */
const LONGEST_REASON = 500;

/** The report, as canonical JSON. */
export function recoveryReportText(facts: ReportFacts): string {
  const { told, record, skipped, nowUnixMs, nowBootMs, ...machine } = facts;
  const { booted } = machine;
  const last = told.steps.findLast(({ outcome }) => outcome === "booted");
  const report: RecoveryReport = {
    schema: 1,
    ...machine,
    writtenUnixMs: Math.round(nowUnixMs),
    writtenBootMs: Math.round(nowBootMs),
    asked: told.asked,
    rung: told.rung,
    slots: Object.entries(record.slots).map(([slot, { state, imageId, damaged, reason }]) => ({
      slot,
      state,
      imageId,
      reason: shortOrNull(skipped.find((one) => one.slot === slot)?.reason ?? damaged ?? reason),
    })),
    steps: told.steps.map((step) => ({ ...step, reason: short(step.reason) })),
    tried: recoveryOf(record).tried,
    installed: last?.slot === booted.slot ? last.installed : null,
    network: told.network,
  };
  return canonicalJson(report);
}

/** What /etc/machine-id says (machine-id(5)); null where that is no id. */
export function machineIdIn(text: string | null): string | null {
  const id = text?.trim() ?? "";
  return /^[0-9a-f]{32}$/.test(id) && !/^0+$/.test(id) ? id : null;
}

/** What /etc/hostname says (hostname(5)): its first line that is no comment; null where that is no name. */
export function hostnameIn(text: string | null): string | null {
  const line = (text ?? "")
    .split("\n")
    .map((one) => one.trim())
    .find((one) => one !== "" && !one.startsWith("#"));
  return line !== undefined && line.length <= 64 && /^[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?$/.test(line) ? line : null;
}

function shortOrNull(reason: string | null): string | null {
  return reason === null ? null : short(reason);
}

/** Cut, and with no half of a letter in it: JSON has no word for one. */
function short(reason: string): string {
  const sound = reason.toWellFormed();
  return sound.length > LONGEST_REASON ? `${sound.slice(0, LONGEST_REASON).toWellFormed()}…` : sound;
}
