import { O } from "../kernel/constants.ts";
import type { Descriptor, Kernel, Path } from "../kernel/kernel.ts";
import { isCode, type OnProgress, openBeneath, procPath, warningOf, withDescriptor, withDirectory } from "./beneath.ts";
import { deleteSubvolume } from "./btrfs.ts";

/** Removes `name` in an open directory and everything below it, never through a link or into a mount. Missing is fine. */
export function removeTree(kernel: Kernel, directory: Descriptor, name: Path, onProgress: OnProgress): void {
  let files = 0;
  const remove = (at: Descriptor, entry: Path): void => {
    const { kind, inode } = kernel.statusAt(entry, at);
    if (kind !== "directory") {
      kernel.remove(entry, { at });
    } else if (!deleteSubvolume(kernel, at, entry, inode)) {
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

/**
 * Removes what has a path below `name` ("a/b") that `goes` says, with all below it; nothing where `name` is no directory.
 * Directories keep their times.
 */
export function pruneTree(
  kernel: Kernel,
  directory: Descriptor,
  name: Path,
  goes: (path: Uint8Array) => boolean,
  onProgress: OnProgress,
): void {
  let files = 0;
  const prune = (at: Descriptor, entry: Path, path: Uint8Array): void => {
    withDescriptor(
      kernel,
      () => openBeneath(kernel, at, entry, O.RDONLY | O.DIRECTORY),
      (fd) => {
        const { accessed, modified } = kernel.status(fd);
        let removed = false;
        for (const child of kernel.readDirectory(fd)) {
          const below = path.length === 0 ? child.name : Buffer.concat([path, Buffer.from("/"), child.name]);
          const going = goes(below);
          if (going) removeTree(kernel, fd, child.name, onProgress);
          else if (child.kind === "directory") prune(fd, child.name, below);
          removed ||= going;
          files++;
          if (files % 100 === 0) onProgress(0, files);
        }
        if (removed) kernel.changeTimes(".", accessed, modified, fd);
      },
    );
  };
  if (kernel.statusAt(name, directory).kind === "directory") prune(directory, name, new Uint8Array(0));
}

/**
 * Moves a name of an open directory into trash/, where the next {@link emptyTrash} finds it. What lies inside a generation
 * cannot be moved so on btrfs (EXDEV), where that is a subvolume.
 */
export function moveToTrash(kernel: Kernel, data: Descriptor, directory: Descriptor, name: Path): void {
  const shown = typeof name === "string" ? name : new TextDecoder().decode(name);
  withDirectory(kernel, data, "trash", (trash) => {
    for (let copy = 0; ; copy++) {
      const free = `${shown.replace(/^\.+/, "")}${copy === 0 ? "" : `-${copy}`}`;
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
    kernel.readDirectory(trash).flatMap(({ name }) =>
      warningOf(
        () => removeTree(kernel, trash, name, onProgress),
        (message) => `trash/${new TextDecoder().decode(name)} on the data filesystem could not be deleted: ${message}`,
      ),
    ),
  );
}
