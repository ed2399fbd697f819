import type { Architecture } from "../../../boot/architecture.ts";
import { type ModuleIndex, matchesAlias, moduleName } from "../../../boot/modules.ts";
import { BadInput } from "../../../state-ops/outcome.ts";
import type { ModuleDirectory } from "./depmod.ts";
import {
  boardModules,
  defaultModules,
  loaderModules,
  mediaModules,
  networkModules,
  preinitModules,
  proofModules,
} from "./module-sets.ts";

/** What the control file needs drivers for. */
export interface DriverNeeds {
  network: boolean;
  /** Removable media, or a partition with a filesystem of its own. */
  media: boolean;
  /** A bootloader's filesystem. */
  loader: boolean;
}

export interface ModuleSelection {
  /** What goes into the initrd, sorted: name there, and path below the directory. */
  files: { name: string; path: string }[];
  index: ModuleIndex;
  /** File names that preinit loads, in order. */
  preinit: string[];
  /** Modules of the default set that this kernel does not have. */
  absent: string[];
  /** Whether this kernel has dm-verity, as a module or built in. */
  verity: boolean;
}

/**
 * Chooses the modules of an initrd. `named` are loaded at every boot; when it is empty, the default set is there for
 * whoever asks (hardware by its modalias, a mount by "fs-TYPE"). What the control file needs is there either way. Throws BadInput for
 * a name that the kernel does not have.
 */
export function selectModules(
  directory: ModuleDirectory,
  kernel: string,
  architecture: Architecture,
  named: string[],
  needs: DriverNeeds = { network: false, media: false, loader: false },
): ModuleSelection {
  const wanted = named.map((name) => moduleName(name));
  for (const [place, name] of wanted.entries()) {
    if (!knows(directory, name)) throw new BadInput(unknown(directory, kernel, named[place] ?? name));
  }
  const defaults = wanted.length > 0 ? [] : defaultModules(architecture);
  const boards = wanted.length > 0 ? [] : boardModules[architecture];
  const load = inOrder(directory, wanted);
  const preinit = inOrder(directory, preinitModules);
  const ordinary = new Set([...preinit, ...load, ...inOrder(directory, [...defaults, ...boards, ...proofModules])]);
  const media = inOrder(directory, needs.media ? mediaModules : []);
  const network = inOrder(directory, needs.network ? networkModules : []);
  const loader = inOrder(directory, needs.loader ? loaderModules : []);
  const all = new Set([...ordinary, ...media, ...network, ...loader]);
  const byFile = [...all]
    .map((name) => [fileName(directory, name), name] as const)
    .sort(([left], [right]) => (left < right ? -1 : 1));
  return {
    files: byFile.map(([file, name]) => ({ name: file, path: directory.modules.get(name)?.path ?? name })),
    index: {
      schema: 1,
      kernel,
      load: load.map((name) => fileName(directory, name)),
      depends: Object.fromEntries(
        byFile.map(([file, name]) => [
          file,
          inOrder(directory, [name])
            .slice(0, -1)
            .map((other) => fileName(directory, other)),
        ]),
      ),
      aliases: directory.aliases
        .filter(([, name]) => all.has(name))
        .map(([pattern, name]): [string, string] => [pattern, fileName(directory, name)]),
      recovery: network
        .filter((name) => !ordinary.has(name) && !media.includes(name))
        .map((name) => fileName(directory, name))
        .sort(),
    },
    preinit: preinit.map((name) => fileName(directory, name)),
    absent: defaults.filter((name) => !knows(directory, name)),
    verity: knows(directory, "dm_verity"),
  };
}

/** "virtio_blk.ko", also where the kernel's file is "virtio_blk.ko.xz": it is decompressed into the initrd. */
function fileName(directory: ModuleDirectory, name: string): string {
  const path = directory.modules.get(name)?.path ?? name;
  return path.slice(path.lastIndexOf("/") + 1).replace(/\.(gz|xz|zst)$/, "");
}

function knows(directory: ModuleDirectory, name: string): boolean {
  return directory.modules.has(name) || directory.builtin.has(name);
}

/** The modules `names` and all they need, each after what it needs; without those that are part of the kernel. */
function inOrder(directory: ModuleDirectory, names: readonly string[]): string[] {
  const order: string[] = [];
  const seen = new Set<string>();
  const visit = (name: string): void => {
    const found = directory.modules.get(name);
    if (found === undefined || seen.has(name)) return;
    seen.add(name);
    for (const soft of directory.softBefore.get(name) ?? []) for (const other of providers(directory, soft)) visit(other);
    for (const other of found.needs) visit(other);
    order.push(name);
  };
  for (const name of names) visit(name);
  return order;
}

/** Modules that a name in a soft dependency stands for: itself, or what has it as an alias. */
function providers(directory: ModuleDirectory, name: string): string[] {
  if (knows(directory, name)) return [name];
  return directory.aliases.filter(([pattern]) => matchesAlias(pattern, name)).map(([, module]) => module);
}

function unknown(directory: ModuleDirectory, kernel: string, name: string): string {
  const near = [...directory.modules.keys(), ...directory.builtin]
    .map((other) => ({ other, distance: distance(moduleName(name), other) }))
    .filter(({ other, distance }) => distance <= 3 || other.includes(moduleName(name)))
    .sort((left, right) => left.distance - right.distance || (left.other < right.other ? -1 : 1))
    .slice(0, 5)
    .map(({ other }) => other);
  return `kernel ${kernel} has no module "${name}"; ${near.length > 0 ? `near are ${near.join(", ")}` : "no name is near"}`;
}

/** Levenshtein distance. */
function distance(left: string, right: string): number {
  let row = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (const [place, character] of [...left].entries()) {
    const next = [place + 1];
    for (const [index, other] of [...right].entries()) {
      const changed = (row[index] ?? 0) + (character === other ? 0 : 1);
      next.push(Math.min(changed, (row[index + 1] ?? 0) + 1, (next[index] ?? 0) + 1));
    }
    row = next;
  }
  return row[right.length] ?? 0;
}
