import { O, RESOLVE } from "../../init/kernel/constants.ts";
import { type Descriptor, type Kernel, KernelError } from "../../init/kernel/kernel.ts";

/** What a script of file calls may use: a kernel, and a directory of its own to work in. */
export interface Bench {
  kernel: Kernel;
  /** Open on the directory. */
  top: Descriptor;
  /** Its path. */
  path: string;
  put(path: string, text: string): void;
  /** Opens, closes, and says "ok". */
  tryOpen(path: string, flags: number, resolve?: number): string;
}

export type Step = (bench: Bench) => unknown;

/** A bench in the directory `path`. */
export function bench(kernel: Kernel, path: string): Bench {
  const top = kernel.open(path, O.RDONLY | O.DIRECTORY);
  const put = (name: string, text: string): void => {
    const fd = kernel.open(name, O.WRONLY | O.CREAT, { at: top, mode: 0o644 });
    kernel.write(fd, new TextEncoder().encode(text), null);
    kernel.close(fd);
  };
  const tryOpen = (name: string, flags: number, resolve = 0): string => {
    kernel.close(kernel.open(name, flags, { at: top, mode: 0o644, resolve }));
    return "ok";
  };
  return { kernel, top, path, put, tryOpen };
}

/** Results of the steps, one a line; a failed call gives its system call and code. */
export function results(steps: Step[], on: Bench): string {
  const show = (_: string, value: unknown): unknown =>
    typeof value === "bigint" ? `${value}n` : value instanceof Uint8Array ? Buffer.from(value).toString("hex") : value;
  const lines = steps.map((step) => {
    try {
      return JSON.stringify(step(on), show) ?? "done";
    } catch (error) {
      if (error instanceof KernelError) return `${error.call}: ${error.code}`;
      throw error;
    }
  });
  return lines.map((line, index) => `${index} ${line}\n`).join("");
}

const rdonly = O.RDONLY;
const create = O.WRONLY | O.CREAT;

function tree({ kernel, top, put }: Bench): void {
  kernel.makeDirectory("d", 0o755, top);
  kernel.makeDirectory("d/sub", 0o750, top);
  put("d/file", "hello");
  kernel.makeSymlink("file", "d/link", top);
  kernel.makeSymlink("../../outside", "d/out", top);
  kernel.makeSymlink("/d/file", "d/absolute", top);
  kernel.makeSymlink("loop", "loop", top);
  kernel.makeSymlink("d/sub", "to-sub", top);
  kernel.makeSymlink("nowhere", "dangling", top);
}

