import type { MountFlag, Operator } from "./control.ts";
import { GENERATION, LAYOUT } from "./layout.ts";
import { Refusal } from "./outcome.ts";

/** What every step says of its operator. */
interface StepBase {
  /** Where, relative to the new root: "var/lib/app". */
  path: string;
  id: string;
  kind: "directory" | "file";
  /** Permission bits and owners of the visible root; null keeps the image's (0755 root where the image has nothing). */
  mode: number | null;
  owner: number | null;
  group: number | null;
  generate: Operator["generate"];
  /** All flags of the mount. */
  flags: MountFlag[];
  onFailure: Operator["onFailure"];
  /** `package/file:line` */
  origin: string;
}

/** Memory: a fresh tmpfs. For `kind: "file"` (only after {@link degrade}) a file in memory, bound on the path. */
export interface TmpfsStep extends StepBase {
  do: "tmpfs";
  /** Bytes; null for the kernel's default of half the memory. */
  size: number | null;
  /** Copy what the image has there into it. */
  seedFromImage: boolean;
  /**
   * The path is below /run, which the handover moves: the directory is made (parents too, 0755 root) on /run's own
   * tmpfs, wherever that is mounted now. Nothing is mounted unless `size` limits it.
   */
  makeTarget: boolean;
  /** It stands for a store that could not be used, so a trial cannot be committed. */
  degraded: boolean;
}

/** A store, bound on the path. */
export interface BindStep extends StepBase {
  do: "bind";
  /** Relative to the data filesystem's root: "gens/000017/tree/var-lib-app", "shared/var-lib-app". */
  store: string;
  /** What the store starts with where it does not exist yet. */
  seed: Operator["seed"];
}

/** An overlay over the image's directory, with index=off,metacopy=off,redirect_dir=off,xino=off. */
export interface OverlayStep extends StepBase {
  do: "overlay";
  /** Relative to the data filesystem's root: "gens/000017/ovl/etc/upper". */
  upper: string;
  /** Relative to the data filesystem's root, made empty at every boot: "work/a/etc". */
  work: string;
}

export type StateStep = TmpfsStep | BindStep | OverlayStep;

/** A generation ("gens/000017") for persistent state; null: there is no data filesystem to use. */
export interface StateContext {
  generation: string | null;
  slot: string;
}

/**
 * The steps that lay `operators` over the image in `context.slot`, in the operators' order (parents first). Without a
 * generation, what may be `degraded` becomes a tmpfs; Refusal where a store is required.
 */
export function planState(operators: readonly Operator[], context: StateContext): StateStep[] {
  return operators.map((operator) => planOperator(operator, context));
}

/** The tmpfs that stands in for a step that failed. The caller has looked at `onFailure`, and reports it. */
export function degrade(step: StateStep): TmpfsStep {
  const { path, id, kind, mode, owner, group, generate, flags, onFailure, origin } = step;
  const base = { path, id, kind, mode, owner, group, generate, flags, onFailure, origin };
  const seedFromImage = step.do === "tmpfs" ? step.seedFromImage : step.do === "overlay" || step.seed === "image";
  const makeTarget = step.do === "tmpfs" && step.makeTarget;
  return { do: "tmpfs", ...base, size: null, seedFromImage, makeTarget, degraded: true };
}

function planOperator(operator: Operator, context: StateContext): StateStep {
  const base = stepBase(operator);
  if (operator.via === "tmpfs") {
    const makeTarget = operator.path.startsWith("/run/");
    return { do: "tmpfs", ...base, size: operator.size, seedFromImage: operator.seed === "image", makeTarget, degraded: false };
  }
  const { id, state, path, seed, origin } = operator;
  if (context.generation === null) {
    if (operator.onFailure === "required") {
      throw new Refusal(`${path} is ${state} state (${origin}), and there is no data filesystem to keep it on`);
    }
    return { do: "tmpfs", ...base, size: null, seedFromImage: seed === "image", makeTarget: false, degraded: true };
  }
  if (operator.via === "overlay") {
    const upper = `${context.generation}/${GENERATION.overlays}/${id}/upper`;
    return { do: "overlay", ...base, upper, work: `${LAYOUT.work}/${context.slot}/${id}` };
  }
  const store = state === "persistent" ? `${context.generation}/${GENERATION.tree}/${id}` : `${LAYOUT.shared}/${id}`;
  return { do: "bind", ...base, store, seed };
}

function stepBase(operator: Operator): StepBase {
  const { id, kind, mode, owner, group, generate, flags, onFailure, origin } = operator;
  return { path: operator.path.slice(1), id, kind, mode, owner, group, generate, flags, onFailure, origin };
}
