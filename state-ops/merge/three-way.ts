/** The merge of a store's state with a new image, by the baseline they both come from. */
import type { MergeRule } from "../control.ts";
import {
  contest,
  contestDeleted,
  type Decision,
  decideDirectory,
  decideLeaf,
  type MetadataFrom,
  metadataOfMerged,
} from "./decide.ts";
import { type KeyedFile, keyedPaths } from "./keyed-files.ts";
import { isDirectory, type MergeNode, overlapTrees, unmodifiedHere, unmodifiedInImage } from "./merge-nodes.ts";
import { byPath } from "./path-text.ts";
import { type Entry, sameEntry, type Tree } from "./tree.ts";

export interface MergePolicy {
  rule: MergeRule;
  /** Absolute path of the operator: tells which of its files are merged by line under `keyed`. */
  operatorPath: string;
}

/**
 * `take-image`: the path becomes what the image has (made, or replaced, whatever it was but a directory); with `metadata:
 * "state"` only a file's content does. On a directory that is there: mode, owner, group and attributes.
 * `merge-keyed`: the path gets the text that mergeAccounts makes of this and the other files of its family.
 * `keep`: stays as it is, or stays deleted. `delete`: a file, or a directory that is empty by then.
 * `keep-aside`: a copy of one side is put aside, with everything below it, before anything is changed.
 * `conflict`: the rule is `fail`; the plan is refused.
 * `contested`: both sides changed the path, or it was changed here and removed from the image.
 */
export type MergeAction =
  | { do: "keep-aside"; path: string; of: "state" | "image"; why: string }
  | { do: "delete"; path: string; why: string }
  | { do: "take-image"; path: string; metadata: MetadataFrom; contested: boolean; why: string }
  | { do: "merge-keyed"; path: string; file: KeyedFile; metadata: MetadataFrom; why: string }
  | { do: "keep"; path: string; contested: boolean; why: string }
  | { do: "conflict"; path: string; why: string };

/** What a path has in the end: `image-content` is the image's content with the state's metadata. */
export type MergeOutcome = "state" | "image" | "image-content" | "keyed";

export interface MergePlan {
  /**
   * In the order in which they are applied: copies aside, deletions (children first), what is taken or merged (parents
   * first), then what is kept. Paths that need nothing (equal on both sides, or only ever local) are not listed.
   */
  actions: MergeAction[];
  /** The rule is `fail` and both sides changed something: nothing may be applied, the slot's boot fails. */
  refused: boolean;
  /** What is at each path afterwards; a path that is not here is absent. */
  outcomes: ReadonlyMap<string, MergeOutcome>;
}

const ranks: Record<MergeAction["do"], number> = {
  conflict: 0,
  "keep-aside": 1,
  delete: 2,
  "take-image": 3,
  "merge-keyed": 3,
  keep: 4,
};

/**
 * Decides on every path of a store. An empty `baseline` (there is none) makes everything that differs a change on both
 * sides. All three trees leave out what belongs to the new image's nested
 * operators.
 */
export function mergeTree(baseline: Tree, state: Tree, image: Tree, policy: MergePolicy): MergePlan {
  const root = overlapTrees(baseline, state, image);
  const merger = new TreeMerger(policy, root);
  merger.visit(root);
  const actions = merger.actions.sort((left, right) => {
    const rank = ranks[left.do] - ranks[right.do];
    return rank !== 0 ? rank : left.do === "delete" ? byPath(right, left) : byPath(left, right);
  });
  return { actions, refused: actions.some((action) => action.do === "conflict"), outcomes: merger.outcomes };
}

/** An action as one line. */
export function actionLine(action: MergeAction): string {
  const what = action.do === "keep-aside" ? `keep-aside (${action.of})` : action.do;
  return `${what} ${action.path}: ${action.why}`;
}

