/** Decides what becomes of each store of a generation over a new image. Nothing is changed here. */
import type { Operator } from "../../../state-ops/control.ts";
import { type Baseline, nestedPaths, outsideNested, type StoreBaseline } from "../../../state-ops/merge/baseline.ts";
import type { KeyedFile } from "../../../state-ops/merge/keyed-files.ts";
import { type RebaseAction, rebaseUpper } from "../../../state-ops/merge/rebase.ts";
import { type StoreMerge, storeMerge } from "../../../state-ops/merge/report.ts";
import { type MergeAction, type MergePlan, mergeTree } from "../../../state-ops/merge/three-way.ts";
import type { Entry, Tree } from "../../../state-ops/merge/tree.ts";
import { OperatorPaths } from "../../../state-ops/operator-tree.ts";
import type { Descriptor, Kernel } from "../../kernel/kernel.ts";
import type { OnProgress } from "../beneath.ts";
import type { Place } from "../clone-metadata.ts";
import { type AccountFiles, mergeStoreAccounts, readAccountFiles } from "./accounts.ts";
import { excludedPaths, type Gatherer, type ImageContent } from "./gather.ts";
import { withImagePlace, withStorePlace } from "./places.ts";

export interface MergeSources {
  /** Directory of the generation whose stores are looked at. */
  generation: Descriptor;
  /** What the stores were made over; null where nobody knows. */
  baseline: Baseline | null;
  /** The new image's. */
  operators: readonly Operator[];
  /** Root of the new image, over which nothing is laid. */
  newRoot: Descriptor;
  images: ReadonlyMap<string, ImageContent>;
  /** The stores are not cloned yet: they have their old ids, and what is not cloned is still there. */
  beforeClone: boolean;
}

/** What is to be done to one store. */
export interface StorePlan {
  operator: Operator;
  actions: readonly (MergeAction | RebaseAction)[];
  merge: MergePlan;
}

export interface PlannedMerge {
  plans: readonly StorePlan[];
  /** What the files are to say that are merged by line. */
  accounts: ReadonlyMap<KeyedFile, string | null>;
  /** For the report, in the operators' order. */
  stores: StoreMerge[];
  refused: boolean;
  /** One sentence each. */
  notes: string[];
}

/** Whether the image may have content for an operator's store that the device changes: what a baseline speaks of. */
function followsImage({ state, via, seed }: Operator): boolean {
  return state === "persistent" && (via === "overlay" || (via === "bind" && seed === "image"));
}

/** What the image has at the places of all operators that follow it, by id; none for an operator whose place it lacks. */
export function readImages(
  kernel: Kernel,
  gatherer: Gatherer,
  newRoot: Descriptor,
  operators: readonly Operator[],
): Map<string, ImageContent> {
  const images = new Map<string, ImageContent>();
  for (const operator of operators.filter(followsImage)) {
    const content = withImagePlace(kernel, newRoot, operator, (place) => gatherer.image(place, operator));
    if (content !== null) images.set(operator.id, content);
  }
  return images;
}

/** Throws KernelError where a store cannot be read. */
export function planMerge(kernel: Kernel, gatherer: Gatherer, sources: MergeSources, onProgress: OnProgress): PlannedMerge {
  const plans: (StorePlan & { baseline: boolean; accounts: AccountFiles | null })[] = [];
  const notes: string[] = [];
  const paths = new OperatorPaths(sources.operators);
  const baselines = storesById(sources.baseline);
  for (const operator of sources.operators) {
    const image = sources.images.get(operator.id);
    if (image === undefined || operator.cache) continue;
    const baseline = baselineOf(baselines, operator);
    const planned = withStore(kernel, sources, operator, (place) => {
      const order: StoreOrder = { place, operator, image, baseline };
      const plan = planStore(kernel, gatherer, paths, order);
      if (plan.unkeyed) notes.push(`${operator.path}: its accounts are too many to be merged by line; the device's are kept`);
      return plan;
    });
    if (planned !== null) plans.push({ ...planned, operator, baseline: baseline !== null });
  }
  const owned = { newRoot: sources.newRoot, onProgress };
  const accounts = mergeStoreAccounts(kernel, plans, owned);
  const stores = plans.map(({ operator, merge, baseline, accounts: files }) => {
    const { id, path, merge: rule } = operator;
    return storeMerge(
      { id, path, rule, baseline },
      merge,
      files === null ? [] : accounts.notes.filter(({ file }) => files.holds(file)),
    );
  });
  return { plans, accounts: accounts.texts, stores, refused: plans.some(({ merge }) => merge.refused), notes };
}

