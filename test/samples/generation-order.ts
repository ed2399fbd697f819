/** The parts of a generation's order that a test does not look at: no operators, nothing to adapt. */
import type { GenerationOrder } from "../../init/state/generations.ts";

export const plainOrder: Pick<GenerationOrder, "operators" | "newRoot" | "adapt"> = {
  operators: [],
  newRoot: -1,
  adapt: () => ({ files: {}, notes: [] }),
};
