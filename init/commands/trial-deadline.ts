import type { Kernel } from "../kernel/kernel.ts";
import { linuxKernel } from "../kernel/linux.ts";
import { giveUpTry } from "./give-up-try.ts";
import { PLACES, type Places } from "./machine.ts";
import type { Verb } from "./verb.ts";

/** Reboots when the image on trial was not committed by now. Throws Refusal once it is committed. */
export function endAtDeadline(kernel: Kernel, places: Places): string {
  return giveUpTry(kernel, places, ({ control }) => `trial deadline of ${control.trialDeadline} s passed without commit`);
}

export const verb: Verb = {
  help: `
Usage: slipway trial-deadline

Run by slipway-trial-deadline.timer, trial-deadline: seconds after the handover: when the image on trial was not committed by
then, notes so in the boot journal and reboots, without credit and without waiting for units to stop. Refused once the image
is committed. Not meant to be run by hand.`,
  options: {},
  positionals: [],
  async run() {
    console.log(`slipway: ${endAtDeadline(linuxKernel(), PLACES)}`);
    return 0;
  },
};
