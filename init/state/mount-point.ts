import { isWritable, type StateStep } from "../../state-ops/state-plan.ts";
import { O } from "../kernel/constants.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";
import { exists, isCode, openThroughMounts, splitPath } from "./beneath.ts";
import { copyMetadata, type Place } from "./clone-metadata.ts";
import { type LayContext, placeOf } from "./lay-context.ts";
import { inDirectory, inParent, makePath } from "./make-path.ts";
import { removeTree } from "./remove-tree.ts";

/** Longest name in a directory, in bytes. */
const longestName = 255;

/** Opens (O_PATH) what is at `path` below `root`, mounts included; ENOTDIR, EISDIR or ELOOP where it is of another kind. */
export function openTarget(kernel: Kernel, root: Descriptor, path: string, kind: StateStep["kind"]): Descriptor {
  if (kind === "directory") return openThroughMounts(kernel, root, path, O.PATH | O.DIRECTORY);
  const fd = openThroughMounts(kernel, root, path, O.PATH);
  try {
    // With O_PATH a link itself would be opened.
    const { kind } = kernel.status(fd);
    if (kind === "directory") throw new KernelError("open as file", path, "EISDIR");
    if (kind === "symlink") throw new KernelError("open as file", path, "ELOOP");
    return fd;
  } catch (error) {
    kernel.close(fd);
    throw error;
  }
}

/**
 * Opens a step's mount point. Inside an operator that is laid already and may be written, one that is missing (its store is
 * older than the image, or somebody deleted it) is made as it is in the image, and what else is in its place is set aside,
 * which a warning tells; anywhere else the image itself lacks it.
 */
export function openMountPoint(
  context: LayContext,
  step: StateStep,
  image: Place | null,
): { target: Descriptor; warnings: string[] } {
  const { kernel } = context;
  const { root, path } = placeOf(context, step);
  const [parent, name] = splitPath(path);
  const open = () => openTarget(kernel, root, path, step.kind);
  try {
    return { target: open(), warnings: [] };
  } catch (error) {
    if (!isCode(error, "ENOENT", "ENOTDIR", "EISDIR", "ELOOP")) throw error;
    if (!insideWritable(context, step)) throw error.code === "ENOENT" ? missingInImage(step) : error;
    if (error.code === "ENOENT" && parent !== "") makePath(kernel, root, parent);
    const warnings = inParent(kernel, root, parent, (directory) => {
      const inTheWay = error.code === "ENOENT" ? [] : setAside(context, directory, name, step);
      // ENOTDIR and ELOOP may be about a directory above, where nothing is moved.
      if (error.code !== "ENOENT" && inTheWay.length === 0) throw error;
      makeMountPoint(kernel, directory, name, step, image);
      return inTheWay;
    });
    return { target: open(), warnings };
  }
}

/** Whether the nearest operator above the step is laid and may be written, so that names can be made in it. */
export function insideWritable(context: LayContext, step: StateStep): boolean {
  const outer = context.laid.findLast(({ path }) => step.path.startsWith(`${path}/`));
  return outer === undefined ? step.onRun : isWritable(outer);
}

function missingInImage({ path, kind }: StateStep): Error {
  return new Error(`/${path} does not exist in the image, which is read-only; make it an empty ${kind} at build time`);
}

/** Renames what is at a name to NAME.replaced, in place of an older one. Returns a warning; none where nothing is there. */
export function setAside(context: LayContext, directory: Descriptor, name: string, step: StateStep): string[] {
  const { kernel, onProgress } = context;
  if (!exists(kernel, directory, name)) return [];
  const { kind } = kernel.statusAt(name, directory);
  const aside = replacedName(name);
  removeTree(kernel, directory, aside, onProgress);
  try {
    kernel.rename(name, aside, { at: directory });
  } catch (error) {
    if (!isCode(error, "EXDEV")) throw error;
    throw new Error(
      `the image has a ${kind} there, which an overlay cannot rename; make it what ${step.origin} says at build time`,
    );
  }
  return [`/${step.path} was a ${kind}, which is now ${aside} beside it`];
}

/** "resolv.conf.replaced", cut to a name that the kernel takes. */
export function replacedName(name: string): string {
  const ending = ".replaced";
  let kept = name;
  while (Buffer.byteLength(kept) + ending.length > longestName) kept = [...kept].slice(0, -1).join("");
  return kept + ending;
}

function makeMountPoint(kernel: Kernel, directory: Descriptor, name: string, step: StateStep, image: Place | null): void {
  if (step.kind === "file") {
    kernel.makeNode(name, "file", 0o644, { major: 0, minor: 0 }, directory);
    return;
  }
  kernel.makeDirectory(name, 0o755, directory);
  if (image === null) return;
  const status = kernel.statusAt(image.name, image.at);
  if (status.kind !== "directory") return;
  inDirectory(kernel, directory, name, (made) => {
    copyMetadata(kernel, image, status, { at: made, name: "." }, () => kernel.changeMode(made, status.mode), true);
  });
}
