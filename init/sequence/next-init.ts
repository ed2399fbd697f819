import { runsOn } from "../../boot/architecture.ts";
import { isElf, machineText, readElfStart } from "../../boot/elf.ts";
import { O, RESOLVE } from "../kernel/constants.ts";
import { readText, withOpen } from "../kernel/files.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";
import { ownArchitecture } from "../version.ts";

/**
 * Where the kernel itself looks for an init, in its order (init/main.c), but for its last, /bin/sh: a slot whose init is
 * missing or broken would stay at a shell's prompt for ever instead of being left for the next one.
 */
export const USUAL_PLACES = ["/sbin/init", "/etc/init", "/bin/init"];

/** Enough of a program for its ELF headers and the name of its interpreter, or for a "#!" line; bytes. */
const HEAD = 65536;
/** No program that is read as a whole is larger, bytes. */
const LARGEST = 64n * 1024n * 1024n;

const inRoot = (root: Descriptor) => ({ at: root, resolve: RESOLVE.IN_ROOT });

/** Why `path` cannot be executed in the tree below `root`; null when it can. Links are followed inside the tree only. */
function whyNotExecutable(kernel: Kernel, root: Descriptor, path: string, depth = 0): string | null {
  try {
    return withOpen(
      kernel,
      path,
      // A fifo would hold PID 1 until somebody writes to it.
      O.RDONLY | O.NONBLOCK,
      (fd) => {
        const { kind, mode, size } = kernel.status(fd);
        if (kind !== "file") return `${path} is a ${kind}, not a program`;
        if ((mode & 0o111) === 0) return `${path} is not executable (mode 0${mode.toString(8)})`;
        const head = kernel.read(fd, HEAD, 0n);
        const script = scriptInterpreter(head);
        const program = script === null ? readProgram(kernel, fd, head, size) : null;
        const foreign = program === null ? null : foreignMachine(program.machine);
        if (foreign !== null) return `${path} is a program for ${foreign}`;
        const interpreter = script ?? program?.interpreter ?? null;
        if (interpreter === null || depth > 3) return null;
        const why = whyNotExecutable(kernel, root, interpreter, depth + 1);
        return why === null ? null : `${path} needs its interpreter ${interpreter}: ${why}`;
      },
      inRoot(root),
    );
  } catch (error) {
    if (error instanceof KernelError) return `${path}: ${error.code}`;
    throw error;
  }
}

/** The interpreter of a "#!" line; null without one. */
export function scriptInterpreter(head: Uint8Array): string | null {
  if (head[0] !== 0x23 || head[1] !== 0x21) return null;
  const line = new TextDecoder().decode(head.subarray(2, 256)).split("\n")[0] ?? "";
  return line.trim().split(/\s+/)[0] || null;
}

/** Machine and ELF interpreter. Tools that rewrite a program (patchelf) put its headers at its end: then all of it is read. */
function readProgram(kernel: Kernel, fd: Descriptor, head: Uint8Array, size: bigint) {
  try {
    return readElfStart(head);
  } catch (error) {
    if (!isElf(head) || size <= BigInt(head.length) || size > LARGEST) throw error;
    return readElfStart(kernel.read(fd, Number(size), 0n));
  }
}

/** Name of a machine whose programs do not run on this one; null for our own. 32-bit programs are the kernel's choice. */
function foreignMachine(machine: number): string | null {
  return runsOn(ownArchitecture, machine) ? null : machineText(machine);
}

/** The next init in the tree below `root`. */
export interface NextInit {
  path: string;
  warnings: string[];
}

/**
 * Finds the next init: the one asked for on the command line where it can be executed, else the first of the usual
 * places that can. A wrong `init=` is a warning, since it is no fault of the slot.
 *
 * @throws Error that says for each place why it is none
 */
export function findNextInit(kernel: Kernel, root: Descriptor, asked: string | null): NextInit {
  return chooseInit(asked, (path) => whyNotInit(kernel, root, path));
}

/** As {@link findNextInit}, over what `whyNot` says of a path: null where it can be executed. */
export function chooseInit(asked: string | null, whyNot: (path: string) => string | null): NextInit {
  const warnings: string[] = [];
  const seen: string[] = [];
  for (const path of [...(asked === null ? [] : [asked]), ...USUAL_PLACES]) {
    const why = whyNot(path);
    if (why === null) {
      if (asked !== null && path !== asked) warnings.push(`init=${asked} is passed over for ${path}: ${seen[0]}`);
      return { path, warnings };
    }
    seen.push(why);
  }
  throw new Error(`no init in the root: ${seen.join("; ")}; put one at /sbin/init into the image`);
}

/** Why `path` in the tree below `root` cannot be the next init; null when it can. A malformed program is a reason like others. */
export function whyNotInit(kernel: Kernel, root: Descriptor, path: string): string | null {
  try {
    return whyNotExecutable(kernel, root, path);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** A directory of modules in a root, and the kernel versions it has some for. */
export interface ModuleVersions {
  directory: string;
  names: string[];
}

/**
 * Why the running kernel would find no modules in the tree below `root`: it has some, and all are for other kernels.
 * Null when there is nothing to say.
 */
export function foreignModules(kernel: Kernel, root: Descriptor): string | null {
  return foreignAmong(kernelRelease(kernel), moduleVersions(kernel, root));
}

/** The running kernel's version, as uname -r says it. */
export function kernelRelease(kernel: Kernel): string {
  return readText(kernel, "/proc/sys/kernel/osrelease").trim();
}

/** As {@link foreignModules}, over what the root has. */
export function foreignAmong(release: string, found: Iterable<ModuleVersions>): string | null {
  for (const { directory, names } of found) {
    if (names.length === 0) continue;
    if (names.includes(release)) return null;
    return `${directory} has modules for ${names.join(", ")} only, and the kernel that runs is ${release}`;
  }
  return null;
}

/** The directories of modules in the tree below `root`, read one by one as they are asked for. */
export function* moduleVersions(kernel: Kernel, root: Descriptor): Generator<ModuleVersions> {
  for (const directory of ["/usr/lib/modules", "/lib/modules"]) {
    try {
      const names = withOpen(
        kernel,
        directory,
        O.RDONLY | O.DIRECTORY,
        (fd) => kernel.readDirectory(fd).map((entry) => new TextDecoder().decode(entry.name)),
        inRoot(root),
      );
      yield { directory, names };
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
    }
  }
}
