/** Steps whose content is in memory. */
import { type MaskStep, type MemoryOverlayStep, needsMount, type TmpfsStep } from "../../state-ops/state-plan.ts";
import { MS, O } from "../kernel/constants.ts";
import { openBeneath, openThroughMounts, procPath, withDescriptor, withDirectory } from "./beneath.ts";
import { copyMetadata, type Place } from "./clone-metadata.ts";
import { cloneDirectory } from "./clone-tree.ts";
import { flagsOf, type LayContext, placeOf } from "./lay-context.ts";
import { lowerOf, mountOverlay } from "./lay-store.ts";
import { makePath } from "./make-path.ts";
import type { StoreOrder } from "./make-store.ts";
import { withLayers } from "./memory-room.ts";
import { bindOn, mountOn, remount, undoOnFailure } from "./mounts.ts";
import { applyRoot } from "./root-properties.ts";
import { Stores } from "./stores.ts";

/** Directories that PID 1 and the kernel make beside what an overlay in memory holds: root, upper, work, work/work. */
const ownDirectories = 4;

/** Lays a fresh tmpfs, or a file in memory. Returns warnings. */
export function layTmpfs(context: LayContext, step: TmpfsStep, image: Place | null): string[] {
  if (step.kind === "file") return layMemoryFile(context, step, image);
  const { root, path } = placeOf(context, step);
  if (step.onRun) makePath(context.kernel, root, path);
  if (!needsMount(step)) return fillMemory(context, step, image);
  const options = tmpfsOptions(step);
  const warnings = mountOn(context, step, image, (target) =>
    context.kernel.mount("tmpfs", target, "tmpfs", flagsOf(step), options),
  );
  const filled = undoOnFailure(context, step, () => fillMemory(context, step, image));
  if (step.readOnly) remount(context, step, MS.RDONLY | flagsOf(step));
  return [...warnings, ...filled];
}

/** Options of a step's tmpfs. Nobody sees into it before its root has its owner and mode. */
export function tmpfsOptions({ size, inodes }: Pick<TmpfsStep, "size" | "inodes">): string {
  return `mode=0700${size === null ? "" : `,size=${size}`}${inodes === null ? "" : `,nr_inodes=${inodes}`}`;
}

/** Options of the tmpfs that holds the layers of an overlay. */
export function layersOptions({ size, inodes }: MemoryOverlayStep): string {
  return tmpfsOptions({ size, inodes: inodes === null ? null : inodes + ownDirectories });
}

/** Content, owner, mode and label of a fresh directory in memory. */
function fillMemory(context: LayContext, step: TmpfsStep, image: Place | null): string[] {
  const { kernel, onProgress } = context;
  const { root, path } = placeOf(context, step);
  const open = () => openThroughMounts(kernel, root, path, O.RDONLY | O.DIRECTORY);
  return withDescriptor(kernel, open, (top) => {
    const self = { at: top, name: "." };
    let lost: string[] = [];
    if (image === null) {
      kernel.changeMode(top, 0o755);
    } else if (step.seed === "image") {
      const options = { onProgress, dropOptionalAttributes: true };
      lost = withDirectory(kernel, image.at, ".", (from) => cloneDirectory(kernel, from, top, options)).lostAttributes;
    } else {
      const status = kernel.status(image.at);
      lost = copyMetadata(kernel, image, status, self, () => kernel.changeMode(top, status.mode), true);
    }
    const unlabelled = applyRoot(kernel, self, kernel.status(top), step);
    return [
      ...(lost.length > 0 ? [`/${step.path} is without the attributes ${lost.join(", ")}, which a tmpfs does not know`] : []),
      ...unlabelled.map((text) => `/${step.path} ${text}`),
    ];
  });
}