/** Little scripts: each is a list of calls whose results or error codes are compared between kernels. */
export const scripts: Record<string, Step[]> = {
  "open and its flags": [
    tree,
    (b) => b.tryOpen("missing", rdonly),
    (b) => b.tryOpen("missing/file", create),
    (b) => b.tryOpen("d/file/x", rdonly),
    (b) => b.tryOpen("d/file/", rdonly),
    (b) => b.tryOpen("d/file", create | O.EXCL),
    (b) => b.tryOpen("d", create),
    (b) => b.tryOpen("d", O.WRONLY),
    (b) => b.tryOpen("d", O.RDWR | O.DIRECTORY),
    (b) => b.tryOpen("d", rdonly | O.DIRECTORY),
    (b) => b.tryOpen("d/file", rdonly | O.DIRECTORY),
    (b) => b.tryOpen("d/link", rdonly | O.NOFOLLOW),
    (b) => b.tryOpen("d/link", O.PATH | O.NOFOLLOW),
    (b) => b.tryOpen("d/link", O.PATH | O.NOFOLLOW | O.DIRECTORY),
    (b) => b.tryOpen("to-sub", rdonly | O.NOFOLLOW | O.DIRECTORY),
    (b) => b.tryOpen("to-sub/", rdonly | O.DIRECTORY),
    (b) => b.tryOpen("loop", rdonly),
    (b) => b.tryOpen("loop", O.PATH | O.NOFOLLOW),
    (b) => b.tryOpen("dangling", rdonly),
    (b) => b.tryOpen("dangling", create | O.EXCL),
    (b) => b.tryOpen("dangling", create),
    (b) => names(b, b.top),
    (b) => b.tryOpen("", rdonly),
    (b) => b.tryOpen("new/", create),
    (b) => b.tryOpen("x".repeat(256), create),
    (b) => b.tryOpen(".", create),
    (b) => b.tryOpen("..", create | O.EXCL),
  ],
  "resolve flags": [
    tree,
    (b) => b.tryOpen("d/file", rdonly, RESOLVE.BENEATH),
    (b) => b.tryOpen("d/link", rdonly, RESOLVE.BENEATH),
    (b) => b.tryOpen("d/out", rdonly, RESOLVE.BENEATH),
    (b) => b.tryOpen("d/absolute", rdonly, RESOLVE.BENEATH),
    (b) => b.tryOpen("d/absolute", rdonly, RESOLVE.IN_ROOT),
    (b) => b.tryOpen("/d/file", rdonly, RESOLVE.IN_ROOT),
    (b) => b.tryOpen("/d/file", rdonly, RESOLVE.BENEATH),
    (b) => b.tryOpen("../../../d/file", rdonly, RESOLVE.IN_ROOT),
    (b) => b.tryOpen("d/../../x", rdonly, RESOLVE.BENEATH),
    (b) => b.tryOpen("d/../d/file", rdonly, RESOLVE.BENEATH),
    (b) => b.tryOpen("d/link", rdonly, RESOLVE.NO_SYMLINKS),
    (b) => b.tryOpen("to-sub/x", create, RESOLVE.NO_SYMLINKS),
    (b) => b.tryOpen("d/link", O.PATH | O.NOFOLLOW, RESOLVE.NO_SYMLINKS),
    (b) => b.tryOpen("d/file", rdonly, RESOLVE.NO_SYMLINKS | RESOLVE.BENEATH),
    (b) => b.tryOpen("d", rdonly, RESOLVE.IN_ROOT | RESOLVE.BENEATH),
    (b) => b.tryOpen(`/proc/self/fd/${b.top}/d/file`, rdonly),
    (b) => b.tryOpen(`/proc/self/fd/${b.top}/d/file`, rdonly, RESOLVE.NO_MAGICLINKS),
    (b) => b.tryOpen(`/proc/self/fd/${b.top}`, rdonly | O.NOFOLLOW),
    (b) => b.tryOpen("/proc/self/fd/977", rdonly),
  ],
  "read, write, truncate": [
    (b) => b.put("f", "0123456789"),
    (b) => text(b, "f"),
    (b) =>
      using(b, "f", O.RDWR, (fd) => {
        b.kernel.write(fd, bytes("AB"), null);
        b.kernel.write(fd, bytes("XY"), 8n);
        const rest = Buffer.from(b.kernel.read(fd, 100, null)).toString();
        b.kernel.truncate(fd, 12n);
        return [rest, Buffer.from(b.kernel.read(fd, 100, 6n)).toString("hex")];
      }),
    (b) => using(b, "f", O.WRONLY | O.APPEND, (fd) => b.kernel.write(fd, bytes("end"), null)),
    (b) => using(b, "f", O.RDONLY, (fd) => b.kernel.write(fd, bytes("no"), null)),
    (b) => using(b, "f", O.WRONLY, (fd) => b.kernel.read(fd, 1, null)),
    (b) => using(b, "f", O.RDONLY, (fd) => b.kernel.truncate(fd, 0n)),
    (b) => using(b, "f", O.PATH, (fd) => b.kernel.read(fd, 1, null)),
    (b) => using(b, ".", O.RDONLY, (fd) => b.kernel.read(fd, 1, null)),
    (b) => text(b, "f"),
    (b) => using(b, "f", O.WRONLY | O.TRUNC, () => null),
    (b) => text(b, "f"),
  ],
  "sparse files": [
    (b) =>
      using(b, "s", O.RDWR | O.CREAT, (fd) => {
        b.kernel.truncate(fd, 1n << 20n);
        b.kernel.write(fd, new Uint8Array(4096).fill(1), 65536n);
        const seen = [b.kernel.seekData(fd, 0n), b.kernel.seekHole(fd, 65536n), b.kernel.seekData(fd, 70000n)];
        return [...seen, b.kernel.seekHole(fd, 0n), b.kernel.seekData(fd, 66000n)].map(String);
      }),
    (b) => using(b, "s", O.RDONLY, (fd) => b.kernel.seekHole(fd, 1n << 21n)),
    (b) => using(b, "s", O.RDONLY, (from) => using(b, "t", create, (to) => b.kernel.copyRange(from, to, 65000n, 2000))),
    (b) => b.kernel.statusAt("t", b.top).size,
  ],
  "make and remove": [
    tree,
    (b) => b.kernel.makeDirectory("d", 0o755, b.top),
    (b) => b.kernel.makeDirectory("d/file/x", 0o755, b.top),
    (b) => b.kernel.makeDirectory("nope/x", 0o755, b.top),
    (b) => b.kernel.makeDirectory("dangling", 0o755, b.top),
    (b) => b.kernel.makeDirectory("slash/", 0o755, b.top),
    (b) => b.kernel.makeDirectory(".", 0o755, b.top),
    (b) => b.kernel.makeSymlink("x", "d/link", b.top),
    (b) => b.kernel.makeSymlink("x", "s/", b.top),
    (b) => b.kernel.makeHardLink("d/file", "hard", b.top),
    (b) => b.kernel.makeHardLink("d", "hard2", b.top),
    (b) => b.kernel.makeHardLink("d/link", "hard-link", b.top),
    (b) => b.kernel.statusAt("hard-link", b.top).kind,
    (b) => b.kernel.statusAt("hard", b.top).links,
    (b) => b.kernel.makeNode("fifo", "fifo", 0o640, { major: 0, minor: 0 }, b.top),
    (b) => b.kernel.makeNode("fifo", "fifo", 0o640, { major: 0, minor: 0 }, b.top),
    (b) => b.kernel.remove("d", { at: b.top }),
    (b) => b.kernel.remove("d", { at: b.top, directory: true }),
    (b) => b.kernel.remove("d/file", { at: b.top, directory: true }),
    (b) => b.kernel.remove("d/sub/.", { at: b.top, directory: true }),
    (b) => b.kernel.remove("d/sub/..", { at: b.top, directory: true }),
    (b) => b.kernel.remove("d/sub/..", { at: b.top }),
    (b) => b.kernel.remove("nope", { at: b.top }),
    (b) => b.kernel.remove("to-sub/", { at: b.top, directory: true }),
    (b) => b.kernel.remove("d/sub", { at: b.top, directory: true }),
    (b) => b.kernel.remove("d/file", { at: b.top }),
    (b) => b.kernel.statusAt("hard", b.top).links,
    (b) => names(b, b.top),
    (b) => [0, 1, 3, 1000].map((most) => b.kernel.readDirectory(b.top, most).length),
    (b) => using(b, "d", O.RDONLY, (fd) => names(b, fd)),
    (b) => using(b, "hard", O.RDONLY, (fd) => b.kernel.readDirectory(fd)),
  ],
  rename: [
    tree,
    (b) => b.kernel.rename("d/file", "d/moved", { at: b.top }),
    (b) => b.kernel.rename("d/gone", "d/moved", { at: b.top }),
    (b) => b.kernel.rename("d", "d/sub/d", { at: b.top }),
    (b) => b.kernel.rename("d/sub", "d", { at: b.top }),
    (b) => b.kernel.rename("d/moved", "d/sub", { at: b.top }),
    (b) => b.kernel.rename("d/sub", "d/moved", { at: b.top }),
    (b) => b.kernel.rename("d/moved", "to-sub", { at: b.top, exclusive: true }),
    (b) => b.kernel.rename("d/moved", "to-sub", { at: b.top }),
    (b) => b.kernel.makeDirectory("empty", 0o700, b.top),
    (b) => b.kernel.rename("d/sub", "empty", { at: b.top }),
    (b) => b.kernel.rename("empty", "d", { at: b.top }),
    (b) => b.kernel.rename("empty", "..", { at: b.top }),
    (b) => b.kernel.rename(".", "x", { at: b.top }),
    (b) => b.kernel.rename("to-sub", "x/", { at: b.top }),
    (b) => b.kernel.rename("to-sub", "fresh", { at: b.top, exclusive: true }),
    (b) => text(b, "fresh"),
    (b) => b.kernel.rename("/proc/version", `${b.path}/version`),
    (b) => names(b, b.top),
  ],
  "owners, modes, times, attributes": [
    tree,
    (b) => b.kernel.changeOwner("d/file", 12, 34, b.top),
    (b) => b.kernel.changeOwner("d/out", 5, 6, b.top),
    (b) => using(b, "d/file", O.RDONLY, (fd) => b.kernel.changeMode(fd, 0o4711)),
    (b) => using(b, "d/file", O.PATH, (fd) => b.kernel.changeMode(fd, 0o700)),
    (b) => b.kernel.changeTimes("d/link", 1_500_000_000n, -5n, b.top),
    (b) => properties(b, "d/file"),
    (b) => properties(b, "d/link"),
    (b) => properties(b, "d/out"),
    (b) => properties(b, "d/sub"),
    (b) => b.kernel.changeOwner("d/file", 1, 1, b.top),
    (b) => properties(b, "d/file"),
    (b) => b.kernel.readLink("d/out", b.top),
    (b) => b.kernel.readLink("d", b.top),
    (b) => b.kernel.setAttribute(`${b.path}/d/file`, "trusted.slipway", bytes("one")),
    (b) => b.kernel.getAttribute(`${b.path}/d/file`, "trusted.slipway"),
    (b) => b.kernel.getAttribute(`${b.path}/d/link`, "trusted.slipway"),
    (b) => b.kernel.setAttribute(`${b.path}/d/out`, "trusted.slipway", bytes("link")),
    (b) => b.kernel.listAttributes(`${b.path}/d/out`),
    (b) => b.kernel.listAttributes(`${b.path}/d/nothing`),
    (b) => b.kernel.setAttribute(`${b.path}/d/file`, "nonsense", bytes("")),
    (b) => b.kernel.removeAttribute(`${b.path}/d/file`, "trusted.slipway"),
    (b) => b.kernel.removeAttribute(`${b.path}/d/file`, "trusted.slipway"),
    (b) => b.kernel.umask(0o077),
    (b) => b.kernel.makeDirectory("masked", 0o777, b.top),
    (b) => b.kernel.statusAt("masked", b.top).mode,
    (b) => b.kernel.umask(0o022),
  ],
  descriptors: [
    tree,
    (b) =>
      using(b, "d/file", O.RDONLY, (fd) => using(b, "d/file", O.RDONLY, (other) => [b.kernel.lock(fd), b.kernel.lock(other)])),
    (b) => b.kernel.read(977, 1, null),
    (b) => b.kernel.sync(977),
    (b) => b.kernel.status(977),
    (b) => using(b, "d/file", O.RDONLY, (fd) => b.kernel.makeDirectory("x", 0o700, fd)),
    (b) =>
      using(b, "d/file", O.RDONLY, (fd) => {
        b.kernel.remove("d/file", { at: b.top });
        return [Buffer.from(b.kernel.read(fd, 9, null)).toString(), b.kernel.status(fd).links];
      }),
    (b) => b.kernel.mount("tmpfs", `${b.path}/missing`, "tmpfs", 0, ""),
    (b) => b.kernel.unmount(`${b.path}/d`, 0),
  ],
};

function bytes(content: string): Uint8Array {
  return new TextEncoder().encode(content);
}

export function using<Result>({ kernel, top }: Bench, path: string, flags: number, use: (fd: Descriptor) => Result): Result {
  const fd = kernel.open(path, flags, { at: top, mode: 0o644 });
  try {
    return use(fd);
  } finally {
    kernel.close(fd);
  }
}

export function text(bench: Bench, path: string): string {
  return using(bench, path, O.RDONLY, (fd) => Buffer.from(bench.kernel.read(fd, 65536, null)).toString("latin1"));
}

export function names({ kernel }: Bench, fd: Descriptor): string[] {
  return kernel.readDirectory(fd).map(({ name, kind }) => `${Buffer.from(name).toString()} ${kind}`);
}

function properties({ kernel, top }: Bench, path: string): unknown {
  const { kind, mode, owner, group, size, links, modified } = kernel.statusAt(path, top);
  const times = path === "d/link" ? modified : "now";
  return { kind, mode, owner, group, size: kind === "directory" ? 0n : size, links, times };
}
