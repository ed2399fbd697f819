import { globSync, readFileSync, realpathSync } from "node:fs";
import { posix } from "node:path";
import { type ElfFile, isElf, machineText, readElf } from "../../../boot/elf.ts";
import { BadInput } from "../../../state-ops/outcome.ts";
import { Sysroot } from "./sysroot.ts";

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
 * What is no ELF file needs nothing. Throws BadInput that names the program for a library that `sysroot` does not have.
 */
export function librariesOf(programs: string[], sysroot: Sysroot): Library[] {
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
    // Libraries name the dynamic linker as well, by its file name.
    if (elf.interpreter !== null) add(posix.basename(elf.interpreter), findLinker(elf.interpreter, elf, source, sysroot));
    for (const name of elf.needed) add(name, find(name, elf, source, found, sysroot));
  }
  return [...found.values()];
}

function findLinker(path: string, elf: ElfFile, wanting: string, sysroot: Sysroot): Library {
  const source = sysroot.find(path);
  const what = `${wanting} needs ${path}`;
  if (source === null) throw new BadInput(`${what}, which does not exist${sysroot.within}; ${sysroot.remedy(elf.machine)}`);
  const { machine } = named(source, () => readElf(readFileSync(source)));
  if (machine !== elf.machine)
    throw new BadInput(`${what} for ${machineText(elf.machine)}; ${source} is for ${machineText(machine)}`);
  return { path, source };
}

function named<T>(source: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw error instanceof BadInput ? new BadInput(`${source}: ${error.message}`) : error;
  }
}

/** The place of the library `name` that `elf`, the file `source`, asks for. */
function find(name: string, elf: ElfFile, source: string, found: Map<string, Library>, sysroot: Sysroot): Library {
  const known = found.get(name);
  if (known) return known;
  const usual = usualDirectories(elf, sysroot);
  const fits = (path: string | null): string | null => {
    if (path === null) return null;
    const bytes = readFileSync(path);
    if (!isElf(bytes)) return null;
    const other = named(path, () => readElf(bytes));
    return other.machine === elf.machine && other.bits === elf.bits ? path : null;
  };
  const origin = posix.dirname(realpathSync(source));
  const originTree = sysroot.pathOf(origin) === null ? new Sysroot("/") : sysroot; // a program that lies elsewhere
  for (const words of [...elf.runpath, ...usual]) {
    const path = `${words.replaceAll(ORIGIN, originTree.pathOf(origin) ?? origin)}/${name}`;
    const there = fits((words.includes("ORIGIN") ? originTree : sysroot).find(path));
    if (there !== null) return { path, source: there };
  }
  // In the initrd there is no ld.so.cache, so that only the usual directories are searched.
  const configured = configuredDirectories("/etc/ld.so.conf", sysroot);
  for (const directory of configured) {
    const there = fits(sysroot.find(`${directory}/${name}`));
    if (there !== null) return { path: `${usual[0] ?? "/usr/lib"}/${name}`, source: there };
  }
  const searched = [...elf.runpath, ...usual, ...configured].join(", ");
  const what = `${source} needs ${name} for ${machineText(elf.machine)}`;
  throw new BadInput(`${what}, which is in none of ${searched}${sysroot.within}; ${sysroot.remedy(elf.machine)}`);
}

const ORIGIN = /\$\{ORIGIN\}|\$ORIGIN/g;

/** Directories that the dynamic linker searches without being told. */
function usualDirectories(elf: ElfFile, sysroot: Sysroot): string[] {
  const triplet = multiarch[elf.machine];
  const width = elf.bits === 64 ? ["/lib64", "/usr/lib64"] : [];
  const debian = triplet === undefined ? [] : [`/lib/${triplet}`, `/usr/lib/${triplet}`];
  return [...debian, ...width, "/lib", "/usr/lib"].filter((path) => sysroot.find(path) !== null);
}

/** Directories of an ld.so.conf and the files that it includes, each file once: one may include itself. */
function configuredDirectories(file: string, sysroot: Sysroot, read = new Set<string>()): string[] {
  const source = sysroot.find(file);
  if (source === null || read.has(source)) return [];
  read.add(source);
  return readFileSync(source, "utf8")
    .split("\n")
    .map((line) => line.replace(/#.*/, "").trim())
    .filter((line) => line !== "")
    .flatMap((line) => {
      const included = /^include\s+(.+)$/.exec(line)?.[1];
      if (included === undefined) return [line];
      return globSync(sysroot.place(posix.resolve(posix.dirname(file), included)))
        .sort()
        .flatMap((path) => configuredDirectories(sysroot.pathOf(path) ?? path, sysroot, read));
    });
}
