/** What a boot does about each operator: steps that PID 1 carries out in order, parents first. */
import type { MountFlag, Operator } from "./control.ts";
import { GENERATION, LAYOUT } from "./layout.ts";
import { Refusal } from "./outcome.ts";

/** What every step says of its operator. */
interface StepBase {
  /** Where, relative to the new root: "var/lib/app". */
  path: string;
  /**
   * The path is below /run, which the handover moves: it is made (parents too, 0755 root) on /run's own tmpfs, wherever
   * that is mounted now.
   */
  onRun: boolean;
  id: string;
  kind: "directory" | "file";
  /** Permission bits and owners of the visible root; null keeps the image's (0755 root where the image has nothing). */
  mode: number | null;
  owner: number | null;
  group: number | null;
  /** SELinux label of the visible root; null sets none. */
  context: string | null;
  /** All flags of the mount. */
  flags: MountFlag[];
  onFailure: Operator["onFailure"];
  /** `package/file:line` */
  origin: string;
}

/** What a new store starts with. */
interface Content {
  seed: Operator["seed"];
  /** Text of a file with `seed: "literal"`. */
  literal: string | null;
  generate: Operator["generate"];
}

/** Limits of a tmpfs. */
interface Limits {
  /** Bytes; null for the kernel's default of half the memory. */
  size: number | null;
  /** Files and directories; null for the kernel's default. */
  inodes: number | null;
}

/**
 * Memory: a fresh tmpfs; for `kind: "file"` a file in memory, bound on the path. Below /run nothing is mounted unless
 * {@link needsMount} says so.
 */
export interface TmpfsStep extends StepBase, Content, Limits {
  do: "tmpfs";
  /** Nobody may write to it: it stands for what was to be read-only. */
  readOnly: boolean;
  /** It stands for something that could not be laid, so a trial cannot be committed. */
  degraded: boolean;
}

/** A store, bound on the path. */
export interface BindStep extends StepBase, Content {
  do: "bind";
  /** Relative to the data filesystem's root: "gens/000017/tree/var-lib-app", "shared/var-lib-app". */
  store: string;
  /**
   * Where earlier images had it. Used as it is where there is such a store and no `store`: an image that knows only the old
   * name must still find it. Null for persistent state, whose stores are renamed when a generation is cloned.
   */
  formerStore: string | null;
}

/** An overlay over the image's directory, with index=off,metacopy=off,redirect_dir=off,xino=off. */
export interface OverlayStep extends StepBase {
  do: "overlay";
  /** Relative to the data filesystem's root: "gens/000017/ovl/etc/upper". */
  upper: string;
  /** Relative to the data filesystem's root, made empty at every boot: "gens/000017/work/etc". */
  work: string;
}

/** As {@link OverlayStep}, with its layers on a tmpfs that nothing but the overlay shows. */
export interface MemoryOverlayStep extends StepBase, Limits {
  do: "memory-overlay";
}

/**
 * A link. The image has it, or it lies inside an operator that may be written: there it is made, and what else is found in
 * its place is renamed to NAME.replaced.
 */
export interface SymlinkStep extends StepBase {
  do: "symlink";
  /** Absolute. */
  target: string;
}

/** Hides the path and all below it: an empty directory or file of mode 0000 that cannot be written. */
export interface MaskStep extends StepBase {
  do: "mask";
}

/** The image's own content, read-only, inside an operator that may be written. */
export interface ReadonlyStep extends StepBase {
  do: "readonly";
}

export type StateStep = TmpfsStep | BindStep | OverlayStep | MemoryOverlayStep | SymlinkStep | MaskStep | ReadonlyStep;

/** A generation ("gens/000017") for persistent state; null: there is no data filesystem to use. */
export interface StateContext {
  generation: string | null;
}

/**
 * The steps that lay `operators` over an image, in the operators' order (parents first). Without a
 * generation, what may be `degraded` becomes a tmpfs; Refusal where a store is required.
 */
export function planState(operators: readonly Operator[], context: StateContext): StateStep[] {
  return operators.map((operator) => planOperator(operator, context));
}

/**
 * The memory that stands in for a step that failed. The caller has looked at `onFailure`, and reports it. Null where memory
 * is no substitute: a link stays what it was, and nothing weaker than a mask hides what a mask hides, so that the slot fails.
 */
