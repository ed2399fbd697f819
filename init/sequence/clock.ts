import type { Kernel } from "../kernel/kernel.ts";
import type { Log } from "./log.ts";

declare const SLIPWAY_BUILD_UNIX_MS: number | undefined;

/** When this executable was built, milliseconds since the epoch; 0 when it runs from its sources. */
export const builtAt = typeof SLIPWAY_BUILD_UNIX_MS === "number" ? SLIPWAY_BUILD_UNIX_MS : 0;

const TWENTY_YEARS = 20 * 365.25 * 24 * 3600 * 1000;

/**
 * The time to set, or null to leave the clock: it never stands before the build nor before the last time that was
 * known, and a time more than twenty years after the build is somebody's mistake and counts for nothing.
 */
export function clockFloor(now: number, built: number, lastKnown: number): number | null {
  const believable = (time: number) => built === 0 || time <= built + TWENTY_YEARS;
  const floor = Math.max(built, believable(lastKnown) ? lastKnown : 0);
  return now < floor || !believable(now) ? floor : null;
}

/** Lifts the clock to its floor. Nothing that boots depends on it, so a refusal is only reported. */
export function liftClock(kernel: Kernel, log: Log, lastKnown: number): void {
  const now = kernel.now().unixMs;
  const floor = clockFloor(now, builtAt, lastKnown);
  if (floor === null) return;
  try {
    kernel.setClock(floor);
    log.debug(`clock set to ${new Date(floor).toISOString()}, it stood at ${new Date(now).toISOString()}`);
  } catch (error) {
    log.warning(`clock could not be set: ${error instanceof Error ? error.message : error}`);
  }
}
