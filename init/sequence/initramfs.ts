import { FILESYSTEM_MAGIC, O } from "../kernel/constants.ts";
import { exists, withOpen } from "../kernel/files.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";

/** Marks an initramfs; never in a system's root (systemd's INITRD_INTERFACE). */
export const INITRD_RELEASE = "/etc/initrd-release";

/** Why this process must not act as the PID 1 of an initrd; null when it may. */
export function whyNotInInitramfs(kernel: Kernel): string | null {
  if (kernel.processId() !== 1) return "it is not process 1";
  if (!exists(kernel, INITRD_RELEASE)) return `${INITRD_RELEASE} is not there`;
  const magic = withOpen(kernel, "/", O.RDONLY | O.DIRECTORY, (fd) => kernel.filesystemStatus(fd).magic);
  const inMemory = magic === FILESYSTEM_MAGIC.ramfs || magic === FILESYSTEM_MAGIC.tmpfs;
  return inMemory ? null : `the root is not in memory (filesystem 0x${magic.toString(16)})`;
}

/**
 * Frees the memory of the initramfs: removes everything on the root's own filesystem, and nothing behind a mount. By
 * descriptors and without following links; what cannot be removed stays, since nothing depends on it.
 */
export function freeInitramfs(kernel: Kernel, newRoot: Descriptor): void {
  const refused = whyNotInInitramfs(kernel);
  if (refused !== null) return;
  withOpen(kernel, "/", O.RDONLY | O.DIRECTORY, (root) => {
    const own = kernel.status(root).device;
    const other = kernel.status(newRoot).device;
    if (own.major !== other.major || own.minor !== other.minor) removeBelow(kernel, root, own);
  });
}

function removeBelow(kernel: Kernel, directory: Descriptor, own: { major: number; minor: number }): void {
  for (const entry of kernel.readDirectory(directory)) {
    try {
      const { device, kind } = kernel.statusAt(entry.name, directory);
      if (device.major !== own.major || device.minor !== own.minor) continue;
      if (kind === "directory") {
        withOpen(
          kernel,
          entry.name,
          O.RDONLY | O.DIRECTORY | O.NOFOLLOW,
          (child) => {
            const opened = kernel.status(child).device;
            if (opened.major === own.major && opened.minor === own.minor) removeBelow(kernel, child, own);
          },
          { at: directory },
        );
      }
      kernel.remove(entry.name, { at: directory, directory: kind === "directory" });
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
    }
  }
}
