/** The parts of a generation's order that a test does not look at: no operators, nothing to adapt, no other generation to touch. */

import type { GenerationOrder } from "../../init/state/generations.ts";
import { NO_WORK } from "../../state-ops/generation-work.ts";

export const plainOrder: Pick<GenerationOrder, "operators" | "newRoot" | "adapt" | "work"> = {
  operators: [],
  newRoot: -1,
  work: NO_WORK,
  adapt: () => ({ files: {}, notes: [] }),
};
