import type { BootReport } from "../../boot/report.ts";
import type { Machine } from "./machine.ts";

/** What a boot in safe mode has to tell. */
export interface SafeMode {
  slot: string;
  /** Whether somebody asked for it: then it stays until somebody reboots. */
  asked: boolean;
}

/** Null where this boot is none: memory is not in the place of the slot's persistent state. */
export function safeModeOf({ recovery, slot }: BootReport): SafeMode | null {
  return recovery?.rung === "safe-mode" ? { slot, asked: recovery.asked !== null } : null;
}

/** How safe mode is left, as one sentence. */
export function leavingSafeMode({ asked }: SafeMode, { control }: Pick<Machine, "control">): string {
  const reboot = "reboot (systemctl reboot) to boot it with its own state again";
  if (asked) return `find out what is wrong with the slot's state, then ${reboot}.`;
  return `find out what is wrong with the slot's state and ${reboot}; ${control.trialDeadline} s after its start this boot ends by itself and the machine goes on to repair itself ("systemctl stop slipway-trial-deadline.timer" keeps it).`;
}
