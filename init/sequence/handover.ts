import { MNT, MS, O, RLIMIT, SIGNAL } from "../kernel/constants.ts";
import { withOpen, writeSetting } from "../kernel/files.ts";
import { type Descriptor, type DeviceNumber, type Kernel, KernelError } from "../kernel/kernel.ts";
import { NEW_ROOT } from "./image.ts";
import { freeInitramfs } from "./initramfs.ts";

/** Mounts that go along into the new root. */
export const KEPT = ["dev", "proc", "sys", "run"];

/** Where preinit mounted the image that this executable runs from. */
export const RUNTIME = "/runtime";

/** What Linux reads ahead on a block device that asks for nothing else (VM_READAHEAD_PAGES in linux/mm.h), KiB. */
const READ_AHEAD_KIB = 128;

/** What the kernel gives to its first program (init/main.c), and a path for inits that are scripts. */
export const ENVIRONMENT = { HOME: "/", TERM: "linux", PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" };

/** Soft limit of open files that the kernel gives to its first program (INR_OPEN_CUR); Bun raised it at its start. */
const OPEN_FILES = 1024n;

/** Directories that the handover moves onto: a read-only image must have them. */
export function missingMountPoints(kernel: Kernel, root: Descriptor): string[] {
  return KEPT.filter((name) => {
    try {
      return kernel.statusAt(name, root).kind !== "directory";
    } catch (error) {
      if (error instanceof KernelError) return true;
      throw error;
    }
  });
}

/**
 * Leaves the initramfs for the tree at {@link NEW_ROOT} and executes `init` there. What comes after the first move cannot
 * be undone, so everything that can be checked has been.
 */
export function switchRoot(kernel: Kernel, init: string, args: string[]): never {
  const root = kernel.open(NEW_ROOT, O.RDONLY | O.DIRECTORY);
  kernel.mount("none", "/", "", MS.REC | MS.PRIVATE, "");
  for (const name of KEPT) kernel.mount(`/${name}`, `${NEW_ROOT}/${name}`, "", MS.MOVE, "");
  const runtime = unmountRuntime(kernel);
  freeInitramfs(kernel, root);
  kernel.changeDirectory(root);
  kernel.mount(".", "/", "", MS.MOVE, "");
  kernel.changeRoot(".");
  // Until here absolute paths meant the old root.
  withOpen(kernel, "/", O.RDONLY | O.DIRECTORY, (fd) => kernel.changeDirectory(fd));
  console0to2(kernel);
  if (runtime !== null) readAheadAgain(kernel, runtime);
  for (const signal of [SIGNAL.PIPE, SIGNAL.XFSZ]) kernel.defaultSignal(signal);
  const { hard } = kernel.getLimit(RLIMIT.NOFILE);
  kernel.setLimit(RLIMIT.NOFILE, hard < OPEN_FILES ? hard : OPEN_FILES, hard);
  kernel.setCtrlAltDel("restart");
  kernel.closeOnExec(3);
  kernel.exec(init, [init, ...args], ENVIRONMENT);
}

/**
 * The image stays in use until the exec, which is why it is only taken out of the tree here. Returns the loop device that it
 * lies on, null where that is not known.
 */
function unmountRuntime(kernel: Kernel): DeviceNumber | null {
  try {
    const { device } = kernel.statusAt(RUNTIME);
    kernel.unmount(RUNTIME, MNT.DETACH);
    return device;
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    return null;
  }
}

/** Preinit has nothing read ahead on that loop device, and Linux before 6.11 leaves it so for whatever the system attaches to it. */
function readAheadAgain(kernel: Kernel, { major, minor }: DeviceNumber): void {
  try {
    writeSetting(kernel, `/sys/dev/block/${major}:${minor}/queue/read_ahead_kb`, `${READ_AHEAD_KIB}`);
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
  }
}

/** Standard input, output and error on the system's own console, as the kernel gives them to its first program. */
function console0to2(kernel: Kernel): void {
  for (const path of ["/dev/console", "/dev/null"]) {
    try {
      const fd = kernel.open(path, O.RDWR | O.NOCTTY);
      for (const standard of [0, 1, 2]) if (standard !== fd) kernel.duplicate(fd, standard);
      if (fd > 2) kernel.close(fd);
      return;
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
    }
  }
}
