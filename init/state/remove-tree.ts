import { O } from "../kernel/constants.ts";
import { type Descriptor, type Kernel, KernelError, type Path } from "../kernel/kernel.ts";
import { isCode, type OnProgress, openBeneath, procPath, withDescriptor, withDirectory } from "./beneath.ts";

/** Removes `name` in an open directory and everything below it, never through a link or into a mount. Missing is fine. */
export function removeTree(kernel: Kernel, directory: Descriptor, name: Path, onProgress: OnProgress): void {
  let files = 0;
  const remove = (at: Descriptor, entry: Path): void => {
    if (kernel.statusAt(entry, at).kind !== "directory") {
      kernel.remove(entry, { at });
    } else {
      withDescriptor(
        kernel,
        () => openBeneath(kernel, at, entry, O.RDONLY | O.DIRECTORY),
        (fd) => {
          for (const child of kernel.readDirectory(fd)) remove(fd, child.name);
        },
      );
      kernel.remove(entry, { at, directory: true });
    }
    files++;
    if (files % 100 === 0) onProgress(0, files);
  };
  try {
    remove(directory, name);
  } catch (error) {
    if (!isCode(error, "ENOENT")) throw error;
  }
}

/** Moves a name of an open directory into trash/, where the next {@link emptyTrash} finds it. */
export function moveToTrash(kernel: Kernel, data: Descriptor, directory: Descriptor, name: string): void {
  withDirectory(kernel, data, "trash", (trash) => {
    for (let copy = 0; ; copy++) {
      const free = `${name.replace(/^\.+/, "")}${copy === 0 ? "" : `-${copy}`}`;
      try {
        return kernel.rename(procPath(directory, name), procPath(trash, free), { exclusive: true });
      } catch (error) {
        if (!isCode(error, "EEXIST") || copy > 10_000) throw error;
      }
    }
  });
}

/**
 * Deletes what lies in trash/. What cannot be deleted (an immutable file, a damaged directory) is no reason not to boot:
 * it stays, and a warning for each is returned.
 */
export function emptyTrash(kernel: Kernel, data: Descriptor, onProgress: OnProgress): string[] {
  return withDirectory(kernel, data, "trash", (trash) =>
    kernel.readDirectory(trash).flatMap(({ name }) => {
      try {
        removeTree(kernel, trash, name, onProgress);
        return [];
      } catch (error) {
        if (!(error instanceof KernelError)) throw error;
        return [`trash/${new TextDecoder().decode(name)} on the data filesystem could not be deleted: ${error.message}`];
      }
    }),
  );
}