/** What stores were made over, by the ids that they had; nothing where nobody knows. */
export function storesById(baseline: Baseline | null): ReadonlyMap<string, StoreBaseline> {
  return new Map((baseline?.stores ?? []).map((store) => [store.id, store]));
}

/** What a store was made over; null where nobody knows. A store that got another id was made under the old one. */
export function baselineOf(stores: ReadonlyMap<string, StoreBaseline>, operator: Operator): StoreBaseline | null {
  const { id, renamedFrom, via } = operator;
  const found = stores.get(id) ?? (renamedFrom === null ? undefined : stores.get(renamedFrom));
  return found?.via === via ? found : null;
}

function withStore<Result>(
  kernel: Kernel,
  { generation, beforeClone }: MergeSources,
  operator: Operator,
  use: (place: Place) => Result,
): Result | null {
  const found = withStorePlace(kernel, generation, operator, use);
  if (found !== null || !beforeClone || operator.renamedFrom === null) return found;
  return withStorePlace(kernel, generation, { ...operator, id: operator.renamedFrom }, use);
}

interface StoreOrder {
  place: Place;
  operator: Operator;
  image: ImageContent;
  baseline: StoreBaseline | null;
}

function planStore(kernel: Kernel, gatherer: Gatherer, paths: OperatorPaths, order: StoreOrder) {
  const { place, operator, image, baseline } = order;
  const old = baseline === null ? null : baseTree(baseline, operator, paths);
  const fresh = withDeclaredRoot(image.entries, operator);
  const policy = (keyed: boolean) => ({
    rule: operator.merge === "keyed" && !keyed ? ("local" as const) : operator.merge,
    operatorPath: operator.path,
  });
  if (operator.via === "overlay") {
    const upper = gatherer.upper(place, operator, old ?? fresh, fresh);
    const root = upper.get(".");
    if (root?.whiteout === false) upper.set(".", { ...root, entry: declaredRoot(root.entry, operator) });
    const accounts = readAccountFiles(kernel, order, { base: old ?? fresh, upper });
    const rebase = rebaseUpper(old, fresh, upper, policy(accounts !== null));
    return { actions: rebase.actions, merge: rebase.merge, accounts, unkeyed: operator.merge === "keyed" && accounts === null };
  }
  const state = withDeclaredRoot(gatherer.state(place, operator, old ?? new Map(), fresh), operator);
  const accounts = readAccountFiles(kernel, order, { state });
  const merge = mergeTree(old ?? new Map(), state, fresh, policy(accounts !== null));
  return { actions: merge.actions, merge, accounts, unkeyed: operator.merge === "keyed" && accounts === null };
}

/**
 * The baseline as the new image's operators see it. What is not cloned is no deletion: in a bind it starts with what the
 * image has there now.
 */
function baseTree({ entries }: StoreBaseline, operator: Operator, paths: OperatorPaths): Tree {
  const isExcluded = operator.via === "bind" ? excludedPaths(operator) : () => false;
  const own = outsideNested(entries, nestedPaths(operator, paths));
  return withDeclaredRoot(new Map([...own].filter(([path]) => !isExcluded(path))), operator);
}

/** The mode and owner of the root are the operator's where it declares them: nobody changed them. */
function withDeclaredRoot(tree: Tree, operator: Operator): Map<string, Entry> {
  const made = new Map(tree);
  const root = tree.get(".");
  if (root !== undefined) made.set(".", declaredRoot(root, operator));
  return made;
}

function declaredRoot(root: Entry, { mode, owner, group, context }: Operator): Entry {
  return {
    ...root,
    mode: mode ?? root.mode,
    owner: owner ?? root.owner,
    group: group ?? root.group,
    attributes: context === null ? root.attributes : null,
  };
}
