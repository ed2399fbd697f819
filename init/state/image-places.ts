import type { StateStep } from "../../state-ops/state-plan.ts";
import { O } from "../kernel/constants.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";
import { openThroughMounts, splitPath } from "./beneath.ts";
import type { Place } from "./clone-metadata.ts";

/**
 * What the image has at the places of the steps, opened before anything is laid over it: a mount on /var would hide what
 * /var/log starts with. The caller closes.
 */
export class ImagePlaces {
  readonly #places = new Map<StateStep, Place>();
  readonly #failures = new Map<StateStep, KernelError>();

  constructor(
    readonly kernel: Kernel,
    newRoot: Descriptor,
    steps: readonly StateStep[],
  ) {
    try {
      for (const step of steps) this.#open(newRoot, step);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Null where the image has nothing there. Throws what opening it threw: a link in the path, another kind of file. */
  of(step: StateStep): Place | null {
    const failure = this.failureOf(step);
    if (failure !== null) throw failure;
    return this.#places.get(step) ?? null;
  }

  /** What {@link of} throws; null where it does not. */
  failureOf(step: StateStep): KernelError | null {
    return this.#failures.get(step) ?? null;
  }

  close(): void {
    for (const { at } of this.#places.values()) this.kernel.close(at);
    this.#places.clear();
  }

  #open(newRoot: Descriptor, step: StateStep): void {
    // A link has no content, and nothing below /run is the image's.
    if (step.do === "symlink" || step.onRun) return;
    const [parent, name] = step.kind === "directory" ? [step.path, "."] : splitPath(step.path);
    try {
      const at = openThroughMounts(this.kernel, newRoot, parent === "" ? "." : parent, O.RDONLY | O.DIRECTORY);
      this.#places.set(step, { at, name });
      if (step.kind === "file") this.kernel.statusAt(name, at);
    } catch (error) {
      const place = this.#places.get(step);
      if (place !== undefined) this.kernel.close(place.at);
      this.#places.delete(step);
      if (!(error instanceof KernelError)) throw error;
      if (error.code !== "ENOENT") this.#failures.set(step, error);
    }
  }
}
