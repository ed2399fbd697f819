import { test } from "uvu";
import * as assert from "uvu/assert";
import type { MergeRule } from "../../state-ops/control.ts";
import type { AccountNote } from "../../state-ops/merge/account-numbers.ts";
import {
  asidePath,
  formatMergeReport,
  type MergeReport,
  MOST_LISTED,
  mergeReason,
  mergeText,
  storeMerge,
} from "../../state-ops/merge/report.ts";
import { mergeTree } from "../../state-ops/merge/three-way.ts";
import { tree } from "./merge-trees.ts";

const base = tree({ f: "x", g: "x", h: "x", i: "x" });
const state = tree({ f: "x", g: "y", h: "y", i: "x" });
const image = tree({ f: "y", g: "z", h: "x" });
const note: AccountNote = {
  file: "passwd",
  name: "nt\u001bp",
  outcome: "refused",
  why: "its number 998 belongs to app\u001b on this device",
};

function report(rule: MergeRule, notes: AccountNote[] = []): MergeReport {
  const plan = mergeTree(base, state, image, { rule, operatorPath: "/etc" });
  const store = storeMerge({ id: "etc", path: "/etc", rule, baseline: true }, plan, notes);
  return { schema: 1, dryRun: false, from: "000017", to: "000018", imageId: "abc", refused: plan.refused, stores: [store] };
}

test("what is counted and what is named", () => {
  const [store] = report("local", [note]).stores;
  assert.equal([store?.taken, store?.deleted, store?.kept, store?.contestedInAll, store?.accountsInAll], [1, 1, 1, 1, 1]);
  assert.equal(store?.contested, [
    { path: "/etc/g", kept: "state", why: "changed here and in the image: the local one wins", aside: "aside/etc/image/g" },
  ]);
  assert.is(report("image").stores[0]?.contested[0]?.kept, "image");
  assert.is(report("image").stores[0]?.contested[0]?.aside, "aside/etc/state/g");
});

test("text for people, in which no name can disturb the terminal", () => {
  assert.is(
    mergeText(report("local", [note])),
    `state of generation 000017 was merged with image abc into generation 000018
/etc (merge: local): 1 follow the image, 1 deleted, 1 kept as changed here
  /etc/g: changed here and in the image: the local one wins; the other is in aside/etc/image/g
  passwd: nt\\x1bp refused: its number 998 belongs to app\\x1b on this device
`,
  );
  assert.match(mergeText({ ...report("local"), dryRun: true, to: null }), "would be merged with image abc\n");
  assert.match(mergeText(report("fail")), 'cannot be merged with image abc: a rule is "fail"');
});

test("the journal's sentence, where there is something to tell", () => {
  assert.is(
    mergeReason(report("local", [note])),
    "state was merged: 1 path and 1 account differ on both sides, first /etc/g; see /run/slipway/merge.json",
  );
  assert.match(mergeReason(report("fail")) ?? "", /^state cannot be merged/);
  assert.is(mergeReason({ ...report("local"), stores: [] }), null);
});

test("the report is bounded and canonical", () => {
  const many = Object.fromEntries(Array.from({ length: MOST_LISTED + 50 }, (_, index) => [`f${index}`, "x"]));
  const other = Object.fromEntries(Object.keys(many).map((name) => [name, "y"]));
  const plan = mergeTree(new Map(), tree(many), tree(other), { rule: "local", operatorPath: "/etc" });
  const store = storeMerge({ id: "etc", path: "/etc", rule: "local", baseline: false }, plan, []);
  assert.is(store.contested.length, MOST_LISTED);
  const whole: MergeReport = { ...report("local"), stores: [store] };
  assert.match(mergeText(whole), "  and 50 more\n");
  assert.match(mergeText(whole), "/etc (merge: local, no baseline)");
  assert.equal(JSON.parse(formatMergeReport(whole)), whole);
});

test("where losers are kept", () => {
  assert.is(asidePath("etc", "state", "ssh/config"), "aside/etc/state/ssh/config");
  assert.is(asidePath("etc-machine\\x2did", "image", "."), "aside/etc-machine\\x2did/image");
});

test.run();
