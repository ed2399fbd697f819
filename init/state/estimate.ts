/** How much a clone of a generation needs, found by a bounded walk that changes nothing. */
import type { CloneRules } from "../../state-ops/clone-rules.ts";
import type { CloneEngine } from "../../state-ops/clone-space.ts";
import { GENERATION, generationPath, LAYOUT } from "../../state-ops/layout.ts";
import { IOCTL, O } from "../kernel/constants.ts";
import { inodeKey } from "../kernel/files.ts";
import { type Descriptor, type Kernel, KernelError, type Path } from "../kernel/kernel.ts";
import { type OnProgress, openBeneath, withDescriptor, withDirectory } from "./beneath.ts";
import { canSnapshot } from "./btrfs.ts";
import { clonedStores } from "./clone-stores.ts";
import { removeTree } from "./remove-tree.ts";

/** No more files are looked at: beyond that the estimate is a lower bound. */
const MOST_FILES = 500_000;

export interface StoreSize {
  /** Allocated, without holes; a file with several names counts once. */
  bytes: number;
  /** Files, directories and everything else that takes an inode. */
  files: number;
  /** All of it was looked at. */
  whole: boolean;
}

/** Size of what a clone of the generation would hold: caches and what is excluded left out. Throws KernelError. */
export function measureStores(
  kernel: Kernel,
  data: Descriptor,
  generation: number,
  rules: CloneRules,
  onProgress: OnProgress,
): StoreSize {
  const size = { bytes: 0, files: 0, whole: true };
  const links = new Set<string>();
  const visit = (at: Descriptor, name: Path, path: Uint8Array, excluded: (path: Uint8Array) => boolean): void => {
    if (size.files >= MOST_FILES) {
      size.whole = false;
      return;
    }
    const status = kernel.statusAt(name, at);
    const { kind, links: names, allocated } = status;
    if (kind !== "directory" && names > 1) {
      const key = inodeKey(status);
      if (links.has(key)) return;
      links.add(key);
    }
    size.bytes += Number(allocated);
    size.files++;
    if (size.files % 100 === 0) onProgress(size.bytes, size.files);
    if (kind !== "directory") return;
    withDescriptor(
      kernel,
      () => openBeneath(kernel, at, name, O.RDONLY | O.DIRECTORY),
      (inner) => {
        for (const child of kernel.readDirectory(inner)) {
          const below = path.length === 0 ? child.name : Buffer.concat([path, Buffer.from("/"), child.name]);
          if (!excluded(below)) visit(inner, child.name, below, excluded);
        }
      },
    );
  };
  withDirectory(kernel, data, generationPath(generation), (source) => {
    for (const kind of [GENERATION.tree, GENERATION.overlays]) {
      withDirectory(kernel, source, kind, (directory) => {
        for (const { name, toName, id } of clonedStores(kernel, directory, rules)) {
          const excluded = rules.excluded(id) ?? (() => false);
          if (toName === null) continue;
          if (kind === GENERATION.tree) {
            visit(directory, name, new Uint8Array(0), excluded);
            continue;
          }
          withDirectory(kernel, directory, name, (layers) => {
            for (const layer of kernel.readDirectory(layers)) visit(layers, layer.name, new Uint8Array(0), excluded);
          });
        }
      });
    }
  });
  return size;
}

/** The engine that a clone of the generation would use; the two cheaper ones are tried. Throws KernelError. */
export function probeEngine(kernel: Kernel, data: Descriptor, generation: number): CloneEngine {
  const snapshot = withDirectory(kernel, data, generationPath(generation), (source) => canSnapshot(kernel, source));
  if (snapshot) return "snapshot";
  return withDirectory(kernel, data, LAYOUT.generations, (generations) => (canReflink(kernel, generations) ? "reflink" : "copy"));
}

/** Tried on two empty files that are deleted again, now or with the next generation that is built. */
function canReflink(kernel: Kernel, generations: Descriptor): boolean {
  const probe = ".tmp-probe";
  try {
    removeTree(kernel, generations, probe, () => {});
    kernel.makeDirectory(probe, 0o700, generations);
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    return false;
  }
  try {
    return withDirectory(kernel, generations, probe, (directory) => {
      const make = (name: string) => () => openBeneath(kernel, directory, name, O.RDWR | O.CREAT | O.EXCL, 0o600);
      return withDescriptor(kernel, make("from"), (from) =>
        withDescriptor(kernel, make("to"), (to) => {
          try {
            kernel.write(from, new Uint8Array(4096), 0n);
            kernel.ioctl(to, IOCTL.FICLONE, from);
            return true;
          } catch (error) {
            if (!(error instanceof KernelError)) throw error;
            return false;
          }
        }),
      );
    });
  } finally {
    removeTree(kernel, generations, probe, () => {});
  }
}
