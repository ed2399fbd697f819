import type { StateStep } from "../../state-ops/state-plan.ts";
import { O } from "../kernel/constants.ts";
import type { Descriptor, Kernel } from "../kernel/kernel.ts";
import { isCode, openThroughMounts, splitPath, withDescriptor } from "./beneath.ts";
import { copyMetadata, type Place } from "./clone-metadata.ts";

/** Opens (O_PATH) what is at `path` below `root`, mounts included; ENOTDIR where it is of another kind. */
export function openTarget(kernel: Kernel, root: Descriptor, path: string, kind: StateStep["kind"]): Descriptor {
  return openThroughMounts(kernel, root, path, kind === "directory" ? O.PATH | O.DIRECTORY : O.PATH);
}

/**
 * Opens a step's mount point. One that is missing inside an operator that is laid already (its store is older than the
 * image, or somebody deleted it) is made there, as it is in the image; anywhere else the image itself lacks it.
 */
export function openMountPoint(
  kernel: Kernel,
  root: Descriptor,
  step: StateStep,
  image: Place | null,
  laid: readonly string[],
): Descriptor {
  try {
    return openTarget(kernel, root, step.path, step.kind);
  } catch (error) {
    if (!isCode(error, "ENOENT")) throw error;
    const outer = laid.findLast((path) => step.path.startsWith(`${path}/`));
    if (outer === undefined) {
      throw new Error(
        `/${step.path} does not exist in the image, which is read-only; make it an empty ${step.kind} at build time`,
      );
    }
    makeMountPoint(kernel, root, step, outer, image);
    return openTarget(kernel, root, step.path, step.kind);
  }
}

/** Makes a directory at `path` below `root` with its missing parents, 0755 root each. */
export function makePath(kernel: Kernel, root: Descriptor, path: string): void {
  const [parent, name] = splitPath(path);
  if (parent !== "") makePath(kernel, root, parent);
  inParent(kernel, root, parent, (directory) => {
    try {
      kernel.makeDirectory(name, 0o755, directory);
    } catch (error) {
      if (isCode(error, "EEXIST")) return;
      throw error;
    }
    openAndUse(kernel, directory, name, (made) => kernel.changeMode(made, 0o755));
  });
}

function makeMountPoint(kernel: Kernel, root: Descriptor, step: StateStep, outer: string, image: Place | null): void {
  const [parent, name] = splitPath(step.path);
  if (parent !== outer) makePath(kernel, root, parent);
  inParent(kernel, root, parent, (directory) => {
    if (step.kind === "file") {
      kernel.makeNode(name, "file", 0o644, { major: 0, minor: 0 }, directory);
      return;
    }
    kernel.makeDirectory(name, 0o755, directory);
    if (image === null) return;
    const status = kernel.statusAt(image.name, image.at);
    if (status.kind !== "directory") return;
    openAndUse(kernel, directory, name, (made) => {
      copyMetadata(kernel, image, status, { at: made, name: "." }, () => kernel.changeMode(made, status.mode), true);
    });
  });
}

function inParent(kernel: Kernel, root: Descriptor, parent: string, use: (fd: Descriptor) => void): void {
  openAndUse(kernel, root, parent === "" ? "." : parent, use);
}

function openAndUse(kernel: Kernel, at: Descriptor, path: string, use: (fd: Descriptor) => void): void {
  withDescriptor(kernel, () => openThroughMounts(kernel, at, path, O.RDONLY | O.DIRECTORY), use);
}
