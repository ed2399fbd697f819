import { showOnConsoles } from "./console.ts";
import type { Launch } from "./launch.ts";

/** What the screen tells, and when the machine goes on. */
export interface Hold {
  /** Why no slot could be looked at; null when they were. */
  reason: string | null;
  /** Per slot, best first: why it did not boot. */
  skipped: { slot: string; reason: string }[];
  /** The slot that gets one more try; null where none is known. */
  rearmed: string | null;
  pauseSeconds: number;
}

/** Seconds between two looks at a machine whose boot record cannot be told from another: nothing can be counted there. */
export const PAUSE_WITHOUT_RECORD = 60;

/** A plain line this often while waiting, seconds: somebody who attaches a serial line late must see why nothing happens. */
const REMIND_EVERY = 30;

/** The screen of a machine on which no slot boots. */
export function holdScreen(hold: Hold): string {
  const width = Math.max(4, ...hold.skipped.map(({ slot }) => slot.length));
  const slots = hold.skipped.map(({ slot, reason }) => `    ${slot.padEnd(width)}  ${reason}`);
  const next = hold.rearmed === null ? "all slots are looked at again" : `slot ${hold.rearmed} gets one more try`;
  return [
    "",
    "slipway: no slot boots",
    "",
    ...(hold.reason === null ? [] : [`    ${hold.reason}`]),
    ...slots,
    "",
    `    The machine restarts in ${hold.pauseSeconds} s, and ${next}.`,
    "",
  ].join("\n");
}

/** Shows why no slot boots, waits with the watchdog fed, and restarts. The next boot is counted like any other. */
export async function holdAndRestart(launch: Launch, hold: Hold): Promise<never> {
  if (hold.reason !== null) launch.log.error(hold.reason);
  for (const { slot, reason } of hold.skipped) launch.log.error(`slot ${slot}: ${reason}`);
  showOnConsoles(launch.kernel, holdScreen(hold));
  if (launch.words.shell) await launch.shell("rd.shell");
  for (let left = hold.pauseSeconds; left > 0; left -= REMIND_EVERY) {
    if (left !== hold.pauseSeconds) showOnConsoles(launch.kernel, `slipway: no slot boots; restarting in ${left} s\n`);
    await launch.pause(Math.min(left, REMIND_EVERY) * 1000);
  }
  launch.log.error("restarting");
  launch.kernel.reboot("restart");
  throw new Error("the kernel refused to restart");
}
