/** The times that systemd noted of its own start: properties of its manager, org.freedesktop.systemd1(5). */

/** Milliseconds since kernel start, on CLOCK_MONOTONIC; firmware and loader: lengths before it, as EFI variables told systemd. */
export interface SystemdTimes {
  /** From the firmware's start to the kernel's, the loader in it. */
  firmwareMs: number | null;
  loaderMs: number | null;
  /** When systemd of the running system started. */
  userspaceMs: number;
  /** What it did before it started units, as far as it noted that. */
  stages: { name: SystemdStage; startMs: number; endMs: number }[];
  /** All jobs of the boot are done; null: not yet. */
  finishMs: number | null;
  /** When this was asked. */
  nowMs: number;
}

export type SystemdStage = "security" | "generators" | "unit files";

const STAGES: [SystemdStage, string, string][] = [
  ["security", "SecurityStartTimestampMonotonic", "SecurityFinishTimestampMonotonic"],
  ["generators", "GeneratorsStartTimestampMonotonic", "GeneratorsFinishTimestampMonotonic"],
  ["unit files", "UnitsLoadStartTimestampMonotonic", "UnitsLoadFinishTimestampMonotonic"],
];

const FIRMWARE = "FirmwareTimestampMonotonic";
const LOADER = "LoaderTimestampMonotonic";
const USERSPACE = "UserspaceTimestampMonotonic";
const FINISH = "FinishTimestampMonotonic";

/** What to ask systemd for. */
export const SYSTEMD_PROPERTIES = [FIRMWARE, LOADER, USERSPACE, FINISH, ...STAGES.flatMap(([, start, end]) => [start, end])];

/** Microseconds as systemd prints them; null for those that it has not, which are "0" or missing, and for what is no time. */
function timeOf(properties: ReadonlyMap<string, string>, name: string): number | null {
  const value = properties.get(name) ?? "";
  return /^[1-9][0-9]{0,14}$/.test(value) ? Number(value) / 1000 : null;
}

/**
 * Reads {@link SYSTEMD_PROPERTIES}; null where systemd does not say when it started. A stage that did not lie between
 * systemd's start and the end of the boot is left out: systemd was executed again since, and notes only the last.
 */
export function systemdTimes(properties: ReadonlyMap<string, string>, nowMs: number): SystemdTimes | null {
  const userspaceMs = timeOf(properties, USERSPACE);
  if (userspaceMs === null) return null;
  const finishMs = timeOf(properties, FINISH);
  const until = finishMs ?? nowMs;
  const stages = STAGES.flatMap(([name, start, end]) => {
    const startMs = timeOf(properties, start);
    const endMs = timeOf(properties, end);
    if (startMs === null || endMs === null) return [];
    return userspaceMs <= startMs && startMs <= endMs && endMs <= until ? [{ name, startMs, endMs }] : [];
  });
  return { firmwareMs: timeOf(properties, FIRMWARE), loaderMs: timeOf(properties, LOADER), userspaceMs, stages, finishMs, nowMs };
}
