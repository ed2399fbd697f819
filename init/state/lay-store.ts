/** Steps whose content is on the data filesystem. */
import { LAYOUT } from "../../state-ops/layout.ts";
import type { BindStep, OverlayStep, StateStep } from "../../state-ops/state-plan.ts";
import { O } from "../kernel/constants.ts";
import { type Descriptor, KernelError, type Path } from "../kernel/kernel.ts";
import { exists, openBeneath, procPath, splitPath, withDescriptor } from "./beneath.ts";
import type { Place } from "./clone-metadata.ts";
import { flagsOf, type LayContext } from "./lay-context.ts";
import type { StoreOrder } from "./make-store.ts";
import { bindOn, mountOn } from "./mounts.ts";
import { moveToTrash, removeTree } from "./remove-tree.ts";
import type { Stores } from "./stores.ts";

/** Under any other setting an upper layer is bound to one lower layer, and every update brings another. */
export const overlayOptions = "index=off,metacopy=off,redirect_dir=off,xino=off";

/** The store that a step keeps on the data filesystem; null where it keeps none. */
export function storeOf(step: StateStep, image: Place | null): StoreOrder | null {
  const { kind, mode, owner, group, context } = step;
  const root = { kind, mode, owner, group, context, image };
  if (step.do === "bind") {
    const { store, formerStore, seed, literal, generate } = step;
    return { ...root, path: store, formerPath: formerStore, seed, literal, generate };
  }
  if (step.do !== "overlay") return null;
  return { ...root, path: step.upper, formerPath: null, seed: "none", literal: null, generate: null };
}

/** Lays one store over the image. Returns warnings. */
export function layBind(context: LayContext, step: BindStep, order: StoreOrder): string[] {
  const { store, warnings } = dataOf(context).open(order);
  return withDescriptor(
    context.kernel,
    () => store,
    (fd) => [...warnings, ...bindOn(context, step, order.image, procPath(fd))],
  );
}

/** Lays an overlay whose upper layer is a store. Returns warnings. */
export function layOverlay(context: LayContext, step: OverlayStep, order: StoreOrder): string[] {
  const { kernel } = context;
  const data = dataOf(context);
  const lower = lowerOf(order.image);
  const { store: upper, warnings } = data.open(order);
  return withDescriptor(
    kernel,
    () => upper,
    () => {
      const [parent, name] = splitPath(step.work);
      const work = () => openEmpty(context, data, parent, name);
      return withDescriptor(kernel, work, (fd) => [...warnings, ...mountOverlay(context, step, { lower, upper, work: fd })]);
    },
  );
}

/** The image's directory that an overlay shows. */
export function lowerOf(image: Place | null): Place {
  if (image === null) throw new Error("the image has no such directory to lay an overlay over; make it at build time");
  return image;
}

/** Mounts an overlay on the step's path. Returns warnings. */
export function mountOverlay(
  context: LayContext,
  step: StateStep,
  { lower, upper, work }: { lower: Place; upper: Descriptor; work: Descriptor },
): string[] {
  // Descriptors instead of paths: nothing on the data partition is trusted as a path, and nothing needs escaping.
  const layers = `lowerdir=${procPath(lower.at)},upperdir=${procPath(upper)},workdir=${procPath(work)}`;
  const options = `${layers},${overlayOptions}`;
  const mount = (target: Path) => context.kernel.mount("overlay", target, "overlay", flagsOf(step), options);
  return mountOn(context, step, lower, mount);
}

/** What an overlay left in its work directory belongs to the boot before. What resists being deleted goes to trash/. */
function openEmpty({ kernel, onProgress }: LayContext, data: Stores, parent: string, name: string): Descriptor {
  const directory = data.directories.at(parent);
  try {
    removeTree(kernel, directory, name, onProgress);
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    if (exists(kernel, directory, name)) moveToTrash(kernel, data.root, directory, name);
  }
  kernel.makeDirectory(name, 0o700, directory);
  return openBeneath(kernel, directory, name, O.RDONLY | O.DIRECTORY);
}

function dataOf({ data }: LayContext): Stores {
  if (data === null) {
    throw new Error(`there is no data filesystem to keep it on; see "data:" in system.yaml, and ${LAYOUT.file} at its root`);
  }
  return data;
}
