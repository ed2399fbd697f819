/** The stores of one generation in another that is being built: copied, or kept of a snapshot. */
import type { CloneRules } from "../../state-ops/clone-rules.ts";
import { GENERATION } from "../../state-ops/layout.ts";
import type { Descriptor, Kernel, Path } from "../kernel/kernel.ts";
import { type OnProgress, withDirectory } from "./beneath.ts";
import { cloneTree } from "./clone-tree.ts";
import { dropOverlayMarks } from "./overlay-marks.ts";
import { pruneTree, removeTree } from "./remove-tree.ts";
import { WriteBack } from "./write-back.ts";

const storeDirectories: readonly string[] = [GENERATION.tree, GENERATION.overlays];

/** Copies the stores of the generation `source` into `target`, whose directories for stores are there and empty. */
export function copyStores(
  kernel: Kernel,
  source: Descriptor,
  target: Descriptor,
  rules: CloneRules,
  onProgress: OnProgress,
): void {
  const progress = accumulated(onProgress);
  const writeBack = new WriteBack(kernel);
  const copy = (from: Descriptor, to: Descriptor, name: Path, toName: Path, id: string): void => {
    const leaveOut = rules.excluded(id) ?? (() => false);
    const options = { onProgress: progress.report, dropOptionalAttributes: false, leaveOut, writeBack };
    const done = cloneTree(kernel, { at: from, name }, { at: to, name: toName }, options);
    progress.add(done.bytes, done.files);
  };
  const both = (from: Descriptor, name: Path, to: Descriptor, toName: Path, use: (from: Descriptor, to: Descriptor) => void) =>
    withDirectory(kernel, from, name, (inner) => withDirectory(kernel, to, toName, (made) => use(inner, made)));
  both(source, GENERATION.tree, target, GENERATION.tree, (from, to) => {
    for (const { name, toName, id } of clonedStores(kernel, from, rules)) if (toName !== null) copy(from, to, name, toName, id);
  });
  both(source, GENERATION.overlays, target, GENERATION.overlays, (from, to) => {
    for (const { name, toName, id } of clonedStores(kernel, from, rules)) {
      if (toName === null) continue;
      kernel.makeDirectory(toName, 0o700, to);
      both(from, name, to, toName, (layers, made) => {
        for (const layer of visible(kernel, layers)) copy(layers, made, layer, layer, id);
      });
    }
  });
}

/**
 * Makes a snapshot of a generation what {@link copyStores} would have made: only stores are left of it, without those that
 * are not cloned, under the names that they have now.
 */
export function keepStores(kernel: Kernel, generation: Descriptor, rules: CloneRules, onProgress: OnProgress): void {
  // What is no directory is not taken for one without stores: that would lose them without a word.
  for (const name of storeDirectories) withDirectory(kernel, generation, name, () => {});
  for (const { name } of kernel.readDirectory(generation)) {
    if (!storeDirectories.includes(show(name))) removeTree(kernel, generation, name, onProgress);
  }
  for (const name of storeDirectories) {
    withDirectory(kernel, generation, name, (directory) => {
      for (const { name: store, kind } of kernel.readDirectory(directory)) {
        if (isHidden(store)) removeTree(kernel, directory, store, onProgress);
        else if (name === GENERATION.overlays && kind !== "directory") throw new Error(`${name}/${show(store)} is no directory`);
      }
      for (const { name: store, toName, id } of clonedStores(kernel, directory, rules)) {
        if (toName === null) {
          removeTree(kernel, directory, store, onProgress);
          continue;
        }
        if (toName !== store) kernel.rename(store, toName, { at: directory, exclusive: true });
        const excluded = rules.excluded(id);
        if (name === GENERATION.tree) {
          if (excluded !== null) pruneTree(kernel, directory, toName, excluded, onProgress);
          continue;
        }
        withDirectory(kernel, directory, toName, (layers) => {
          for (const { name: layer } of kernel.readDirectory(layers)) {
            if (isHidden(layer)) removeTree(kernel, layers, layer, onProgress);
            else if (excluded !== null) pruneTree(kernel, layers, layer, excluded, onProgress);
          }
        });
        dropOverlayMarks(kernel, directory, toName, onProgress);
      }
    });
  }
}

export interface ClonedStore {
  name: Path;
  /** Null where it is left out. */
  toName: Path | null;
  /** That it has in the clone. */
  id: string;
}

/** The stores in an open tree/ or ovl/. A name that is no text is nobody's id, and stays what it is. */
export function clonedStores(kernel: Kernel, directory: Descriptor, rules: CloneRules): ClonedStore[] {
  const names = visible(kernel, directory);
  const ids = new Set(names.map(show));
  return names.map((name) => {
    const id = show(name);
    if (!Buffer.from(id).equals(name)) return { name, toName: name, id };
    const made = rules.nameOf(id, (other) => ids.has(other));
    return { name, toName: made === id ? name : made, id: made ?? id };
  });
}

function visible(kernel: Kernel, directory: Descriptor): Uint8Array[] {
  return kernel.readDirectory(directory).flatMap(({ name }) => (isHidden(name) ? [] : [name]));
}

/** What was being seeded when the power failed is no store. */
function isHidden(name: Uint8Array): boolean {
  return name[0] === 0x2e;
}

function show(name: Uint8Array): string {
  return new TextDecoder().decode(name);
}

/** Progress over several trees, each of which counts from zero. */
function accumulated(onProgress: OnProgress): { report: OnProgress; add: OnProgress } {
  let before = { bytes: 0, files: 0 };
  const report: OnProgress = (bytes, files) => onProgress(before.bytes + bytes, before.files + files);
  return {
    report,
    add: (bytes, files) => {
      before = { bytes: before.bytes + bytes, files: before.files + files };
      report(0, 0);
    },
  };
}
