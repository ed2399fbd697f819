import type { Operator } from "../../../state-ops/control.ts";
import { GENERATION } from "../../../state-ops/layout.ts";
import { O } from "../../kernel/constants.ts";
import { type Descriptor, type Kernel, KernelError } from "../../kernel/kernel.ts";
import { isCode, openBeneath, splitPath, withDescriptor } from "../beneath.ts";
import type { Place } from "../clone-metadata.ts";

/** Answers that say that there is no such place, or that what is there is no operator's: a link, a mount, another kind. */
const nothingThere = ["ENOENT", "ENOTDIR", "ELOOP", "EXDEV"];

/** Hands on what the image has at an operator's place, before anything is laid over it; null where it has no such thing. */
export function withImagePlace<Result>(
  kernel: Kernel,
  newRoot: Descriptor,
  operator: Operator,
  use: (place: Place) => Result,
): Result | null {
  const path = operator.path.slice(1);
  const [directory, name] = operator.kind === "directory" ? [path, "."] : splitPath(path);
  return naming(operator, () => withPlace(kernel, newRoot, directory, name, operator, use));
}

/**
 * Hands on a persistent store of a generation: what a bind or an overlay shows of it. Null where the generation has none, and
 * where what is there is no store: that is told when it is laid.
 */
export function withStorePlace<Result>(
  kernel: Kernel,
  generation: Descriptor,
  operator: Operator,
  use: (place: Place) => Result,
): Result | null {
  const { id } = operator;
  const [directory, name] = operator.via === "overlay" ? [`${GENERATION.overlays}/${id}`, "upper"] : [GENERATION.tree, id];
  return naming(operator, () => withPlace(kernel, generation, directory, name, operator, use));
}

/** A failed call on a descriptor tells nobody what it was about. */
function naming<Result>({ path }: Operator, work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof KernelError) || error.subject.startsWith(`state of ${path}: `)) throw error;
    throw new KernelError(error.call, `state of ${path}: ${error.subject}`, error.code);
  }
}

function withPlace<Result>(
  kernel: Kernel,
  root: Descriptor,
  directory: string,
  name: string,
  { kind }: Operator,
  use: (place: Place) => Result,
): Result | null {
  const at = openOrNull(kernel, root, directory === "" ? "." : directory);
  if (at === null) return null;
  return withDescriptor(
    kernel,
    () => at,
    () => (kindOf(kernel, { at, name }) === kind ? use({ at, name }) : null),
  );
}

function openOrNull(kernel: Kernel, root: Descriptor, path: string): Descriptor | null {
  try {
    return openBeneath(kernel, root, path, O.RDONLY | O.DIRECTORY);
  } catch (error) {
    if (isCode(error, ...nothingThere)) return null;
    throw error;
  }
}

function kindOf(kernel: Kernel, place: Place): string | null {
  try {
    return kernel.statusAt(place.name, place.at).kind;
  } catch (error) {
    if (isCode(error, "ENOENT")) return null;
    throw error;
  }
}
