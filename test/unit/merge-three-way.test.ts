import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { MergeRule } from "../../state-ops/control.ts";
import { parentPath } from "../../state-ops/merge/path-text.ts";
import { actionLine, mergeTree } from "../../state-ops/merge/three-way.ts";
import { sameContent, sameEntry, type Tree } from "../../state-ops/merge/tree.ts";
import { anyTriple, applyPlan, entry, shown, tree } from "./merge-trees.ts";

type Words = Record<string, string>;

interface Row {
  name: string;
  base: Words;
  state: Words;
  image: Words;
  /** What each rule does: the actions' first words; `local` stands for keyed too. */
  local: string[];
  byImage?: string[];
  fail?: string[];
}

const conflict = (path = "f") => [`conflict ${path}`];

const rows: Row[] = [
  { name: "nothing changed", base: { f: "x" }, state: { f: "x" }, image: { f: "x" }, local: [] },
  { name: "unmodified follows the image", base: { f: "x" }, state: { f: "x" }, image: { f: "y" }, local: ["take-image f"] },
  { name: "changed locally only", base: { f: "x" }, state: { f: "y" }, image: { f: "x" }, local: ["keep f"] },
  { name: "both the same", base: { f: "x" }, state: { f: "y" }, image: { f: "y" }, local: [] },
  {
    name: "both, different",
    base: { f: "x" },
    state: { f: "y" },
    image: { f: "z" },
    local: ["keep-aside (image) f", "keep f !"],
    byImage: ["keep-aside (state) f", "take-image f !"],
    fail: conflict(),
  },
  { name: "deleted locally only", base: { f: "x" }, state: {}, image: { f: "x" }, local: ["keep f"] },
  {
    name: "deleted locally, changed in the image",
    base: { f: "x" },
    state: {},
    image: { f: "y" },
    local: ["keep f !"],
    byImage: ["take-image f !"],
    fail: conflict(),
  },
  { name: "deleted on both sides", base: { f: "x" }, state: {}, image: {}, local: [] },
  { name: "added locally", base: {}, state: { f: "x", "d/g": "y" }, image: {}, local: [] },
  { name: "added in the image", base: {}, state: {}, image: { "d/g": "y" }, local: ["take-image d", "take-image d/g"] },
  { name: "added on both sides, the same", base: {}, state: { f: "x" }, image: { f: "x" }, local: [] },
  {
    name: "added on both sides, different",
    base: {},
    state: { f: "x" },
    image: { f: "y" },
    local: ["keep-aside (image) f", "keep f !"],
    byImage: ["keep-aside (state) f", "take-image f !"],
    fail: conflict(),
  },
  { name: "removed from the image, unmodified", base: { f: "x" }, state: { f: "x" }, image: {}, local: ["delete f"] },
  { name: "removed from the image, modified", base: { f: "x" }, state: { f: "y" }, image: {}, local: ["keep f !"] },
  {
    name: "a directory removed from the image, one file of it modified",
    base: { "d/f": "x", "d/g": "x" },
    state: { "d/f": "x", "d/g": "y", "d/own": "z" },
    image: {},
    local: ["delete d/f", "keep d", "keep d/g !"],
  },
  {
    name: "a directory removed from the image, all of it unmodified",
    base: { "d/e/f": "x" },
    state: { "d/e/f": "x" },
    image: {},
    local: ["delete d/e/f", "delete d/e", "delete d"],
  },
  {
    name: "a directory deleted locally, unchanged in the image",
    base: { "d/f": "x" },
    state: {},
    image: { "d/f": "x" },
    local: ["keep d"],
  },
  {
    name: "a directory deleted locally, changed in the image",
    base: { "d/f": "x", "d/g": "x" },
    state: {},
    image: { "d/f": "y", "d/g": "x" },
    local: ["keep d !"],
    byImage: ["take-image d !", "take-image d/f", "take-image d/g"],
    fail: conflict("d"),
  },
  { name: "file to link in the image", base: { f: "x" }, state: { f: "x" }, image: { f: "link x" }, local: ["take-image f"] },
  { name: "file to link here", base: { f: "x" }, state: { f: "link x" }, image: { f: "x" }, local: ["keep f"] },
  {
    name: "file to link here, changed in the image",
    base: { f: "x" },
    state: { f: "link x" },
    image: { f: "y" },
    local: ["keep-aside (image) f", "keep f !"],
    byImage: ["keep-aside (state) f", "take-image f !"],
    fail: conflict(),
  },
  {
    name: "file to directory in the image, unmodified",
    base: { f: "x" },
    state: { f: "x" },
    image: { "f/g": "y" },
    local: ["delete f", "take-image f", "take-image f/g"],
  },
  {
    name: "file to directory in the image, modified",
    base: { f: "x" },
    state: { f: "y" },
    image: { "f/g": "y" },
    local: ["keep-aside (image) f", "keep f !"],
    byImage: ["keep-aside (state) f", "delete f", "take-image f !", "take-image f/g"],
    fail: conflict(),
  },
  { name: "file to directory here", base: { f: "x" }, state: { "f/g": "y" }, image: { f: "x" }, local: ["keep f"] },
  {
    name: "directory to file in the image, unmodified",
    base: { "f/g": "x" },
    state: { "f/g": "x" },
    image: { f: "y" },
    local: ["delete f/g", "delete f", "take-image f"],
  },
  {
    name: "directory to file in the image, changed within",
    base: { "f/g": "x", "f/h": "x" },
    state: { "f/g": "y", "f/h": "x" },
    image: { f: "y" },
    local: ["keep-aside (image) f", "delete f/h", "keep f !", "keep f/g !"],
    byImage: ["keep-aside (state) f", "delete f/h", "delete f/g", "delete f", "take-image f !"],
    fail: conflict(),
  },
  { name: "directory to file here", base: { "f/g": "x" }, state: { f: "y" }, image: { "f/g": "x" }, local: ["keep f"] },
  { name: "mode changed here", base: { f: "x" }, state: { f: "x+" }, image: { f: "x" }, local: ["keep f"] },
  { name: "mode changed in the image", base: { f: "x" }, state: { f: "x" }, image: { f: "x+" }, local: ["take-image f"] },
  {
    name: "mode changed here, content in the image",
    base: { f: "x" },
    state: { f: "x+" },
    image: { f: "y" },
    local: ["take-image f (content)"],
  },
  {
    name: "mode of a directory changed in the image",
    base: { d: "dir" },
    state: { d: "dir" },
    image: { d: "dir+" },
    local: ["take-image d"],
  },
  { name: "mode of a directory changed here", base: { d: "dir" }, state: { d: "dir+" }, image: { d: "dir" }, local: ["keep d"] },
  {
    name: "a directory added on both sides with other modes",
    base: {},
    state: { "d/f": "x", d: "dir+" },
    image: { "d/g": "x" },
    local: ["take-image d/g", "keep d !"],
    byImage: ["take-image d !", "take-image d/g"],
    fail: conflict("d"),
  },
];

