import { degrade, type StateStep } from "../../state-ops/state-plan.ts";
import { O } from "../kernel/constants.ts";
import type { Descriptor, Kernel, Path } from "../kernel/kernel.ts";
import { type OnProgress, withDescriptor } from "./beneath.ts";
import { ImagePlaces } from "./image-places.ts";
import { type LayContext, layStep, unmountFromRun } from "./lay-step.ts";
import { reasonOf, StateFailure } from "./state-failure.ts";

export interface StateOrder {
  /** Parents first. */
  steps: readonly StateStep[];
  /** Root directory of the mounted image. */
  newRoot: Descriptor;
  /** Root directory of the data filesystem; null: there is none, and no step may need it. */
  data: Descriptor | null;
  /** Called at least every few MiB or 100 files, so that the watchdog can be fed. */
  onProgress: OnProgress;
  /** Where /run's own tmpfs is mounted now; "/run" if absent. */
  run?: Path;
}

export interface StateResult {
  /** Paths that got a tmpfs instead of their store, and why: a trial cannot be committed. */
  degraded: { path: string; reason: string }[];
  /** What was not as it should be and changes nothing of the above. */
  warnings: string[];
}

/**
 * Lays the declared state over the image, by descriptor only. /proc must be mounted. A step that fails is replaced by a
 * tmpfs where its operator says `degraded`; else throws {@link StateFailure}. What was mounted before stays then and goes
 * with the new root, but nothing stays mounted below /run.
 */
export function applyState(kernel: Kernel, order: StateOrder): StateResult {
  const { steps, newRoot, data, onProgress } = order;
  const result: StateResult = { degraded: [], warnings: [] };
  const laid: string[] = [];
  const images = new ImagePlaces(kernel, newRoot, steps);
  try {
    const openRun = () => kernel.open(order.run ?? "/run", O.RDONLY | O.DIRECTORY);
    withDescriptor(kernel, openRun, (run) => {
      const context: LayContext = { newRoot, data, run, laid, onProgress };
      try {
        for (const step of steps) {
          layOrDegrade(kernel, context, step, images, result);
          laid.push(step.path);
        }
      } catch (error) {
        for (const step of steps.slice(0, laid.length).reverse()) unmountFromRun(kernel, run, step);
        throw error;
      }
    });
  } finally {
    images.close();
  }
  return result;
}

function layOrDegrade(kernel: Kernel, context: LayContext, step: StateStep, images: ImagePlaces, result: StateResult): void {
  const path = `/${step.path}`;
  const lay = (actual: StateStep): string | null => {
    try {
      result.warnings.push(...layStep(kernel, context, actual, images.of(step)));
      return null;
    } catch (error) {
      return reasonOf(error);
    }
  };
  const failure = lay(step);
  if (failure === null) {
    if (step.do === "tmpfs" && step.degraded) {
      result.degraded.push({ path, reason: "there is no data filesystem to keep it on" });
    }
    return;
  }
  if (step.onFailure === "required") throw new StateFailure(path, failure, step.origin);
  const second = lay(degrade(step));
  if (second !== null) throw new StateFailure(path, `${failure}; a tmpfs instead failed as well: ${second}`, step.origin);
  result.degraded.push({ path, reason: failure });
}
