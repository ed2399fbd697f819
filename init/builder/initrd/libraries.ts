import { existsSync, globSync, readFileSync, realpathSync } from "node:fs";
import { posix } from "node:path";
import { type ElfFile, isElf, MACHINE, readElf } from "../../../boot/elf.ts";
import { BadInput } from "../../../state-ops/outcome.ts";

/** Debian's and others' library directories, by {@link ElfFile.machine}; see ld.so(8). */
const multiarch: Record<number, string> = {
  3: "i386-linux-gnu",
  40: "arm-linux-gnueabihf",
  62: "x86_64-linux-gnu",
  183: "aarch64-linux-gnu",
};

/** A file that a program needs: where the dynamic linker will look for it, and where it is now. */
export interface Library {
  path: string;
  source: string;
}

/**
 * The dynamic linker and all libraries that the ELF headers of `programs` ask for, directly or through another library.
 * What is no ELF file needs nothing. Throws BadInput that names the program for a library that the host does not have.
 */
export function librariesOf(programs: string[]): Library[] {
  const found = new Map<string, Library>();
  const queue = [...programs];
  for (let source = queue.shift(); source !== undefined; source = queue.shift()) {
    const bytes = readFileSync(source);
    if (!isElf(bytes)) continue;
    const elf = named(source, () => readElf(bytes));
    const add = (name: string, library: Library): void => {
      if (found.has(name)) return;
      found.set(name, library);
      queue.push(library.source);
    };
    const linker = elf.interpreter;
    if (linker !== null) {
      if (!existsSync(linker)) throw new BadInput(`${source} needs ${linker}, which does not exist; install its package`);
      add(posix.basename(linker), { path: linker, source: linker }); // also what libraries name it by
    }
    for (const name of elf.needed) add(name, find(name, elf, source, found));
  }
  return [...found.values()];
}

function named<T>(source: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw error instanceof BadInput ? new BadInput(`${source}: ${error.message}`) : error;
  }
}

/** The place of the library `name` that `elf` asks for. */
function find(name: string, elf: ElfFile, source: string, found: Map<string, Library>): Library {
  const known = found.get(name);
  if (known) return known;
  const usual = usualDirectories(elf);
  const origin = posix.dirname(realpathSync(source));
  const own = elf.runpath.map((path) => path.replaceAll(/\$\{?ORIGIN\}?/g, origin));
  const configured = configuredDirectories("/etc/ld.so.conf");
  const fits = (directory: string): boolean => {
    const path = `${directory}/${name}`;
    if (!existsSync(path)) return false;
    const bytes = readFileSync(path);
    if (!isElf(bytes)) return false;
    const other = named(path, () => readElf(bytes));
    return other.machine === elf.machine && other.bits === elf.bits;
  };
  const direct = [...own, ...usual].find(fits);
  if (direct !== undefined) return { path: `${direct}/${name}`, source: `${direct}/${name}` };
  const indirect = configured.find(fits);
  // In the initrd there is no ld.so.cache, so that only the usual directories are searched.
  if (indirect !== undefined) return { path: `${usual[0]}/${name}`, source: `${indirect}/${name}` };
  const machine = MACHINE[elf.machine] ?? `machine ${elf.machine}`;
  const searched = [...own, ...usual, ...configured].join(", ");
  throw new BadInput(`${source} needs ${name} for ${machine}, which is in none of ${searched}; install its package`);
}

/** Directories that the dynamic linker searches without being told. */
function usualDirectories(elf: ElfFile): string[] {
  const triplet = multiarch[elf.machine];
  const width = elf.bits === 64 ? ["/lib64", "/usr/lib64"] : [];
  const debian = triplet === undefined ? [] : [`/lib/${triplet}`, `/usr/lib/${triplet}`];
  return [...debian, ...width, "/lib", "/usr/lib"].filter((path) => existsSync(path));
}

/** Directories of an ld.so.conf and the files that it includes. */
function configuredDirectories(file: string): string[] {
  if (!existsSync(file)) return [];
  return readFileSync(file, "utf8")
    .split("\n")
    .map((line) => line.replace(/#.*/, "").trim())
    .filter((line) => line !== "")
    .flatMap((line) => {
      const included = /^include\s+(.+)$/.exec(line)?.[1];
      if (included === undefined) return [line];
      return globSync(posix.resolve(posix.dirname(file), included))
        .sort()
        .flatMap(configuredDirectories);
    });
}
