import type { Kernel } from "../kernel/kernel.ts";
import { linuxKernel } from "../kernel/linux.ts";
import { giveUpTry } from "./give-up-try.ts";
import { PLACES, type Places, readMachine } from "./machine.ts";
import { safeModeOf } from "./safe-mode.ts";
import { failedUnits } from "./systemctl.ts";
import type { Verb } from "./verb.ts";

/** Reboots because the image on trial cannot be committed in this boot; in safe mode nothing is done. Throws Refusal once it is committed. */
export function endFailedTry(kernel: Kernel, places: Places): string {
  const mode = safeModeOf(readMachine(kernel, places).report);
  // Without its state much of the system may fail, and somebody may want to look at it all the same.
  if (mode !== null) return `slot ${mode.slot} runs in safe mode: nothing was done`;
  return giveUpTry(kernel, places, () => {
    const units = failedUnits(places.systemctl) ?? [];
    return units.length > 0 ? `trial failed: ${units.join(", ")}` : "trial failed: boot-complete.target was not reached";
  });
}

export const verb: Verb = {
  help: `
Usage: slipway trial-failed

Run by slipway-trial-failed.service when the image on trial cannot be committed, since a health check failed or the commit
was refused: notes the failed units in the boot journal and reboots, without credit and without waiting for units to stop.
Refused once the image is committed; nothing is done in safe mode. Not meant to be run by hand.`,
  options: {},
  positionals: [],
  async run() {
    console.log(`slipway: ${endFailedTry(linuxKernel(), PLACES)}`);
    return 0;
  },
};
