import { type CloneProgress, progressLine } from "../../state-ops/clone-progress.ts";
import { cloneRules } from "../../state-ops/clone-rules.ts";
import type { Operator } from "../../state-ops/control.ts";
import { generationName } from "../../state-ops/layout.ts";
import type { GenerationPlan } from "../../state-ops/planned-generation.ts";
import { type Descriptor, KernelError } from "../kernel/kernel.ts";
import type { OnProgress } from "../state/beneath.ts";
import { measureStores } from "../state/estimate.ts";
import type { Launch } from "./launch.ts";

/** A clone that takes no longer than this is not told of, milliseconds. */
const FIRST_AFTER = 2000;
/** Time between two lines, milliseconds. */
const EVERY = 4000;

/**
 * Feeds the watchdog while a generation is made, and tells of a long clone on the console. How much there is to clone is
 * looked up only then, so that a short one does not pay for it.
 */
export function cloneTold(launch: Launch, data: Descriptor, plan: GenerationPlan, operators: readonly Operator[]): OnProgress {
  const { kernel } = launch;
  const beganMs = kernel.now().bootMs;
  let nextMs = beganMs + FIRST_AFTER;
  let total: CloneProgress["total"] = null;
  let measured = false;
  return (bytes, files) => {
    launch.chores();
    const nowMs = kernel.now().bootMs;
    if (plan.do !== "clone" || nowMs < nextMs) return;
    nextMs = nowMs + EVERY;
    if (!measured) {
      measured = true;
      total = measure(launch, data, plan, operators);
    }
    const progress = { bytes, files, elapsedMs: nowMs - beganMs, total };
    launch.log.notice(progressLine(generationName(plan.from), progress));
  };
}

function measure(
  launch: Launch,
  data: Descriptor,
  plan: { from: number; without: readonly string[] },
  operators: readonly Operator[],
) {
  try {
    const { bytes, files, whole } = measureStores(launch.kernel, data, plan.from, cloneRules(operators, plan.without), () =>
      launch.chores(),
    );
    return whole ? { bytes, files } : null;
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    return null;
  }
}
