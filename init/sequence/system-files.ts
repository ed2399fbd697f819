import { type BootReport, RUN } from "../../boot/report.ts";
import type { ControlFile } from "../../state-ops/control.ts";

/** A file below /run that is written for the system. */
export interface SystemFile {
  directory: string;
  path: string;
  text: string;
}

/**
 * What tells the system how it was booted, and makes systemd take part.
 *
 * @param control the initrd's control file, and its text
 * @param watchdogRuns whether PID 1 started the hardware's watchdog
 * @param safeMode whether persistent state is in memory
 * @param unreported the report of a recovery that the system is to post; null where there is none
 */
export function systemFiles(
  report: BootReport,
  control: { text: string; values: Pick<ControlFile, "trialDeadline" | "watchdog"> },
  watchdogRuns: boolean,
  safeMode: boolean,
  unreported: string | null,
): SystemFile[] {
  const { trialDeadline, watchdog } = control.values;
  const own = (path: string, text: string): SystemFile => ({ directory: RUN.directory, path, text });
  return [
    own(RUN.report, `${JSON.stringify(report)}\n`),
    own(RUN.control, control.text),
    ...(safeMode ? [own(RUN.safeMode, `slot ${report.slot}, attempt ${report.attempt}\n`)] : []),
    ...(unreported === null ? [] : [own(RUN.recoveryReport, unreported)]),
    // Safe mode of a committed slot ends at a deadline too, or a machine that nobody looks after would never repair itself.
    ...(report.trial || safeMode
      ? [
          own(RUN.uncommitted, `slot ${report.slot}, attempt ${report.attempt}\n`),
          // An empty setting first: systemd would add the unit's own time to this one. Not in /run/systemd/system, which
          // programs take for a sign that systemd runs (sd_booted(3)).
          dropIn("system.control/slipway-trial-deadline.timer.d", `[Timer]\nOnActiveSec=\nOnActiveSec=${trialDeadline}s\n`),
        ]
      : []),
    ...(watchdogRuns && watchdog?.after === "systemd"
      ? [dropIn("system.conf.d", `[Manager]\nRuntimeWatchdogSec=${watchdog.timeout}s\n`)]
      : []),
  ];
}

function dropIn(place: string, text: string): SystemFile {
  const directory = `/run/systemd/${place}`;
  return { directory, path: `${directory}/50-slipway.conf`, text };
}
