import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { MergeRule } from "../../state-ops/control.ts";
import { overlayView, type UpperEntry, type UpperTree } from "../../state-ops/merge/overlay-view.ts";
import { parentPath } from "../../state-ops/merge/path-text.ts";
import { type RebaseAction, rebaseLine, rebaseUpper } from "../../state-ops/merge/rebase.ts";
import { sameEntry, type Tree } from "../../state-ops/merge/tree.ts";
import { anyTriple, applyPlan, shown, tree } from "./merge-trees.ts";

type Words = Record<string, string>;

/** As `tree`; "whiteout", and "dir opaque". */
function upperTree(words: Words): Map<string, UpperEntry> {
  const made = new Map<string, UpperEntry>();
  const plain = Object.entries(words).map(([path, word]): [string, string] => [
    path,
    word === "whiteout" ? "w" : word.replace(" opaque", ""),
  ]);
  for (const [path, found] of tree(Object.fromEntries(plain))) {
    const word = words[path] ?? "";
    made.set(path, word === "whiteout" ? { whiteout: true } : { whiteout: false, entry: found, opaque: word.endsWith("opaque") });
  }
  return made;
}

interface Row {
  name: string;
  old: Words | null;
  now: Words;
  upper: Words;
  local: string[];
  byImage?: string[];
}

const rows: Row[] = [
  { name: "equal to the new lower", old: { f: "x" }, now: { f: "y" }, upper: { f: "y" }, local: ["drop f"] },
  { name: "a copy of the old lower", old: { f: "x" }, now: { f: "y" }, upper: { f: "x" }, local: ["drop f"] },
  { name: "a copy of what the image dropped", old: { f: "x" }, now: {}, upper: { f: "x" }, local: ["drop f"] },
  { name: "changed here only", old: { f: "x" }, now: { f: "x" }, upper: { f: "y" }, local: ["keep f"] },
  {
    name: "changed here and in the image",
    old: { f: "x" },
    now: { f: "z" },
    upper: { f: "y" },
    local: ["keep-aside (image) f", "report f"],
    byImage: ["keep-aside (state) f", "drop f"],
  },
  { name: "changed here, removed from the image", old: { f: "x" }, now: {}, upper: { f: "y" }, local: ["report f"] },
  {
    name: "a mere chmod, and the image's content changed",
    old: { f: "x" },
    now: { f: "y" },
    upper: { f: "x+" },
    local: ["take-image f"],
  },
  { name: "a mere chmod that the image made too", old: { f: "x" }, now: { f: "x+" }, upper: { f: "x+" }, local: ["drop f"] },
  { name: "a mere chmod of a directory, undone", old: { d: "dir" }, now: { d: "dir+" }, upper: { d: "dir+" }, local: ["drop d"] },
  {
    name: "a copied directory with nothing in it",
    old: { "d/f": "x" },
    now: { "d/f": "y" },
    upper: { d: "dir" },
    local: ["drop d"],
  },
  {
    name: "the mode of a copied directory follows the image",
    old: { d: "dir" },
    now: { d: "dir+" },
    upper: { "d/own": "x" },
    local: ["take-image d"],
  },
  { name: "a whiteout that holds", old: { f: "x" }, now: { f: "x" }, upper: { f: "whiteout" }, local: ["keep f"] },
  {
    name: "a whiteout of what the image dropped",
    old: { f: "x" },
    now: {},
    upper: { f: "whiteout" },
    local: ["drop-whiteout f"],
  },
  {
    name: "a whiteout of nothing, and the image has it now",
    old: {},
    now: { f: "x" },
    upper: { f: "whiteout" },
    local: ["drop-whiteout f"],
  },
  {
    name: "a whiteout of what the image changed",
    old: { f: "x" },
    now: { f: "y" },
    upper: { f: "whiteout" },
    local: ["report f"],
    byImage: ["drop-whiteout f"],
  },
  {
    name: "opaque on a directory that the image has now",
    old: {},
    now: { "d/f": "x" },
    upper: { d: "dir opaque", "d/own": "y" },
    local: ["clear-opaque d"],
  },
  {
    name: "opaque on a directory that was emptied here",
    old: { "d/f": "x", "d/g": "x" },
    now: { "d/f": "x", "d/g": "x" },
    upper: { d: "dir opaque", "d/own": "y" },
    local: ["keep d/f", "keep d/g"],
  },
  {
    name: "opaque on a directory that was emptied here and got a new file in the image",
    old: { "d/f": "x" },
    now: { "d/f": "x", "d/g": "x" },
    upper: { d: "dir opaque", "d/own": "y" },
    local: ["clear-opaque d", "add-whiteout d/f", "keep d/f"],
  },
  {
    name: "a file here, a directory in the image",
    old: { f: "x" },
    now: { "f/g": "x" },
    upper: { f: "y" },
    local: ["keep-aside (image) f", "report f"],
    byImage: ["keep-aside (state) f", "drop f"],
  },
  {
    name: "a directory here, a file in the image",
    old: { "f/g": "x", "f/h": "x" },
    now: { f: "y" },
    upper: { "f/g": "z" },
    local: ["keep-aside (image) f", "report f", "report f/g"],
    byImage: ["keep-aside (state) f", "drop f/g", "drop f"],
  },
  {
    name: "a directory that the image dropped, with a file of one's own",
    old: { "d/f": "x", "d/g": "x" },
    now: {},
    upper: { "d/f": "whiteout", "d/g": "x", "d/own": "y" },
    local: ["drop d/g", "drop-whiteout d/f", "keep d"],
  },
  {
    name: "no baseline: equal copies go, the rest stays",
    old: null,
    now: { f: "x", g: "x" },
    upper: { f: "x", g: "y", h: "whiteout" },
    local: ["drop-whiteout h", "drop f", "keep g"],
  },
];

