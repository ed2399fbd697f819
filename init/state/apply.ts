import { degrade, needsMount, type StateStep } from "../../state-ops/state-plan.ts";
import { O } from "../kernel/constants.ts";
import type { Descriptor, Kernel, Path } from "../kernel/kernel.ts";
import { type OnProgress, procPath, withDescriptor } from "./beneath.ts";
import type { Place } from "./clone-metadata.ts";
import { ImagePlaces } from "./image-places.ts";
import { type LayContext, placeOf } from "./lay-context.ts";
import { layStep } from "./lay-step.ts";
import { storeOf } from "./lay-store.ts";
import type { StoreOrder } from "./make-store.ts";
import { MemoryRoom } from "./memory-room.ts";
import { unmountStep } from "./mounts.ts";
import { reasonOf, StateFailure } from "./state-failure.ts";
import { Stores } from "./stores.ts";

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
 * Lays the declared state over the image, by descriptor only. /proc must be mounted. All stores that are missing are made
 * first, and made durable together. A step that fails is replaced by a tmpfs where its operator says `degraded`; else throws
 * {@link StateFailure}. What was mounted before stays then and goes with the new root, but nothing stays below /run.
 */
export function applyState(kernel: Kernel, order: StateOrder): StateResult {
  const { steps, newRoot, data, onProgress } = order;
  const images = new ImagePlaces(kernel, newRoot, steps);
  try {
    const openRun = () => kernel.open(order.run ?? "/run", O.RDONLY | O.DIRECTORY);
    return withDescriptor(kernel, openRun, (run) => {
      const memory = new MemoryRoom(kernel, run, onProgress);
      const stores = data === null ? null : new Stores(kernel, data, onProgress, true);
      try {
        return layAll({ kernel, newRoot, run, data: stores, memory, laid: [], onProgress }, steps, images);
      } finally {
        stores?.close();
        memory.close();
      }
    });
  } finally {
    images.close();
  }
}

function layAll(context: LayContext, steps: readonly StateStep[], images: ImagePlaces): StateResult {
  const result: StateResult = { degraded: [], warnings: [] };
  const laid: StateStep[] = [];
  const orders = storeOrders(steps, images);
  context.data?.make([...orders.values()]);
  try {
    for (const step of steps) {
      laid.push(layOrDegrade({ ...context, laid }, step, { images, order: orders.get(step) ?? null, result }));
    }
    return result;
  } catch (error) {
    for (const step of laid.reverse()) leaveRun(context, step);
    throw error;
  }
}

/** The stores of all steps. A step whose place in the image cannot be opened has none: laying it says why. */
function storeOrders(steps: readonly StateStep[], images: ImagePlaces): Map<StateStep, StoreOrder> {
  return new Map(
    steps.flatMap((step): [StateStep, StoreOrder][] => {
      const order = images.failureOf(step) === null ? storeOf(step, images.of(step)) : null;
      return order === null ? [] : [[step, order]];
    }),
  );
}

interface Laying {
  images: ImagePlaces;
  /** The step's store. */
  order: StoreOrder | null;
  result: StateResult;
}

/** Returns the step that was laid: the given one or what stands in for it. */
function layOrDegrade(context: LayContext, step: StateStep, { images, order, result }: Laying): StateStep {
  const path = `/${step.path}`;
  const failure = tryToLay(context, step, () => images.of(step), order, result);
  if (failure === null) {
    if (step.do === "tmpfs" && step.degraded) {
      result.degraded.push({ path, reason: "there is no data filesystem to keep it on" });
    }
    return step;
  }
  if (step.onFailure === "required") throw new StateFailure(path, failure, step.origin);
  if (step.do === "mask") {
    throw new StateFailure(path, `${failure}; on-failure: degraded changes nothing, for nothing weaker hides it`, step.origin);
  }
  const instead = degrade(step);
  if (instead === null) {
    result.degraded.push({ path, reason: `${failure}; it stays what it was` });
    return step;
  }
  const second = tryToLay(context, instead, () => images.of(step), null, result);
  if (second !== null) throw new StateFailure(path, `${failure}; a tmpfs instead failed as well: ${second}`, step.origin);
  result.degraded.push({ path, reason: failure });
  return instead;
}

/** Why the step could not be laid; null where it was. */
function tryToLay(
  context: LayContext,
  step: StateStep,
  image: () => Place | null,
  order: StoreOrder | null,
  result: StateResult,
): string | null {
  try {
    result.warnings.push(...layStep(context, step, image(), order));
    return null;
  } catch (error) {
    return reasonOf(error);
  }
}

/** Takes away what a step left on /run's tmpfs, which the next slot gets too: it would lay its own over it. */
function leaveRun(context: LayContext, step: StateStep): void {
  if (!step.onRun) return;
  const { root, path } = placeOf(context, step);
  if (step.do === "symlink") context.kernel.remove(procPath(root, path));
  else if (step.do !== "tmpfs" || needsMount(step)) unmountStep(context, step);
}