function merge(base: Tree, state: Tree, image: Tree, rule: MergeRule) {
  return mergeTree(base, state, image, { rule, operatorPath: "/srv" });
}

function words(base: Tree, state: Tree, image: Tree, rule: MergeRule): string[] {
  return merge(base, state, image, rule).actions.map((action) => {
    const contested = "contested" in action && action.contested ? " !" : "";
    const partly = action.do === "take-image" && action.metadata === "state" ? " (content)" : "";
    return `${actionLine(action).split(":")[0]}${partly}${contested}`;
  });
}

for (const row of rows) {
  test(row.name, () => {
    const [base, state, image] = [tree(row.base), tree(row.state), tree(row.image)];
    assert.equal(words(base, state, image, "local"), row.local);
    assert.equal(words(base, state, image, "keyed"), row.local);
    assert.equal(words(base, state, image, "image"), row.byImage ?? row.local);
    const refused = merge(base, state, image, "fail");
    assert.is(refused.refused, row.fail !== undefined);
    const failed = words(base, state, image, "fail");
    assert.equal(row.fail === undefined ? failed : failed.filter((line) => line.startsWith("conflict")), row.fail ?? row.local);
  });
}

test("mode and owner changed on both sides: the rule decides, the content follows the image all the same", () => {
  const [base, state, image] = [tree({ f: "x" }), tree({ f: "x+" }), tree({ f: "y" })];
  image.set("f", { ...entry("y"), owner: 7 });
  assert.equal(words(base, state, image, "local"), ["take-image f (content) !"]);
  assert.equal(words(base, state, image, "image"), ["take-image f !"]);
  assert.equal(words(base, state, image, "fail"), conflict());
});

test("a file that was not read is like no other", () => {
  const state = tree({ f: "x" });
  state.set("f", { ...entry("x"), size: 3, content: null });
  assert.equal(words(tree({ f: "x" }), state, tree({ f: "x" }), "local"), ["keep f"]);
  assert.equal(words(tree({ f: "x" }), state, tree({}), "local"), ["keep f !"]);
});

test("a store that is one file", () => {
  const one = (word: string) => new Map([[".", entry(word)]]);
  assert.equal(words(one("x"), one("x"), one("y"), "local"), ["take-image ."]);
  assert.equal(words(one("x"), one("y"), one("x"), "local"), ["keep ."]);
});

