import type { MountFlag } from "../../state-ops/control.ts";
import { LAYOUT } from "../../state-ops/layout.ts";
import type { BindStep, OverlayStep, StateStep, TmpfsStep } from "../../state-ops/state-plan.ts";
import { MNT, MS, O } from "../kernel/constants.ts";
import type { Descriptor, Kernel } from "../kernel/kernel.ts";
import {
  makeDirectories,
  type OnProgress,
  openBeneath,
  openThroughMounts,
  procPath,
  splitPath,
  withDescriptor,
  withDirectory,
} from "./beneath.ts";
import { copyMetadata, type Place } from "./clone-metadata.ts";
import { cloneDirectory } from "./clone-tree.ts";
import { makePath, openMountPoint, openTarget } from "./mount-point.ts";
import { removeTree } from "./remove-tree.ts";
import { openStore, type StoreOrder } from "./stores.ts";

export interface LayContext {
  newRoot: Descriptor;
  /** Root of the data filesystem. */
  data: Descriptor | null;
  /** Root of /run's own tmpfs. */
  run: Descriptor;
  /** Paths that are laid already, relative to the new root. */
  laid: readonly string[];
  onProgress: OnProgress;
}

/** Files in memory that stand for stores of files, on /run's tmpfs. */
export const memoryFiles = "slipway/memory";
const mountFlags: Record<MountFlag, number> = {
  nodev: MS.NODEV,
  nosuid: MS.NOSUID,
  noexec: MS.NOEXEC,
  nosymfollow: MS.NOSYMFOLLOW,
};
/** Under any other setting an upper layer is bound to one lower layer, and every update brings another. */
export const overlayOptions = "index=off,metacopy=off,redirect_dir=off,xino=off";

/**
 * Lays one step over the new root; `image` is what the image has at its place. Returns warnings. What fails leaves no
 * mount behind. Throws KernelError or Error.
 */
export function layStep(kernel: Kernel, context: LayContext, step: StateStep, image: Place | null): string[] {
  switch (step.do) {
    case "tmpfs":
      return step.kind === "file" ? layMemoryFile(kernel, context, step, image) : layTmpfs(kernel, context, step, image);
    case "bind":
      return layBind(kernel, context, step, image);
    case "overlay":
      return layOverlay(kernel, context, step, image);
  }
}

/** Unmounts what a step mounted on /run's tmpfs, which the next slot gets too: it would mount its own over it. */
export function unmountFromRun(kernel: Kernel, run: Descriptor, step: StateStep): void {
  if (step.do !== "tmpfs" || !step.makeTarget || step.size === null) return;
  unmountAt(kernel, run, step.path.slice("run/".length), step.kind);
}

function unmountAt(kernel: Kernel, root: Descriptor, path: string, kind: StateStep["kind"]): void {
  const open = () => openTarget(kernel, root, path, kind);
  withDescriptor(kernel, open, (fd) => kernel.unmount(procPath(fd), MNT.DETACH));
}

function layTmpfs(kernel: Kernel, context: LayContext, step: TmpfsStep, image: Place | null): string[] {
  const root = step.makeTarget ? context.run : context.newRoot;
  const path = step.makeTarget ? step.path.slice("run/".length) : step.path;
  if (step.makeTarget) {
    makePath(kernel, root, path);
    if (step.size === null) return fillMemory(kernel, context, root, path, step, image);
  }
  const size = step.size === null ? "" : `,size=${step.size}`;
  const target = () => openMountPoint(kernel, root, { ...step, path }, image, step.makeTarget ? [] : context.laid);
  withDescriptor(kernel, target, (fd) => kernel.mount("tmpfs", procPath(fd), "tmpfs", flagsOf(step), `mode=0700${size}`));
  return undoOnFailure(kernel, root, { ...step, path }, () => fillMemory(kernel, context, root, path, step, image));
}

/** Content, owner and mode of a fresh directory in memory. */
function fillMemory(
  kernel: Kernel,
  context: LayContext,
  root: Descriptor,
  path: string,
  step: TmpfsStep,
  image: Place | null,
): string[] {
  const open = () => openThroughMounts(kernel, root, path, O.RDONLY | O.DIRECTORY);
  return withDescriptor(kernel, open, (top) => {
    let lost: string[] = [];
    if (image === null) {
      kernel.changeMode(top, 0o755);
    } else if (step.seedFromImage) {
      const options = { onProgress: context.onProgress, dropOptionalAttributes: true };
      lost = withDirectory(kernel, image.at, ".", (from) => cloneDirectory(kernel, from, top, options)).lostAttributes;
    } else {
      const status = kernel.status(image.at);
      const setMode = () => kernel.changeMode(top, status.mode);
      lost = copyMetadata(kernel, image, status, { at: top, name: "." }, setMode, true);
    }
    const { owner, group, mode } = kernel.status(top);
    if (step.owner !== null || step.group !== null) kernel.changeOwner(".", step.owner ?? owner, step.group ?? group, top);
    kernel.changeMode(top, step.mode ?? mode);
    return lost.length > 0 ? [`/${step.path} is without the attributes ${lost.join(", ")}, which a tmpfs does not know`] : [];
  });
}

