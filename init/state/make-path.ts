/** Directories in the new root and on /run, mounts included. */
import { O } from "../kernel/constants.ts";
import type { Descriptor, Kernel } from "../kernel/kernel.ts";
import { isCode, openThroughMounts, splitPath, withDescriptor } from "./beneath.ts";

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
    inDirectory(kernel, directory, name, (made) => kernel.changeMode(made, 0o755));
  });
}

/** Runs `use` with the directory at `parent` below `root`, mounts included; "" is `root`. */
export function inParent<Result>(kernel: Kernel, root: Descriptor, parent: string, use: (fd: Descriptor) => Result): Result {
  return inDirectory(kernel, root, parent === "" ? "." : parent, use);
}

/** As {@link inParent}; a parent that is missing is made. */
export function inMadeParent<Result>(kernel: Kernel, root: Descriptor, parent: string, use: (fd: Descriptor) => Result): Result {
  const open = () => openThroughMounts(kernel, root, parent === "" ? "." : parent, O.RDONLY | O.DIRECTORY);
  const openMade = (): Descriptor => {
    try {
      return open();
    } catch (error) {
      if (!isCode(error, "ENOENT")) throw error;
      makePath(kernel, root, parent);
      return open();
    }
  };
  return withDescriptor(kernel, openMade, use);
}

/** As {@link inParent}, for a path that is not "". */
export function inDirectory<Result>(kernel: Kernel, at: Descriptor, path: string, use: (fd: Descriptor) => Result): Result {
  return withDescriptor(kernel, () => openThroughMounts(kernel, at, path, O.RDONLY | O.DIRECTORY), use);
}
