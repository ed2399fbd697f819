import type { StateStep } from "../../state-ops/state-plan.ts";
import type { Place } from "./clone-metadata.ts";
import type { LayContext } from "./lay-context.ts";
import { layReadonly, laySymlink } from "./lay-image.ts";
import { layMask, layMemoryOverlay, layTmpfs } from "./lay-memory.ts";
import { layBind, layOverlay, storeOf } from "./lay-store.ts";
import type { StoreOrder } from "./make-store.ts";

/**
 * Lays one step over the new root; `image` is what the image has at its place, `store` what {@link storeOf} says of it.
 * Returns warnings. What fails leaves no mount behind. Throws KernelError or Error.
 */
export function layStep(context: LayContext, step: StateStep, image: Place | null, store: StoreOrder | null): string[] {
  switch (step.do) {
    case "tmpfs":
      return layTmpfs(context, step, image);
    case "memory-overlay":
      return layMemoryOverlay(context, step, image);
    case "mask":
      return layMask(context, step, image);
    case "readonly":
      return layReadonly(context, step, image);
    case "symlink":
      return laySymlink(context, step);
  }
  const order = store ?? storeOf(step, image);
  if (order === null) return [];
  return step.do === "bind" ? layBind(context, step, order) : layOverlay(context, step, order);
}