class TreeMerger {
  readonly actions: MergeAction[] = [];
  readonly outcomes = new Map<string, MergeOutcome>();
  readonly #keyed: ReadonlyMap<string, KeyedFile>;
  readonly #rule: MergeRule;

  constructor(policy: MergePolicy, root: MergeNode) {
    this.#rule = policy.rule;
    this.#keyed = policy.rule === "keyed" ? filesToMerge(root, keyedPaths(policy.operatorPath)) : new Map();
  }

  /** Whether something is at the node's path afterwards. */
  visit(node: MergeNode): boolean {
    const { path, state, image } = node;
    if (path === "." && (state === null || image === null) && node.children.length > 0) {
      for (const child of node.children) this.visit(child);
      return true;
    }
    if (isDirectory(state)) {
      if (isDirectory(image)) return this.#directories(node, state, image);
      return image === null ? this.#removedDirectory(node) : this.#directoryHere(node);
    }
    if (isDirectory(image)) return state === null ? this.#missingDirectory(node) : this.#directoryInImage(node);
    return this.#leaf(node);
  }

  #leaf(node: MergeNode): boolean {
    const { path, base, state, image } = node;
    const file = this.#keyed.get(path);
    if (file !== undefined && image !== null && !sameEntry(state, image)) {
      const metadata = metadataOfMerged(base, state, image);
      this.actions.push({ do: "merge-keyed", path, file, metadata, why: "accounts changed here and in the image" });
      this.outcomes.set(path, "keyed");
      return true;
    }
    return this.#carryOut(node, decideLeaf(base, state, image, this.#rule));
  }

  #directories(node: MergeNode, state: Entry, image: Entry): boolean {
    this.#carryOut(node, decideDirectory(node.base, state, image, this.#rule));
    for (const child of node.children) this.visit(child);
    return true;
  }

  /** A directory here, nothing in the image. */
  #removedDirectory(node: MergeNode): boolean {
    const { path, base, state } = node;
    const rest = node.children.filter((child) => this.visit(child));
    if (base !== null && rest.length === 0 && sameEntry(state, base)) {
      return this.#carryOut(node, { do: "delete", why: "unmodified here, removed from the image" });
    }
    this.outcomes.set(path, "state");
    if (base === null) return true;
    const contested = !sameEntry(state, base);
    const why = contested
      ? "changed here, removed from the image: kept"
      : "removed from the image, kept for what was changed in it here";
    this.actions.push({ do: "keep", path, contested, why });
    return true;
  }

  /** A directory here, something else in the image. */
  #directoryHere(node: MergeNode): boolean {
    const { base, image } = node;
    if (unmodifiedHere(node)) {
      this.#deleteTree(node, "a directory unmodified here, something else in the image");
      return this.#take(node, "no directory any more in the image", false);
    }
    if (sameEntry(image, base)) {
      this.#keepTree(node);
      return this.#carryOut(node, {
        do: "keep",
        contested: false,
        loser: null,
        why: "made a directory here, not changed in the image",
      });
    }
    const decision = contest(`a directory here, a ${image?.type} in the image`, this.#rule);
    if (decision.do === "take-image") this.#deleteTree(node, "in the way of what the image has");
    else if (decision.do === "conflict") this.#keepTree(node);
    else for (const child of node.children) this.visit(child);
    return this.#carryOut(node, decision);
  }

  /** Nothing here, a directory in the image. */
  #missingDirectory(node: MergeNode): boolean {
    if (node.base === null) return this.#takeTree(node, "new in the image", false);
    if (unmodifiedInImage(node)) {
      const why = "deleted here, not changed in the image";
      return this.#carryOut(node, { do: "absent", contested: false, loser: null, why });
    }
    const decision = contestDeleted(this.#rule);
    if (decision.do === "take-image") return this.#takeTree(node, decision.why, true);
    return this.#carryOut(node, decision);
  }

  /** Something else here, a directory in the image. */
  #directoryInImage(node: MergeNode): boolean {
    const { path, base, state } = node;
    if (sameEntry(state, base)) {
      this.actions.push({ do: "delete", path, why: "unmodified here, a directory in the image" });
      return this.#takeTree(node, "a directory now in the image", false);
    }
    if (unmodifiedInImage(node)) {
      const why = `made a ${state?.type} here, not changed in the image`;
      return this.#carryOut(node, { do: "keep", contested: false, loser: null, why });
    }
    const decision = contest(`a ${state?.type} here, a directory in the image`, this.#rule);
    if (decision.do !== "take-image") return this.#carryOut(node, decision);
    this.actions.push({ do: "keep-aside", path, of: "state", why: decision.why });
    this.actions.push({ do: "delete", path, why: "in the way of the image's directory" });
    return this.#takeTree(node, decision.why, true);
  }

  #carryOut(node: MergeNode, decision: Decision): boolean {
    const { path, state } = node;
    switch (decision.do) {
      case "none":
        if (state !== null) this.outcomes.set(path, "state");
        return state !== null;
      case "delete":
        this.actions.push({ do: "delete", path, why: decision.why });
        return false;
      case "conflict":
        this.actions.push({ do: "conflict", path, why: decision.why });
        if (state !== null) this.outcomes.set(path, "state");
        return state !== null;
      case "take-image": {
        const { metadata, contested, loser, why } = decision;
        if (loser !== null) this.actions.push({ do: "keep-aside", path, of: loser, why });
        this.actions.push({ do: "take-image", path, metadata, contested, why });
        this.outcomes.set(path, metadata === "state" ? "image-content" : "image");
        return true;
      }
      default: {
        const { contested, loser, why } = decision;
        if (loser !== null) this.actions.push({ do: "keep-aside", path, of: loser, why });
        this.actions.push({ do: "keep", path, contested, why });
        if (decision.do === "keep") this.outcomes.set(path, "state");
        return decision.do === "keep";
      }
    }
  }

  #take(node: MergeNode, why: string, contested: boolean): boolean {
    return this.#carryOut(node, { do: "take-image", metadata: "image", contested, loser: null, why });
  }

  #takeTree(node: MergeNode, why: string, contested: boolean): boolean {
    if (node.image === null) return false;
    this.#take(node, why, contested);
    for (const child of node.children) this.#takeTree(child, why, false);
    return true;
  }

  #deleteTree(node: MergeNode, why: string): void {
    if (node.state === null) return;
    this.actions.push({ do: "delete", path: node.path, why });
    for (const child of node.children) this.#deleteTree(child, why);
  }

  #keepTree(node: MergeNode): void {
    if (node.state !== null) this.outcomes.set(node.path, "state");
    for (const child of node.children) this.#keepTree(child);
  }
}

/**
 * The files that are merged by line: none unless accounts changed on both sides, else the whole family, since a user that
 * is refused in one file must not appear in another. A file that was deleted here or in the image is decided on whole.
 */
function filesToMerge(root: MergeNode, keyed: ReadonlyMap<string, KeyedFile>): ReadonlyMap<string, KeyedFile> {
  const nodes = [...keyed.keys()].flatMap((path) => nodeAt(root, path) ?? []);
  const here = nodes.some(({ base, state }) => !sameEntry(state, base));
  const inImage = nodes.some(({ base, image }) => !sameEntry(image, base));
  if (!here || !inImage) return new Map();
  const files = nodes.filter(({ base, state, image }) => {
    return image?.type === "file" && (state === null ? base === null : state.type === "file");
  });
  return new Map([...keyed].filter(([path]) => files.some((node) => node.path === path)));
}

function nodeAt(root: MergeNode, path: string): MergeNode | undefined {
  if (root.path === path) return root;
  const next = root.children.find((child) => child.path === path || path.startsWith(`${child.path}/`));
  return next === undefined ? undefined : nodeAt(next, path);
}