/** A file on a tmpfs that nothing else shows, bound on the path. */
function layMemoryFile(context: LayContext, step: TmpfsStep, image: Place | null): string[] {
  const { seed, literal, generate, size, inodes } = step;
  const order = memoryOrder(step, { seed, literal, generate }, image);
  const more = step.readOnly ? MS.RDONLY : 0;
  if (size === null && inodes === null) return bindFromMemory(context, context.memory.stores, step, order, more);
  const { kernel, run, onProgress } = context;
  return withLayers(kernel, run, tmpfsOptions(step), (root) => {
    const stores = new Stores(kernel, root, onProgress, false);
    try {
      return bindFromMemory(context, stores, step, order, more);
    } finally {
      stores.close();
    }
  });
}

function bindFromMemory(
  context: LayContext,
  stores: Stores,
  step: TmpfsStep | MaskStep,
  order: StoreOrder,
  more: number,
): string[] {
  const { kernel } = context;
  makeFileMountPoint(context, step);
  stores.make([order]);
  const { store, warnings } = stores.open(order);
  return withDescriptor(
    kernel,
    () => store,
    (fd) => [...warnings, ...bindOn(context, step, order.image, procPath(fd), more)],
  );
}

/** On /run nothing is there yet, directories above it included: what a step needs there, openMountPoint makes. */
function makeFileMountPoint(context: LayContext, step: TmpfsStep | MaskStep): void {
  const { root, path } = placeOf(context, step);
  const slash = path.lastIndexOf("/");
  if (step.onRun && slash > 0) makePath(context.kernel, root, path.slice(0, slash));
}

function memoryOrder(
  step: TmpfsStep | MaskStep,
  content: Pick<StoreOrder, "seed" | "literal" | "generate">,
  image: Place | null,
): StoreOrder {
  const { id, kind, mode, owner, group, context } = step;
  return { path: id, formerPath: null, kind, mode, owner, group, context, image, ...content };
}

/** Lays an overlay whose layers are on a tmpfs that nothing else shows. Returns warnings. */
export function layMemoryOverlay(context: LayContext, step: MemoryOverlayStep, image: Place | null): string[] {
  const { kernel, run, onProgress } = context;
  const lower = lowerOf(image);
  const { kind, mode, owner, group, context: label } = step;
  const content = { seed: "none" as const, literal: null, generate: null };
  const order = { path: "upper", formerPath: null, kind, mode, owner, group, context: label, image: lower, ...content };
  return withLayers(kernel, run, layersOptions(step), (root) => {
    const stores = new Stores(kernel, root, onProgress, false);
    try {
      stores.make([order]);
      const { store, warnings } = stores.open(order);
      return withDescriptor(
        kernel,
        () => store,
        (upper) => {
          kernel.makeDirectory("work", 0o700, root);
          const work = () => openBeneath(kernel, root, "work", O.RDONLY | O.DIRECTORY);
          const mount = (fd: number) => mountOverlay(context, step, { lower, upper, work: fd });
          return [...warnings, ...withDescriptor(kernel, work, mount)];
        },
      );
    } finally {
      stores.close();
    }
  });
}

/** Lays an empty directory or file over the path, of mode 0000 and on a read-only mount. Returns warnings. */
export function layMask(context: LayContext, step: MaskStep, image: Place | null): string[] {
  const { kernel } = context;
  const hidden = { ...step, mode: 0, owner: 0, group: 0 };
  if (step.kind === "file") {
    const order = memoryOrder(hidden, { seed: "none", literal: null, generate: null }, null);
    return bindFromMemory(context, context.memory.stores, hidden, order, MS.RDONLY);
  }
  const flags = flagsOf(step) | MS.RDONLY;
  const early = step.context === null ? flags : flagsOf(step);
  const warnings = mountOn(context, step, image, (target) => kernel.mount("tmpfs", target, "tmpfs", early, "mode=0000"));
  if (step.context === null) return warnings;
  const { root, path } = placeOf(context, step);
  const open = () => openThroughMounts(kernel, root, path, O.RDONLY | O.DIRECTORY);
  const label = () =>
    withDescriptor(kernel, open, (top) => applyRoot(kernel, { at: top, name: "." }, kernel.status(top), hidden));
  const unlabelled = undoOnFailure(context, step, label).map((text) => `/${step.path} ${text}`);
  remount(context, step, flags);
  return [...warnings, ...unlabelled];
}