function rebase(old: Tree | null, now: Tree, upper: UpperTree, rule: MergeRule): RebaseAction[] {
  return rebaseUpper(old, now, upper, { rule, operatorPath: "/srv" }).actions;
}

const heads = (actions: RebaseAction[]) => actions.map((action) => rebaseLine(action).split(":")[0]);

for (const row of rows) {
  test(row.name, () => {
    const [old, now, upper] = [row.old && tree(row.old), tree(row.now), upperTree(row.upper)];
    assert.equal(heads(rebase(old, now, upper, "local")), row.local);
    assert.equal(heads(rebase(old, now, upper, "image")), row.byImage ?? row.local);
  });
}

test("a rule that fails changes nothing", () => {
  const plan = rebaseUpper(tree({ f: "x", g: "x" }), tree({ f: "y", g: "y" }), upperTree({ f: "z", g: "x" }), {
    rule: "fail",
    operatorPath: "/srv",
  });
  assert.ok(plan.refused);
  assert.equal(heads(plan.actions), ["conflict f"]);
});

/** Carries a plan out on a model of the upper layer; throws where a real one would fail. */
function applyRebase(upper: UpperTree, now: Tree, actions: readonly RebaseAction[]): Map<string, UpperEntry> {
  const made = new Map(upper);
  for (const action of actions) {
    const { path } = action;
    const found = made.get(path);
    const file = now.get(path);
    if (action.do === "drop" || action.do === "drop-whiteout") {
      if (found === undefined || found.whiteout !== (action.do === "drop-whiteout")) throw new Error(`no ${action.do}: ${path}`);
      if ([...made.keys()].some((other) => other.startsWith(`${path}/`))) throw new Error(`ENOTEMPTY: ${path}`);
      made.delete(path);
    } else if (action.do === "clear-opaque") {
      if (found === undefined || found.whiteout || !found.opaque) throw new Error(`not opaque: ${path}`);
      made.set(path, { ...found, opaque: false });
    } else if (action.do === "add-whiteout") {
      const above = made.get(parentPath(path) ?? ".");
      if (found !== undefined || above === undefined || above.whiteout || above.entry.type !== "directory")
        throw new Error(`no place: ${path}`);
      made.set(path, { whiteout: true });
    } else if (action.do === "take-image") {
      if (found === undefined || found.whiteout || file === undefined || found.entry.type !== file.type)
        throw new Error(`no ${path}`);
      const { mode, owner, group, attributes } = action.metadata === "state" ? found.entry : file;
      made.set(path, { ...found, entry: { ...file, mode, owner, group, attributes } });
    }
  }
  return made;
}

