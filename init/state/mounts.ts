/** Mounts on the paths of steps. */
import type { StateStep } from "../../state-ops/state-plan.ts";
import { MNT, MS } from "../kernel/constants.ts";
import type { Path } from "../kernel/kernel.ts";
import { procPath, withDescriptor } from "./beneath.ts";
import type { Place } from "./clone-metadata.ts";
import { flagsOf, type LayContext, placeOf } from "./lay-context.ts";
import { openMountPoint, openTarget } from "./mount-point.ts";

/** Unmounts the topmost mount at the step's path. */
export function unmountStep(context: Pick<LayContext, "kernel" | "newRoot" | "run">, step: StateStep): void {
  const { kernel } = context;
  const { root, path } = placeOf(context, step);
  const open = () => openTarget(kernel, root, path, step.kind);
  withDescriptor(kernel, open, (fd) => kernel.unmount(procPath(fd), MNT.DETACH));
}

/** Mounts on the step's path, whose mount point is made where it can be, and hands the path to `mount`. Returns warnings. */
export function mountOn(context: LayContext, step: StateStep, image: Place | null, mount: (target: Path) => void): string[] {
  const { target, warnings } = openMountPoint(context, step, image);
  withDescriptor(
    context.kernel,
    () => target,
    (fd) => mount(procPath(fd)),
  );
  return warnings;
}

/** Runs `work` on what was just mounted at the step's path, and unmounts it where that throws. */
export function undoOnFailure<Result>(context: LayContext, step: StateStep, work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    unmountStep(context, step);
    throw error;
  }
}

/** Binds `source` on the step's path with the step's flags and `more`. Returns warnings. What fails leaves no mount behind. */
export function bindOn(context: LayContext, step: StateStep, image: Place | null, source: Path, more = 0): string[] {
  const { kernel } = context;
  const warnings = mountOn(context, step, image, (target) => kernel.mount(source, target, "", MS.BIND, ""));
  // A bind takes its flags from the mount it was made from; its own are set by a second call.
  remount(context, step, MS.BIND | MS.RELATIME | flagsOf(step) | more);
  return warnings;
}

/** Changes the flags of what was just mounted at the step's path, and unmounts it where that fails. */
export function remount(context: LayContext, step: StateStep, flags: number): void {
  const { kernel } = context;
  const { root, path } = placeOf(context, step);
  const open = () => openTarget(kernel, root, path, step.kind);
  undoOnFailure(context, step, () =>
    withDescriptor(kernel, open, (fd) => kernel.mount("none", procPath(fd), "", MS.REMOUNT | flags, "")),
  );
}
