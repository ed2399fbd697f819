import type { Kernel } from "../kernel/kernel.ts";
import { linuxKernel } from "../kernel/linux.ts";
import { giveUpTry } from "./give-up-try.ts";
import { PLACES, type Places, readMachine } from "./machine.ts";
import { safeModeOf } from "./safe-mode.ts";
import type { Verb } from "./verb.ts";

/**
 * Reboots when the image on trial was not committed by now, and out of a safe mode that nobody asked for. Throws Refusal once the
 * image is committed.
 */
export function endAtDeadline(kernel: Kernel, places: Places): string {
  const mode = safeModeOf(readMachine(kernel, places).report);
  if (mode?.asked) return `slot ${mode.slot} runs in safe mode, as it was asked for: it stays so until somebody reboots`;
  return giveUpTry(kernel, places, ({ control }) =>
    mode === null
      ? `trial deadline of ${control.trialDeadline} s passed without commit`
      : `safe mode ended after ${control.trialDeadline} s, for the next rung of the recovery`,
  );
}

export const verb: Verb = {
  help: `
Usage: slipway trial-deadline

Run by slipway-trial-deadline.timer, trial-deadline: seconds after the handover: when the image on trial was not committed by
then, notes so in the boot journal and reboots, without credit and without waiting for units to stop. Refused once the image
is committed. Safe mode ends so too, and the machine goes on to repair itself, unless somebody asked for it. Not meant to be run by hand.`,
  options: {},
  positionals: [],
  async run() {
    console.log(`slipway: ${endAtDeadline(linuxKernel(), PLACES)}`);
    return 0;
  },
};