function layMemoryFile(kernel: Kernel, context: LayContext, step: TmpfsStep, image: Place | null): string[] {
  makeDirectories(kernel, context.run, memoryFiles, 0o755);
  withDirectory(kernel, context.run, memoryFiles, (directory) => removeTree(kernel, directory, step.id, context.onProgress));
  const seed = step.seedFromImage ? "image" : "none";
  return bindStore(kernel, context, context.run, { ...step, do: "bind", seed, store: `${memoryFiles}/${step.id}` }, image);
}

function layBind(kernel: Kernel, context: LayContext, step: BindStep, image: Place | null): string[] {
  return bindStore(kernel, context, dataOf(context), step, image);
}

function bindStore(kernel: Kernel, context: LayContext, on: Descriptor, step: BindStep, image: Place | null): string[] {
  const { store, warnings } = openStore(kernel, on, storeOrder(step, step.store, step.seed, image), context.onProgress);
  try {
    const target = () => openMountPoint(kernel, context.newRoot, step, image, context.laid);
    withDescriptor(kernel, target, (fd) => kernel.mount(procPath(store), procPath(fd), "", MS.BIND, ""));
    // A bind takes its flags from the mount it was made from; its own are set by a second call.
    const flags = MS.REMOUNT | MS.BIND | MS.RELATIME | flagsOf(step);
    const remount = () => openTarget(kernel, context.newRoot, step.path, step.kind);
    undoOnFailure(kernel, context.newRoot, step, () =>
      withDescriptor(kernel, remount, (fd) => kernel.mount("none", procPath(fd), "", flags, "")),
    );
    return warnings;
  } finally {
    kernel.close(store);
  }
}

function layOverlay(kernel: Kernel, context: LayContext, step: OverlayStep, image: Place | null): string[] {
  const data = dataOf(context);
  if (image === null) throw new Error("the image has no such directory to lay an overlay over; make it at build time");
  const { store: upper, warnings } = openStore(kernel, data, storeOrder(step, step.upper, "none", image), context.onProgress);
  const mountOverlay = (work: Descriptor, target: Descriptor): void => {
    // Descriptors instead of paths: nothing on the data partition is trusted as a path, and nothing needs escaping.
    const layers = `lowerdir=${procPath(image.at)},upperdir=${procPath(upper)},workdir=${procPath(work)}`;
    kernel.mount("overlay", procPath(target), "overlay", flagsOf(step), `${layers},${overlayOptions}`);
  };
  try {
    const target = () => openMountPoint(kernel, context.newRoot, step, image, context.laid);
    withEmptyDirectory(kernel, data, step.work, context.onProgress, (work) =>
      withDescriptor(kernel, target, (fd) => mountOverlay(work, fd)),
    );
    return warnings;
  } finally {
    kernel.close(upper);
  }
}

/** What an overlay left in its work directory belongs to the boot before. */
function withEmptyDirectory(
  kernel: Kernel,
  data: Descriptor,
  path: string,
  onProgress: OnProgress,
  use: (fd: Descriptor) => void,
): void {
  const [parent, name] = splitPath(path);
  makeDirectories(kernel, data, parent);
  withDirectory(kernel, data, parent, (directory) => {
    removeTree(kernel, directory, name, onProgress);
    kernel.makeDirectory(name, 0o700, directory);
    withDescriptor(kernel, () => openBeneath(kernel, directory, name, O.RDONLY | O.DIRECTORY), use);
  });
}

function storeOrder(step: BindStep | OverlayStep, path: string, seed: StoreOrder["seed"], image: Place | null): StoreOrder {
  const { kind, generate, mode, owner, group } = step;
  return { path, kind, seed, generate, mode, owner, group, image };
}

function dataOf(context: LayContext): Descriptor {
  if (context.data === null) {
    throw new Error(`there is no data filesystem to keep it on; see "data:" in system.yaml, and ${LAYOUT.file} at its root`);
  }
  return context.data;
}

export function flagsOf(step: StateStep): number {
  return step.flags.reduce((flags, flag) => flags | mountFlags[flag], 0);
}

/** Runs `work` on what was just mounted at the step's path, and unmounts it where that throws. */
function undoOnFailure<Result>(kernel: Kernel, root: Descriptor, step: StateStep, work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    unmountAt(kernel, root, step.path, step.kind);
    throw error;
  }
}
