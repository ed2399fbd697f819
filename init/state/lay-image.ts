/** Steps that show the image's own content, or a link. */
import type { ReadonlyStep, SymlinkStep } from "../../state-ops/state-plan.ts";
import { MS, O } from "../kernel/constants.ts";
import type { Descriptor, Kernel } from "../kernel/kernel.ts";
import { isCode, openBeneath, procPath, splitPath, withDescriptor } from "./beneath.ts";
import type { Place } from "./clone-metadata.ts";
import { type LayContext, placeOf } from "./lay-context.ts";
import { inMadeParent, inParent } from "./make-path.ts";
import { insideWritable, setAside } from "./mount-point.ts";
import { bindOn } from "./mounts.ts";

/** Binds what the image has at the path, read-only. Returns warnings. */
export function layReadonly(context: LayContext, step: ReadonlyStep, image: Place | null): string[] {
  const { kernel } = context;
  if (image === null) throw new Error(`the image has nothing there that could be shown; put it there, or leave the operator out`);
  const flags = step.kind === "directory" ? O.PATH | O.DIRECTORY : O.PATH;
  const open = () => openBeneath(kernel, image.at, image.name, flags);
  return withDescriptor(kernel, open, (content) => {
    const { kind } = kernel.status(content);
    if (kind !== step.kind) throw new Error(`the image has a ${kind} there, which is declared as a ${step.kind}`);
    return bindOn(context, step, image, procPath(content), MS.RDONLY);
  });
}

/** Sees to the link at the path: the image's own, or one in an operator that may be written. Returns warnings. */
export function laySymlink(context: LayContext, step: SymlinkStep): string[] {
  const { kernel } = context;
  const { root, path } = placeOf(context, step);
  const [parent, name] = splitPath(path);
  const writable = insideWritable(context, step);
  const inside = writable ? inMadeParent : inParent;
  return inside(kernel, root, parent, (directory) => {
    const seen = linkTarget(kernel, directory, name);
    if (seen === step.target) return [];
    if (!writable) {
      const found = seen === null ? "no link" : `a link to ${seen}`;
      throw new Error(`the image has ${found} there; make it a link to ${step.target} at build time`);
    }
    const warnings = setAside(context, directory, name, step);
    kernel.makeSymlink(step.target, name, directory);
    return warnings;
  });
}

/** Where a link points; null where there is none. */
function linkTarget(kernel: Kernel, directory: Descriptor, name: string): string | null {
  try {
    return new TextDecoder().decode(kernel.readLink(name, directory));
  } catch (error) {
    if (isCode(error, "ENOENT", "EINVAL")) return null;
    throw error;
  }
}
