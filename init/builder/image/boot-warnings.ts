import { O, RESOLVE } from "../../kernel/constants.ts";
import { withOpen } from "../../kernel/files.ts";
import { type Descriptor, type FileStatus, type Kernel, KernelError } from "../../kernel/kernel.ts";
import { moduleVersions, USUAL_PLACES } from "../../sequence/next-init.ts";

/** Directories that PID 1 moves its mounts to. */
const MOUNT_POINTS = ["/proc", "/sys", "/dev", "/run"];

/** A /usr/bin/slipway of fewer bytes is the launcher, any other the executable itself, which may lie there as well. */
const LAUNCHER = 1n << 20n;

/** What a boot of the tree at `root` would miss, a line each. The control file aside. */
export function bootWarnings(kernel: Kernel, root: string): string[] {
  return withOpen(kernel, root, O.RDONLY | O.DIRECTORY, (tree) => {
    const is = (path: string, wanted: (status: FileStatus) => boolean) => {
      const status = statusIn(kernel, tree, path);
      return status !== null && wanted(status);
    };
    const isFile = (path: string) => is(path, ({ kind }) => kind === "file");
    const isProgram = (path: string) => is(path, ({ kind, mode }) => kind === "file" && (mode & 0o111) !== 0);
    const isDirectory = (path: string) => is(path, ({ kind }) => kind === "directory");
    const warnings: string[] = [];
    const missing = (there: boolean, text: string) => there || warnings.push(text);
    missing(USUAL_PLACES.some(isProgram), `no init at ${USUAL_PLACES.join(", ")}: nothing can be started`);
    for (const path of MOUNT_POINTS) missing(isDirectory(path), `no directory ${path}: PID 1 has nothing to move its mount to`);
    const release = ["/etc/os-release", "/usr/lib/os-release"];
    missing(release.some(isFile), `no os-release at ${release.join(", ")}: status cannot name the system`);
    missing(
      isFile("/etc/machine-id"),
      "no file /etc/machine-id: a read-only image needs an empty one, on which the machine's own is mounted",
    );
    const modules = [...moduleVersions(kernel, tree)].flatMap(({ names }) => names);
    missing(modules.length > 0, "no kernel modules below /usr/lib/modules: only what the kernel and the initrd have works");
    missing(
      isProgram("/usr/bin/slipway"),
      "no /usr/bin/slipway: nothing can commit or install from the running system; unpack dist/rootfs.tar into the tree",
    );
    missing(
      isFile("/usr/lib/slipway/runtime.squashfs") ||
        !is("/usr/bin/slipway", ({ kind, size }) => kind === "file" && size < LAUNCHER),
      "no /usr/lib/slipway/runtime.squashfs, which /usr/bin/slipway starts from; unpack dist/rootfs.tar into the tree",
    );
    if (["/usr/lib/systemd/systemd", "/lib/systemd/systemd"].some(isProgram)) {
      const unit = "/usr/lib/systemd/system/slipway-commit.service";
      missing(isFile(unit), `no ${unit}: nothing commits a trial; unpack dist/rootfs.tar into the tree`);
    }
    return warnings;
  });
}

/** What is at `path` in the tree, links followed inside it only; null where nothing is. */
function statusIn(kernel: Kernel, tree: Descriptor, path: string): FileStatus | null {
  try {
    return withOpen(kernel, path, O.RDONLY | O.NONBLOCK, (fd) => kernel.status(fd), { at: tree, resolve: RESOLVE.IN_ROOT });
  } catch (error) {
    if (error instanceof KernelError) return null;
    throw error;
  }
}
