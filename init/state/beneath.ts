/** Files on a data partition and in an image, opened so that no link on them leads anywhere else. */
import { O, RESOLVE } from "../kernel/constants.ts";
import { type Descriptor, type Kernel, KernelError, type Path } from "../kernel/kernel.ts";

const strict = RESOLVE.BENEATH | RESOLVE.NO_SYMLINKS | RESOLVE.NO_MAGICLINKS;

/** Called while long work goes on, at least every few MiB or 100 files: what was copied since the work began. */
export type OnProgress = (bytes: number, files: number) => void;

/** Opens a relative path beneath `at`, never following a link, on the same mount. ELOOP: a link; EXDEV: a mount or "..". */
export function openBeneath(kernel: Kernel, at: Descriptor, path: Path, flags: number, mode?: number): Descriptor {
  const how = { at, resolve: strict | RESOLVE.NO_XDEV };
  return kernel.open(path, flags | O.NOFOLLOW, mode === undefined ? how : { ...how, mode });
}

/** As {@link openBeneath}, through mounts: the new root with what was already laid over it. */
export function openThroughMounts(kernel: Kernel, at: Descriptor, path: Path, flags: number): Descriptor {
  return kernel.open(path, flags | O.NOFOLLOW, { at, resolve: strict });
}

/** Opens with `open`, hands the descriptor to `use`, and closes it whatever happens. */
export function withDescriptor<Result>(kernel: Kernel, open: () => Descriptor, use: (fd: Descriptor) => Result): Result {
  const fd = open();
  try {
    return use(fd);
  } finally {
    kernel.close(fd);
  }
}

/** Runs `use` with a directory beneath `at`; "" is `at` itself. */
export function withDirectory<Result>(kernel: Kernel, at: Descriptor, path: Path, use: (fd: Descriptor) => Result): Result {
  const open = () => openBeneath(kernel, at, path === "" ? "." : path, O.RDONLY | O.DIRECTORY);
  return withDescriptor(kernel, open, use);
}

/** The path by which calls without a descriptor reach an open file, or a name in an open directory. Needs /proc. */
export function procPath(fd: Descriptor, name?: Path): Path {
  const prefix = `/proc/self/fd/${fd}`;
  if (name === undefined) return prefix;
  return typeof name === "string" ? `${prefix}/${name}` : Buffer.concat([Buffer.from(`${prefix}/`), name]);
}

/** Whether `error` is the kernel's answer `code`, one of `codes`. */
export function isCode(error: unknown, ...codes: string[]): error is KernelError {
  return error instanceof KernelError && codes.includes(error.code);
}

/** Does what may fail and is no reason not to boot: nothing, or the warning that `warning` makes of the kernel's answer. */
export function warningOf(work: () => void, warning: (message: string) => string): string[] {
  try {
    work();
    return [];
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    return [warning(error.message)];
  }
}

/** Whether a name exists in a directory; what it is does not matter. */
export function exists(kernel: Kernel, at: Descriptor, name: Path): boolean {
  try {
    kernel.statusAt(name, at);
    return true;
  } catch (error) {
    if (isCode(error, "ENOENT")) return false;
    throw error;
  }
}

/** "a/b/c" is ["a/b", "c"]; "c" is ["", "c"]. */
export function splitPath(path: string): [parent: string, name: string] {
  const slash = path.lastIndexOf("/");
  return [path.slice(0, Math.max(0, slash)), path.slice(slash + 1)];
}

/** Told what the kernel answered where something cannot be read; what it throws goes on. */
export type OnUnreadable = (error: KernelError) => void;

/** Text of a regular file of at most `limit` bytes; null where it is missing, another kind of file, longer, or unreadable. */
export function readText(
  kernel: Kernel,
  directory: Descriptor,
  name: string,
  limit: number,
  onUnreadable: OnUnreadable = () => {},
): string | null {
  try {
    const open = () => openBeneath(kernel, directory, name, O.RDONLY | O.NONBLOCK);
    return withDescriptor(kernel, open, (fd) => {
      const { kind, size } = kernel.status(fd);
      return kind === "file" && size <= limit ? new TextDecoder().decode(kernel.read(fd, Number(size), 0n)) : null;
    });
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    onUnreadable(error);
    return null;
  }
}

/** Makes a file that must not exist, and returns when its content is on disk. Its name is not yet. */
export function writeNewFile(kernel: Kernel, directory: Descriptor, name: string, text: string, mode: number): void {
  makeFile(kernel, directory, name, text, mode, (fd) => kernel.sync(fd));
}

/** Makes a file that must not exist. Nothing of it is on disk yet unless `then` sees to it. */
export function makeFile(
  kernel: Kernel,
  directory: Descriptor,
  name: string,
  text: string,
  mode: number,
  then: (fd: Descriptor) => void = () => {},
): void {
  const open = () => openBeneath(kernel, directory, name, O.WRONLY | O.CREAT | O.EXCL, mode);
  withDescriptor(kernel, open, (fd) => {
    kernel.changeMode(fd, mode);
    if (text !== "") kernel.write(fd, new TextEncoder().encode(text), null);
    then(fd);
  });
}

/** Makes or replaces a file: on disk is the old or the new one at any instant, the new one on return. */
export function replaceFile(kernel: Kernel, directory: Descriptor, name: string, text: string, mode: number): void {
  const aside = `.new-${name}`;
  removeIfThere(kernel, directory, aside);
  writeNewFile(kernel, directory, aside, text, mode);
  kernel.rename(aside, name, { at: directory });
  kernel.sync(directory);
}

/** Removes a name that is no directory; nothing happens where it is missing. */
export function removeIfThere(kernel: Kernel, directory: Descriptor, name: Path): void {
  try {
    kernel.remove(name, { at: directory });
  } catch (error) {
    if (!isCode(error, "ENOENT")) throw error;
  }
}
