/**
 * An overlay's upper layer that was made over another lower directory: what has to change in it before it is mounted over
 * the new one. It is the same three-way merge as a bind's, with the overlay's view of the old lower as the state; what that
 * decides is then said as changes to the upper, which in the end has nothing that the new lower has anyway.
 */
import type { MetadataFrom } from "./decide.ts";
import type { KeyedFile } from "./keyed-files.ts";
import { isDirectory } from "./merge-nodes.ts";
import { overlayView, type UpperEntry, type UpperTree } from "./overlay-view.ts";
import { byPath, parentPath } from "./path-text.ts";
import { type MergeOutcome, type MergePlan, type MergePolicy, mergeTree } from "./three-way.ts";
import { type Entry, sameEntry, type Tree } from "./tree.ts";

/**
 * `drop`: removes the upper's entry (a directory is empty by then), so that the lower shows. `drop-whiteout`: the same for a
 * whiteout. `clear-opaque`: removes the mark. `add-whiteout`: a 0:0 character device, 0:0, mode 0. `take-image`: copies from the
 * new lower into the upper's entry: a file's content alone with `metadata: "state"`, mode, owner, group and attributes alone of
 * a directory. `merge-keyed`, `keep-aside`, `conflict`: as in three-way.ts. `keep`: an upper entry or whiteout stays that the
 * image has something else for. `report`: the same, and both sides changed it.
 */
export type RebaseAction =
  | { do: "keep-aside"; path: string; of: "state" | "image"; why: string }
  | { do: "drop" | "drop-whiteout" | "add-whiteout" | "clear-opaque"; path: string; why: string }
  | { do: "take-image"; path: string; metadata: MetadataFrom; why: string }
  | { do: "merge-keyed"; path: string; file: KeyedFile; metadata: MetadataFrom; why: string }
  | { do: "keep" | "report" | "conflict"; path: string; why: string };

export interface RebasePlan {
  /** In the order in which they are applied. */
  actions: RebaseAction[];
  /** As in MergePlan: nothing may be applied. */
  refused: boolean;
  /** What was decided, path by path, before it was said as changes to the upper: for the report. */
  merge: MergePlan;
}

const ranks: Record<RebaseAction["do"], number> = {
  conflict: 0,
  "keep-aside": 1,
  drop: 2,
  "drop-whiteout": 2,
  "clear-opaque": 3,
  "add-whiteout": 4,
  "take-image": 5,
  "merge-keyed": 5,
  keep: 6,
  report: 6,
};

/**
 * The changes to `upper`, made over `oldLower`, so that it can be mounted over `newLower`. With `oldLower` null (no baseline
 * is known) whatever the upper has is a change made here: it stays, and only what equals the new lower is dropped.
 */
export function rebaseUpper(oldLower: Tree | null, newLower: Tree, upper: UpperTree, policy: MergePolicy): RebasePlan {
  const base = oldLower ?? newLower;
  const merge = mergeTree(base, overlayView(base, upper), newLower, policy);
  const rebaser = new Rebaser(newLower, upper, merge);
  if (!merge.refused) rebaser.visit(".", true);
  const actions = rebaser.actions.sort((left, right) => {
    const rank = ranks[left.do] - ranks[right.do];
    return rank !== 0 ? rank : ranks[left.do] === ranks.drop ? byPath(right, left) : byPath(left, right);
  });
  return { actions, refused: merge.refused, merge };
}

/** An action as one line. */
export function rebaseLine(action: RebaseAction): string {
  const what = action.do === "keep-aside" ? `keep-aside (${action.of})` : action.do;
  return `${what} ${action.path}: ${action.why}`;
}

class Rebaser {
  readonly actions: RebaseAction[] = [];
  readonly #lower: Tree;
  readonly #upper: UpperTree;
  readonly #outcomes: ReadonlyMap<string, MergeOutcome>;
  /** Why the merge decided so, by path. */
  readonly #why = new Map<string, string>();
  readonly #children: ReadonlyMap<string, readonly string[]>;

  constructor(lower: Tree, upper: UpperTree, merge: MergePlan) {
    this.#lower = lower;
    this.#upper = upper;
    this.#outcomes = merge.outcomes;
    this.#children = childrenOf([lower, upper, merge.outcomes]);
    for (const action of merge.actions) {
      this.#why.set(action.path, action.why);
      if (action.do === "keep-aside" || action.do === "merge-keyed" || action.do === "conflict") this.actions.push(action);
      if (action.do !== "keep" || merge.refused) continue;
      this.actions.push({ do: action.contested ? "report" : "keep", path: action.path, why: action.why });
    }
  }

