import { Refusal } from "../../state-ops/outcome.ts";
import type { Places } from "../commands/machine.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { settleBootloaders } from "./settle.ts";

/**
 * What a slot's commit does for the bootloader: the one on trial is good too, since a system came up by it, and the firmware's
 * entries are put right. The slot is committed whatever becomes of this: what fails is a warning.
 */
export function settleAfterCommit(kernel: Kernel, places: Places, waitMs: number): { did: string[]; warnings: string[] } {
  try {
    const { did, warnings } = settleBootloaders(kernel, places, { commit: true, how: "sizes", who: "slipway commit", waitMs });
    return { did, warnings: warnings.map((warning) => `bootloader: ${warning}`) };
  } catch (error) {
    const what =
      error instanceof Refusal ? error.message : `it cannot be looked after: ${error instanceof Error ? error.message : error}`;
    return { did: [], warnings: [`bootloader: ${what}`] };
  }
}