/** An upper layer through which `lower` looks like `view`; opaque directories or whiteouts as `opaque` says. */
function upperFor(
  lower: Tree,
  view: Tree,
  opaque: (path: string) => boolean,
  copy: (path: string) => boolean,
): Map<string, UpperEntry> {
  const made = new Map<string, UpperEntry>();
  const copyUp = (path: string): void => {
    const above = parentPath(path);
    if (above !== null) copyUp(above);
    const found = view.get(path);
    if (found !== undefined && !made.has(path)) made.set(path, { whiteout: false, entry: found, opaque: false });
  };
  for (const [path, found] of view) if (copy(path) || !sameEntry(found, lower.get(path) ?? null)) copyUp(path);
  for (const [path, found] of [...made]) {
    if (found.whiteout || found.entry.type !== "directory" || !opaque(path)) continue;
    if (lower.get(path)?.type === "directory") for (const below of view.keys()) if (below.startsWith(`${path}/`)) copyUp(below);
    made.set(path, { ...found, opaque: true });
  }
  for (const path of [...lower.keys()].sort()) {
    const above = parentPath(path);
    if (view.has(path) || above === null || !overlayView(lower, made).has(path)) continue;
    if (view.get(above)?.type !== "directory") continue;
    copyUp(above);
    made.set(path, { whiteout: true });
  }
  return made;
}

const chance = () => fc.func(fc.integer({ min: 0, max: 3 }).map((number) => number === 0));

test("a rebased upper shows the same as the merge of a bind, and has nothing that the image has", () => {
  fc.assert(
    fc.property(
      anyTriple(),
      chance(),
      chance(),
      fc.constantFrom<MergeRule>("local", "image"),
      ({ base, state, image }, opaque, copy, rule) => {
        const upper = upperFor(base, state, (path) => path !== "." && opaque(path), copy);
        assert.equal(shown(overlayView(base, upper)), shown(state));
        const plan = rebaseUpper(base, image, upper, { rule, operatorPath: "/srv" });
        const after = applyRebase(upper, image, plan.actions);
        const wanted = applyPlan(state, image, plan.merge.actions).tree;
        const view = overlayView(image, after);
        assert.equal(shown(view), shown(wanted), JSON.stringify(plan.actions.map(rebaseLine), null, 1));
        for (const [path, found] of after) {
          const opaqueAbove = [...after].some(([above, it]) => path.startsWith(`${above}/`) && !it.whiteout && it.opaque);
          if (path === "." || opaqueAbove) continue;
          const below = [...after.keys()].some((other) => other.startsWith(`${path}/`));
          if (found.whiteout) assert.ok(image.has(path), `${path} hides nothing`);
          else if (!found.opaque && !below) assert.not.ok(sameEntry(found.entry, image.get(path) ?? null), `${path} is a copy`);
        }
      },
    ),
    { numRuns: 3000 },
  );
});

test("rebased once is rebased: nothing but what stays is left to say", () => {
  fc.assert(
    fc.property(anyTriple(), chance(), ({ base, state, image }, copy) => {
      const upper = upperFor(base, state, () => false, copy);
      const after = applyRebase(upper, image, rebase(base, image, upper, "local"));
      assert.ok(rebase(image, image, after, "local").every((action) => action.do === "keep"));
      const unknown = rebase(null, image, upper, "local");
      const view = overlayView(image, applyRebase(upper, image, unknown));
      for (const [path, found] of upper) {
        if (!found.whiteout && found.entry.type !== "directory") assert.ok(sameEntry(view.get(path) ?? null, found.entry), path);
      }
    }),
    { numRuns: 500 },
  );
});

test.run();
