/** The files that are merged by line, of whatever stores hold them, as one family. */

import type { Operator } from "../../../state-ops/control.ts";
import type { AccountNote } from "../../../state-ops/merge/account-numbers.ts";
import type { StoreBaseline } from "../../../state-ops/merge/baseline.ts";
import { type AccountVersions, mergeAccounts } from "../../../state-ops/merge/keyed.ts";
import { type KeyedFile, keyedPaths } from "../../../state-ops/merge/keyed-files.ts";
import { overlayView, type UpperTree } from "../../../state-ops/merge/overlay-view.ts";
import type { Tree } from "../../../state-ops/merge/tree.ts";
import { O } from "../../kernel/constants.ts";
import type { Descriptor, Kernel } from "../../kernel/kernel.ts";
import { isCode, type OnProgress, openBeneath, withDescriptor } from "../beneath.ts";
import type { Place } from "../clone-metadata.ts";
import type { ImageContent } from "./gather.ts";
import { readKeyedText } from "./keyed-texts.ts";

/** The three versions of the files that one store holds. */
export interface AccountFiles {
  versions: ReadonlyMap<KeyedFile, AccountVersions>;
  holds(file: string): boolean;
}

interface AccountSources {
  place: Place;
  operator: Operator;
  image: ImageContent;
  baseline: StoreBaseline | null;
}

/** What the store shows: a bind's own content, or an overlay's upper over what the baseline had. */
type Shown = { state: Tree } | { base: Tree; upper: UpperTree };

/** The store's account files; none unless its rule is `keyed`. Null where one of them is too long, or nobody knows what it said. */
export function readAccountFiles(kernel: Kernel, sources: AccountSources, shown: Shown): AccountFiles | null {
  const { place, operator, image, baseline } = sources;
  const versions = new Map<KeyedFile, AccountVersions>();
  const state = "state" in shown ? shown.state : overlayView(shown.base, shown.upper);
  if (operator.merge === "keyed") {
    for (const [path, file] of keyedPaths(operator.path)) {
      const base = baseline?.texts.get(path) ?? null;
      const inStore = "state" in shown || shown.upper.has(path);
      const isFile = state.get(path)?.type === "file";
      const here = !isFile ? null : inStore ? readKeyedText(kernel, place, path) : (base ?? image.texts.get(path) ?? null);
      const there = image.texts.get(path) ?? null;
      if ((isFile && here === null) || (there === null && image.entries.get(path)?.type === "file")) return null;
      versions.set(file, { base, state: here, image: there });
    }
  }
  return { versions, holds: (file) => [...versions.keys()].some((known) => known === file) };
}

interface AccountPlan {
  accounts: AccountFiles | null;
  actions: readonly { do: string }[];
}

/**
 * The texts that the account files get, where any plan wants one. A name of the image whose number is taken here gets
 * another one where nothing in the image is owned by it: only then the whole image is looked at.
 */
export function mergeStoreAccounts(
  kernel: Kernel,
  plans: readonly AccountPlan[],
  image: { newRoot: Descriptor; onProgress: OnProgress },
): { texts: ReadonlyMap<KeyedFile, string | null>; notes: readonly AccountNote[] } {
  if (!plans.some(({ actions }) => actions.some((action) => action.do === "merge-keyed"))) return { texts: new Map(), notes: [] };
  const files = new Map(plans.flatMap(({ accounts }) => (accounts === null ? [] : [...accounts.versions])));
  const merged = mergeAccounts(files, { ownedInImage: null });
  if (!merged.notes.some(({ outcome }) => outcome === "refused")) return merged;
  return mergeAccounts(files, { ownedInImage: numbersOwned(kernel, image.newRoot, image.onProgress) });
}

/** Users and groups that own anything below `root`, on its own mount. */
function numbersOwned(kernel: Kernel, root: Descriptor, onProgress: OnProgress): { users: Set<number>; groups: Set<number> } {
  const owned = { users: new Set<number>(), groups: new Set<number>() };
  let files = 0;
  const visit = (place: Place): void => {
    const { kind, owner, group } = kernel.statusAt(place.name, place.at);
    owned.users.add(owner);
    owned.groups.add(group);
    if (++files % 100 === 0) onProgress(0, files);
    if (kind !== "directory") return;
    try {
      const open = () => openBeneath(kernel, place.at, place.name, O.RDONLY | O.DIRECTORY);
      withDescriptor(kernel, open, (at) => {
        for (const { name } of kernel.readDirectory(at)) visit({ at, name });
      });
    } catch (error) {
      if (!isCode(error, "EXDEV", "ENOENT")) throw error;
    }
  };
  visit({ at: root, name: "." });
  return owned;
}