test("trees without an entry for the root are merged below it", () => {
  const bare = (words: Words) => new Map([...tree(words)].filter(([path]) => path !== "."));
  assert.equal(words(bare({ f: "x" }), bare({ f: "x" }), bare({ f: "y" }), "local"), ["take-image f"]);
});

test("accounts are merged by line under keyed only, and the family as a whole", () => {
  const base = tree({ passwd: "x", group: "x", shadow: "x", other: "x" });
  const state = tree({ passwd: "y", group: "x", shadow: "x", other: "y" });
  const image = tree({ passwd: "x", group: "y", shadow: "x", other: "z" });
  const policy = { rule: "keyed" as const, operatorPath: "/etc" };
  const plan = mergeTree(base, state, image, policy);
  assert.equal(
    plan.actions.map((action) => `${action.do} ${action.path}`),
    ["keep-aside other", "merge-keyed group", "merge-keyed passwd", "keep other"],
  );
  assert.is(plan.outcomes.get("passwd"), "keyed");
  const local = mergeTree(base, state, image, { ...policy, rule: "local" });
  assert.not.ok(local.actions.some((action) => action.do === "merge-keyed"));
  const untouched = mergeTree(base, base, image, policy);
  assert.not.ok(untouched.actions.some((action) => action.do === "merge-keyed"));
});

const rules: MergeRule[] = ["local", "image", "keyed"];

test("any plan can be carried out, leaves a whole tree, and says beforehand what is where", () => {
  fc.assert(
    fc.property(anyTriple(), fc.constantFrom(...rules), ({ base, state, image }, rule) => {
      const plan = merge(base, state, image, rule);
      const { tree: after } = applyPlan(state, image, plan.actions);
      assert.equal([...after.keys()].sort(), [...plan.outcomes.keys()].sort());
      for (const path of after.keys()) {
        const parent = parentPath(path);
        assert.ok(parent === null || after.get(parent)?.type === "directory", path);
        const outcome = plan.outcomes.get(path);
        if (outcome === "state") assert.ok(sameEntry(after.get(path) ?? null, state.get(path) ?? null), path);
        if (outcome === "image") assert.ok(sameEntry(after.get(path) ?? null, image.get(path) ?? null), path);
      }
    }),
    { numRuns: 2000 },
  );
});

test("an image that equals the baseline changes nothing", () => {
  fc.assert(
    fc.property(anyTriple(), fc.constantFrom(...rules, "fail" as const), ({ base, state }, rule) => {
      const plan = merge(base, state, base, rule);
      assert.not.ok(plan.refused);
      assert.ok(plan.actions.every((action) => action.do === "keep"));
      assert.equal(shown(applyPlan(state, base, plan.actions).tree), shown(state));
    }),
    { numRuns: 500 },
  );
});

test("a state that equals the baseline becomes the image", () => {
  fc.assert(
    fc.property(anyTriple(), fc.constantFrom(...rules, "fail" as const), ({ base, image }, rule) => {
      const plan = merge(base, base, image, rule);
      assert.not.ok(plan.refused);
      assert.equal(shown(applyPlan(base, image, plan.actions).tree), shown(image));
    }),
    { numRuns: 500 },
  );
});

test("under local nothing that was changed here is lost; under image it is there or aside", () => {
  fc.assert(
    fc.property(anyTriple(), fc.constantFrom(...rules), ({ base, state, image }, rule) => {
      const { tree: after, aside } = applyPlan(state, image, merge(base, state, image, rule).actions);
      for (const [path, found] of state) {
        const was = base.get(path) ?? null;
        if (sameEntry(found, was)) continue;
        const now = after.get(path);
        const onlyMetadata = was !== null && sameContent(was, found);
        const content = [now, aside.get(`state ${path}`)].some((other) => other !== undefined && sameContent(other, found));
        const metadata = now?.mode === found.mode || rule === "image";
        assert.ok(onlyMetadata ? metadata : content, `${path} is lost`);
      }
      for (const [path, was] of base) {
        if (!state.has(path) && sameEntry(image.get(path) ?? null, was) && rule !== "image") assert.not.ok(after.has(path), path);
      }
    }),
    { numRuns: 2000 },
  );
});

test("what is merged once is merged: again with the image as its baseline, nothing follows", () => {
  fc.assert(
    fc.property(anyTriple(), fc.constantFrom(...rules), ({ base, state, image }, rule) => {
      const { tree: after } = applyPlan(state, image, merge(base, state, image, rule).actions);
      assert.ok(merge(image, after, image, rule).actions.every((action) => action.do === "keep"));
    }),
    { numRuns: 500 },
  );
});

test.run();
