import type { BootRecord } from "../../boot/record/record.ts";
import { recoveryOf } from "../../boot/recovery/known.ts";
import type { ToldRecovery, ToldStep } from "../../boot/recovery/step.ts";
import type { Rung } from "../../state-ops/recovery.ts";
import { sizeText } from "../../state-ops/size-text.ts";
import type { Machine } from "./machine.ts";
import { leavingSafeMode, type SafeMode, safeModeOf } from "./safe-mode.ts";

/** What `slipway status` tells of recovery. */
export interface RecoveryFacts {
  /** What the next boot tries where no slot boots, in order. */
  ladder: Rung[];
  /** What the next boot is asked for; null: nothing. */
  asked: Rung | "ladder" | null;
  /** What this boot did to be there; null in an ordinary one. */
  boot: ToldRecovery | null;
  /** Null in a boot with the slot's own state. */
  safeMode: (SafeMode & { leave: string }) | null;
}

export function recoveryFacts(machine: Machine, record: BootRecord): RecoveryFacts {
  const mode = safeModeOf(machine.report);
  return {
    ladder: machine.control.recovery?.ladder ?? [],
    asked: recoveryOf(record).asked,
    boot: machine.report.recovery,
    safeMode: mode === null ? null : { ...mode, leave: leavingSafeMode(mode, machine) },
  };
}

/** "the recovery that was asked for, by repair". */
export function askedText(asked: Rung | "ladder"): string {
  return `the recovery that was asked for${asked === "ladder" ? "" : `, by ${asked}`}`;
}

function installedText({ installed, networkBytes, writtenBytes }: ToldStep): string[] {
  if (installed === null) return [];
  const { version, imageId, source, place } = installed;
  const from = { slots: "the slots", factory: "the factory partition", media: "a medium", mirror: "a mirror" }[place];
  const bytes = `${sizeText(writtenBytes)} written, ${sizeText(networkBytes)} over the network`;
  return [`installed ${version} (${imageId.slice(0, 12)}) from ${from}, ${source}: ${bytes}`];
}

function stepText(step: ToldStep): string {
  const { rung, slot, outcome, reason, lengthMs } = step;
  const where = slot === null ? "" : ` of slot ${slot}`;
  const took = lengthMs < 100 ? "" : `, ${(lengthMs / 1000).toFixed(1)} s`;
  return [`${rung}${where} ${outcome}${took}: ${reason}`, ...installedText(step)].join("; ");
}

/** What there is to tell of this boot's recovery, one line each; none in an ordinary boot. */
export function recoveryLines({ boot, safeMode }: RecoveryFacts): string[] {
  if (boot === null) return [];
  const { asked, rung, steps, network, reportedTo } = boot;
  const why = asked === null ? "since no slot was left" : `asked for by ${asked}`;
  return [
    rung === null ? `begun, ${why}; this boot did not come from it` : `by ${rung}, ${why}`,
    ...(safeMode === null
      ? []
      : ["SAFE MODE: memory is in the place of the slot's persistent state, and it cannot be committed"]),
    ...steps.map(stepText),
    ...(network === null ? [] : [`network: ${network.link} by ${network.by}, ${network.addresses.join(", ") || "no address"}`]),
    ...(reportedTo === null ? [] : [`reported to ${reportedTo}`]),
  ];
}
