/** Carries out what was decided about the stores of a generation that nothing vouches for yet. */
import type { Operator } from "../../../state-ops/control.ts";
import { nestedPaths } from "../../../state-ops/merge/baseline.ts";
import type { KeyedFile } from "../../../state-ops/merge/keyed-files.ts";
import { asidePath } from "../../../state-ops/merge/report.ts";
import { OperatorPaths } from "../../../state-ops/operator-tree.ts";
import type { Descriptor, Kernel } from "../../kernel/kernel.ts";
import type { OnProgress } from "../beneath.ts";
import type { Place } from "../clone-metadata.ts";
import { WriteBack } from "../write-back.ts";
import { withImagePlace, withStorePlace } from "./places.ts";
import type { PlannedMerge, StorePlan } from "./plan-merge.ts";
import { putAside } from "./put-aside.ts";
import { StoreEditor } from "./store-editor.ts";

export interface ApplyOrder {
  /** Directory of the generation: nothing outside it is written. */
  generation: Descriptor;
  newRoot: Descriptor;
  /** The image's. */
  operators: readonly Operator[];
  onProgress: OnProgress;
}

/** All copies of what loses are made before anything is changed. Throws KernelError or Error; nothing is synced. */
export function applyMerge(kernel: Kernel, order: ApplyOrder, { plans, accounts }: PlannedMerge): void {
  const writeBack = new WriteBack(kernel);
  const paths = new OperatorPaths(order.operators);
  for (const plan of plans) inStore(kernel, order, plan, (places) => keepLosers(kernel, order, plan, places, writeBack));
  for (const plan of plans) {
    inStore(kernel, order, plan, (places) => {
      const nested = nestedPaths(plan.operator, paths);
      const editor = new StoreEditor(kernel, places.store, places.image, nested, order.onProgress, writeBack);
      for (const action of plan.actions) carryOut(editor, action, accounts);
    });
  }
}

interface Places {
  store: Place;
  image: Place;
}

function inStore(
  kernel: Kernel,
  { generation, newRoot }: ApplyOrder,
  { operator }: StorePlan,
  use: (places: Places) => void,
): void {
  withStorePlace(kernel, generation, operator, (store) =>
    withImagePlace(kernel, newRoot, operator, (image) => use({ store, image })),
  );
}

function keepLosers(
  kernel: Kernel,
  order: ApplyOrder,
  { operator, actions }: StorePlan,
  places: Places,
  writeBack: WriteBack,
): void {
  for (const action of actions) {
    if (action.do !== "keep-aside") continue;
    const from = action.of === "state" ? places.store : places.image;
    putAside(
      kernel,
      order.generation,
      { from, path: action.path, to: asidePath(operator.id, action.of, action.path), writeBack },
      order.onProgress,
    );
  }
}

function carryOut(
  editor: StoreEditor,
  action: StorePlan["actions"][number],
  accounts: ReadonlyMap<KeyedFile, string | null>,
): void {
  const { path } = action;
  if (action.do === "delete" || action.do === "drop" || action.do === "drop-whiteout") editor.remove(path);
  else if (action.do === "clear-opaque") editor.clearOpaque(path);
  else if (action.do === "add-whiteout") editor.addWhiteout(path);
  else if (action.do === "take-image") editor.take(path, action.metadata);
  else if (action.do === "conflict") throw new Error(`${path}: ${action.why}; nothing may be applied`);
  else if (action.do === "merge-keyed") {
    const text = accounts.get(action.file) ?? null;
    if (text !== null) editor.write(path, Buffer.from(text, "latin1"), action.metadata);
  }
}