  /** `visible`: the lower's directory above is seen through. Returns whether the upper has something at `path` afterwards. */
  visit(path: string, visible: boolean): boolean {
    const upper = this.#upper.get(path);
    const lower = (visible ? this.#lower.get(path) : undefined) ?? null;
    const outcome = this.#outcomes.get(path);
    if (outcome === undefined && path !== ".") return this.#absent(path, upper, lower);
    if (upper === undefined) return this.#below(path, visible && (lower !== null || path === "."));
    if (upper.whiteout) {
      this.#act("drop-whiteout", path, "the image has something here that was never deleted here");
      return false;
    }
    return isDirectory(upper.entry) ? this.#directory(path, upper, lower) : this.#leaf(path, upper.entry, lower, outcome);
  }

  #absent(path: string, upper: UpperEntry | undefined, lower: Entry | null): boolean {
    if (upper === undefined) {
      if (lower !== null) this.#act("add-whiteout", path, "deleted here, and the directory shows the image's again");
      return lower !== null;
    }
    if (upper.whiteout && lower === null) this.#act("drop-whiteout", path, "the image has nothing here to hide");
    if (upper.whiteout) return lower !== null;
    for (const child of this.#children.get(path) ?? []) this.visit(child, false);
    this.#act("drop", path, this.#why.get(path) ?? "nothing is left here");
    return false;
  }

  #leaf(path: string, entry: Entry, lower: Entry | null, outcome: MergeOutcome | undefined): boolean {
    for (const child of this.#children.get(path) ?? []) this.visit(child, outcome === "image");
    if (outcome === "keyed") return true;
    if (outcome === "image-content") {
      this.#take(path, "state");
      return true;
    }
    // An image's entry is seen as soon as the upper's is gone: no directory above hides it (see #showsLower).
    if (outcome !== "image" && (lower === null || !sameEntry(entry, lower))) return true;
    this.#act("drop", path, this.#why.get(path) ?? "equals the image's");
    return false;
  }

  #directory(path: string, upper: Extract<UpperEntry, { whiteout: false }>, lower: Entry | null): boolean {
    const outcome = this.#outcomes.get(path);
    const final = outcome === "image" ? (this.#lower.get(path) ?? null) : upper.entry;
    if (final !== null && !isDirectory(final)) {
      for (const child of this.#children.get(path) ?? []) this.visit(child, false);
      this.#act("drop", path, this.#why.get(path) ?? "no directory any more in the image");
      return false;
    }
    const overDirectory = path === "." || isDirectory(lower);
    const clears = upper.opaque && overDirectory && this.#showsLower(path);
    const opaque = upper.opaque && !clears;
    const kept = (this.#children.get(path) ?? []).filter((child) => this.visit(child, overDirectory && !opaque));
    if (path !== "." && !opaque && overDirectory && kept.length === 0 && sameEntry(final, lower)) {
      this.#act("drop", path, "nothing is in it that the image has not");
      return false;
    }
    if (clears) this.#act("clear-opaque", path, "it would hide what is in the image");
    if (outcome === "image" && !sameEntry(upper.entry, final)) this.#take(path, "image");
    return true;
  }

  #below(path: string, visible: boolean): boolean {
    const kept = (this.#children.get(path) ?? []).filter((child) => this.visit(child, visible));
    return kept.length > 0;
  }

  /** Whether anything below `path` is to come from the image. */
  #showsLower(path: string): boolean {
    return (this.#children.get(path) ?? []).some((child) => {
      const outcome = this.#outcomes.get(child);
      if (outcome === "image" && !isDirectory(this.#lower.get(child) ?? null)) return true;
      const upper = this.#upper.get(child);
      if (outcome === "image" && (upper === undefined || upper.whiteout || !isDirectory(upper.entry))) return true;
      return outcome !== undefined && this.#showsLower(child);
    });
  }

  #take(path: string, metadata: MetadataFrom): void {
    this.actions.push({ do: "take-image", path, metadata, why: this.#why.get(path) ?? "follows the image" });
  }

  #act(what: "drop" | "drop-whiteout" | "add-whiteout" | "clear-opaque", path: string, why: string): void {
    this.actions.push({ do: what, path, why });
  }
}

function childrenOf(trees: readonly ReadonlyMap<string, unknown>[]): Map<string, string[]> {
  const children = new Map<string, string[]>();
  for (const path of new Set(trees.flatMap((tree) => [...tree.keys()]))) {
    const parent = parentPath(path);
    if (parent === null) continue;
    const siblings = children.get(parent);
    if (siblings === undefined) children.set(parent, [path]);
    else siblings.push(path);
  }
  return children;
}