export function degrade(step: StateStep): TmpfsStep | null {
  if (step.do === "symlink" || step.do === "mask") return null;
  const { path, onRun, id, kind, mode, owner, group, context, flags, onFailure, origin } = step;
  const base = { path, onRun, id, kind, mode, owner, group, context, flags, onFailure, origin };
  const image = { seed: "image" as const, literal: null, generate: null };
  const hasContent = step.do === "tmpfs" || step.do === "bind";
  const { seed, literal, generate } = hasContent ? step : image;
  const readOnly = step.do === "readonly" || (step.do === "tmpfs" && step.readOnly);
  return { do: "tmpfs", ...base, seed, literal, generate, size: null, inodes: null, readOnly, degraded: true };
}

/**
 * Memory in the place of an operator's store, as if it were ephemeral: an overlay over the image's directory where that is what
 * a new store starts with, so that nothing is copied. `size` limits a directory, in bytes.
 */
export function standInMemory(operator: Operator, size: number | null): TmpfsStep | MemoryOverlayStep {
  const base = stepBase(operator);
  const { kind, seed, literal, generate } = operator;
  const limits = { size: kind === "directory" ? size : null, inodes: null };
  if (kind === "directory" && seed === "image") return { do: "memory-overlay", ...base, ...limits };
  return { do: "tmpfs", ...base, seed, literal, generate, ...limits, readOnly: false, degraded: false };
}

/** Whether a step on /run mounts anything; a directory on /run's own tmpfs does without. */
export function needsMount({ onRun, kind, size, inodes, flags, readOnly }: TmpfsStep): boolean {
  const asOnRun = flags.length === 2 && flags.includes("nodev") && flags.includes("nosuid");
  return !onRun || kind === "file" || size !== null || inodes !== null || readOnly || !asOnRun;
}

/** Whether the running system may write below the step's path. */
export function isWritable(step: StateStep): boolean {
  if (step.do === "tmpfs") return !step.readOnly;
  return step.do === "bind" || step.do === "overlay" || step.do === "memory-overlay";
}

/** Whether the kernel must know overlayfs. */
export function needsOverlay(steps: readonly StateStep[]): boolean {
  return steps.some((step) => step.do === "overlay" || step.do === "memory-overlay");
}

function planOperator(operator: Operator, context: StateContext): StateStep {
  const base = stepBase(operator);
  const { size, inodes, seed, literal, generate, target } = operator;
  const inMemory: TmpfsStep = { do: "tmpfs", ...base, seed, literal, generate, size, inodes, readOnly: false, degraded: false };
  switch (operator.via) {
    case "tmpfs":
      return inMemory;
    case "bind":
      return operator.state === "ephemeral" ? inMemory : planStore(operator, context, bindStep);
    case "overlay":
      if (operator.state === "ephemeral") return { do: "memory-overlay", ...base, size, inodes };
      return planStore(operator, context, overlayStep);
    case "symlink":
      return { do: "symlink", ...base, target: target ?? "" };
    case "mask":
      return { do: "mask", ...base };
    case "readonly":
      return { do: "readonly", ...base };
  }
}

type StoreStep = BindStep | OverlayStep;

function planStore(
  operator: Operator,
  context: StateContext,
  step: (operator: Operator, generation: string) => StoreStep,
): StateStep {
  const { path, state, origin } = operator;
  if (context.generation !== null) return step(operator, context.generation);
  const instead = operator.onFailure === "degraded" ? degrade(step(operator, "")) : null;
  if (instead === null) {
    throw new Refusal(`${path} is ${state} state (${origin}), and there is no data filesystem to keep it on`);
  }
  return instead;
}

function bindStep(operator: Operator, generation: string): BindStep {
  const { id, state, seed, literal, generate, renamedFrom } = operator;
  const rolledBack = state === "persistent";
  const store = rolledBack ? `${generation}/${GENERATION.tree}/${id}` : `${LAYOUT.shared}/${id}`;
  const formerStore = rolledBack || renamedFrom === null ? null : `${LAYOUT.shared}/${renamedFrom}`;
  return { do: "bind", ...stepBase(operator), store, formerStore, seed, literal, generate };
}

function overlayStep(operator: Operator, generation: string): OverlayStep {
  const upper = `${generation}/${GENERATION.overlays}/${operator.id}/upper`;
  return { do: "overlay", ...stepBase(operator), upper, work: `${generation}/${GENERATION.work}/${operator.id}` };
}

function stepBase(operator: Operator): StepBase {
  const { id, kind, mode, owner, group, context, flags, onFailure, origin } = operator;
  const path = operator.path.slice(1);
  const onRun = path.startsWith("run/");
  return { path, onRun, id, kind, mode, owner, group, context, flags, onFailure, origin };
}
