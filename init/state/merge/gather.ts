import type { Operator } from "../../../state-ops/control.ts";
import { globMatcher } from "../../../state-ops/globs.ts";
import { nestedPaths } from "../../../state-ops/merge/baseline.ts";
import { keyedPaths } from "../../../state-ops/merge/keyed-files.ts";
import type { UpperEntry } from "../../../state-ops/merge/overlay-view.ts";
import { atOrBelow, parentPath, pathBytes } from "../../../state-ops/merge/path-text.ts";
import { contentMatters, type Entry, type Tree } from "../../../state-ops/merge/tree.ts";
import { OperatorPaths } from "../../../state-ops/operator-tree.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import type { OnProgress } from "../beneath.ts";
import type { Place } from "../clone-metadata.ts";
import { readKeyedText } from "./keyed-texts.ts";
import { TreeWalker } from "./walk-tree.ts";

/** What the image has at an operator's place. */
export interface ImageContent {
  /** Empty where the image has nothing there. */
  entries: Tree;
  /** Of the files that are merged by line: one character a byte. */
  texts: ReadonlyMap<string, string>;
}

/**
 * What may be read of the state beyond what the image weighs, in bytes: a baseline that lies about sizes could make
 * PID 1 read holes for ever.
 */
const moreThanImage = 256 * 1024 * 1024;

/** Reads the trees of a merge. What belongs to other operators below is left out of all of them. */
export class Gatherer {
  readonly #walker: TreeWalker;
  readonly #paths: OperatorPaths;
  #budget = moreThanImage;

  constructor(
    readonly kernel: Kernel,
    /** The image's. */
    operators: readonly Operator[],
    onProgress: OnProgress,
  ) {
    this.#paths = new OperatorPaths(operators);
    this.#walker = new TreeWalker(kernel, onProgress);
  }

  /** Everything, with all contents. */
  image(place: Place, operator: Operator): ImageContent {
    const entries = new Map<string, Entry>();
    const isNested = atOrBelow(nestedPaths(operator, this.#paths));
    this.#walker.walk(place, {
      sees: (path) => !isNested(path),
      enters: () => true,
      reads: (_path, size) => {
        // An old and a new content of each file.
        this.#budget += 2 * size;
        return true;
      },
      add: (path, entry) => entries.set(path, entry),
    });
    const texts = Array.from(keyedPaths(operator.path).keys(), (path): [string, string | null] => [
      path,
      entries.get(path)?.type === "file" ? readKeyedText(this.kernel, place, path) : null,
    ]);
    return { entries, texts: new Map(texts.flatMap(([path, text]) => (text === null ? [] : [[path, text]]))) };
  }

  /**
   * A bind's store. Looks into a directory only where `base` or `image` has one too, and reads a file only where one of them
   * has such a one: what is in the store alone takes no part in the merge, and users have any number of it. That a directory
   * has any at all is told by one of them.
   */
  state(place: Place, operator: Operator, base: Tree, image: Tree): Map<string, Entry> {
    const entries = new Map<string, Entry>();
    this.#walkState(place, operator, base, image, (path, upper) => {
      if (!upper.whiteout) entries.set(path, upper.entry);
    });
    return entries;
  }

  /** An overlay's upper layer; as {@link state}. */
  upper(place: Place, operator: Operator, base: Tree, image: Tree): Map<string, UpperEntry> {
    const entries = new Map<string, UpperEntry>();
    this.#walkState(place, operator, base, image, (path, upper) => entries.set(path, upper));
    return entries;
  }

  #walkState(place: Place, operator: Operator, base: Tree, image: Tree, add: (path: string, upper: UpperEntry) => void): void {
    const isNested = atOrBelow(nestedPaths(operator, this.#paths));
    const isExcluded = excludedPaths(operator);
    const keyed = keyedPaths(operator.path);
    const known = (path: string): boolean => base.has(path) || image.has(path) || keyed.has(path);
    const withOwn = new Set<string>();
    const needed = (path: string, whiteout: boolean): boolean => {
      if (whiteout || known(path)) return true;
      const parent = parentPath(path) ?? path;
      const first = !withOwn.has(parent);
      withOwn.add(parent);
      return first;
    };
    this.#walker.walk(place, {
      sees: (path) => !isNested(path) && !isExcluded(path),
      enters: (path) => [base, image].some((tree) => tree.get(path)?.type === "directory"),
      reads: (path, size) =>
        contentMatters({ type: "file", size }, base.get(path) ?? null, image.get(path) ?? null) && this.#affords(size),
      add: (path, entry, marks) => {
        const whiteout = marks.whiteout && operator.via === "overlay";
        if (needed(path, whiteout)) add(path, whiteout ? { whiteout } : { whiteout, entry, opaque: marks.opaque });
      },
    });
  }

  #affords(size: number): boolean {
    if (size > this.#budget) return false;
    this.#budget -= size;
    return true;
  }
}

/** Whether a path of a store is left out when it is cloned, itself or with a directory above it. */
export function excludedPaths({ exclude }: Pick<Operator, "exclude">): (path: string) => boolean {
  if (exclude.length === 0) return () => false;
  const matches = globMatcher(exclude);
  const excluded = (path: string): boolean => {
    const names = path.split("/");
    return names.some((_, index) => {
      const bytes = pathBytes(names.slice(0, index + 1).join("/"));
      return bytes !== null && matches(bytes);
    });
  };
  return excluded;
}
