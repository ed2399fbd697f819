import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Operator } from "../../state-ops/control.ts";
import { explainState, explanationLines, type Fate, type StateExplanation } from "../../state-ops/explain-state.ts";
import { OperatorPaths, operatorsBelow, outerOperator, rulingOperator, storePaths } from "../../state-ops/operator-tree.ts";
import { sampleOperator } from "../samples/operator.ts";

const generation = "gens/000017";

function explain(path: string, operators: Operator[], degraded: { path: string; reason: string }[] = []): StateExplanation {
  return explainState(path, { operators, generation, degraded });
}

/** Each state and each way it can be done: where it is kept, and words of what becomes of it. */
const table: {
  what: string;
  operator: Partial<Operator>;
  store: string | null;
  says: RegExp;
  fate: Partial<Record<keyof Fate, RegExp>> | null;
}[] = [
  {
    what: "a persistent bind",
    operator: { state: "persistent", via: "bind" },
    store: "gens/000017/tree/var-x/deep",
    says: /bound there/,
    fate: {
      reboot: /^kept$/,
      update: /^cloned: .*merge: local/,
      rollback: /^reverts/,
      reset: /state reset \/var\/x" .* copy of what the image has/,
      factoryReset: /^gone$/,
      recovery: /safe-mode \(in memory for that boot\) and reinstall-fresh \(begins with a copy of what the image has there\)/,
    },
  },
  {
    what: "a persistent overlay, merged by line",
    operator: { via: "overlay", merge: "keyed" },
    store: "gens/000017/ovl/var-x/upper/deep",
    says: /layer over the image's own content/,
    fate: { update: /account files are merged by name \(merge: keyed\)/, reset: /as the image has it/ },
  },
  {
    what: "a persistent bind without a seed",
    operator: { seed: "none", exclude: ["cache/*", "*.pid"] },
    store: "gens/000017/tree/var-x/deep",
    says: /bound there/,
    fate: {
      update: /^cloned but for cache\/\*, \*\.pid: the new image gets a copy of its own at its first try$/,
      reset: /empty$/,
    },
  },
  {
    what: "a cache",
    operator: { cache: true, seed: "none" },
    store: "gens/000017/tree/var-x/deep",
    says: /bound/,
    fate: { update: /^not cloned .* begins empty/, rollback: /^reverts/ },
  },
  {
    what: "a rule that fails",
    operator: { merge: "fail" },
    store: "gens/000017/tree/var-x/deep",
    says: /bound/,
    fate: { update: /does not boot/ },
  },
  {
    what: "a rule for the image",
    operator: { merge: "image" },
    store: "gens/000017/tree/var-x/deep",
    says: /bound/,
    fate: { update: /image's takes its place/ },
  },
  {
    what: "shared",
    operator: { state: "shared", reason: "the fleet's clock" },
    store: "shared/var-x/deep",
    says: /bound there/,
    fate: {
      update: /same/,
      rollback: /does not revert/,
      reset: /state reset \/var\/x/,
      factoryReset: /^gone$/,
      recovery: /^kept by every rung$/,
    },
  },
  {
    what: "identity that is made",
    operator: { state: "identity", seed: "none", kind: "file", generate: "uuid" },
    store: "shared/var-x/deep",
    says: /bound there/,
    fate: {
      rollback: /does not revert/,
      reset: /^kept, unless --identity.*with a new UUID/,
      factoryReset: /^kept, unless/,
      recovery: /^kept by every rung$/,
    },
  },
  {
    what: "a persistent link",
    operator: { via: "symlink", target: "/var/lib/x" },
    store: null,
    says: /symbolic link to \/var\/lib\/x/,
    fate: { reboot: /kept/, reset: /^a link keeps nothing itself: "slipway state reset \/var\/lib\/x" is for/ },
  },
  {
    what: "an identity link",
    operator: { state: "identity", via: "symlink", target: "/etc/machine-id" },
    store: null,
    says: /symbolic link to \/etc\/machine-id/,
    fate: { reset: /^kept, unless .*"slipway state reset --identity \/etc\/machine-id" is for what it points to/ },
  },
  {
    what: "an ephemeral tmpfs",
    operator: { state: "ephemeral", via: "tmpfs", seed: "none" },
    store: null,
    says: /directory in memory/,
    fate: { reboot: /^gone; it begins empty/, rollback: /^gone/, factoryReset: /^gone/ },
  },
  {
    what: "an ephemeral overlay",
    operator: { state: "ephemeral", via: "overlay" },
    store: null,
    says: /lies in memory, over the image/,
    fate: { reboot: /as the image has it/ },
  },
  {
    what: "an ephemeral file",
    operator: { state: "ephemeral", via: "bind", kind: "file", seed: "literal", literal: "x" },
    store: null,
    says: /file in memory/,
    fate: { reboot: /text of its fragment/ },
  },
  {
    what: "an ephemeral link",
    operator: { state: "ephemeral", via: "symlink", target: "/run/x" },
    store: null,
    says: /symbolic link to \/run\/x/,
    fate: { reboot: /gone/ },
  },
  { what: "a mask", operator: { state: null, via: "mask" }, store: null, says: /masked/, fate: null },
  {
    what: "a read-only hole",
    operator: { state: null, via: "readonly" },
    store: null,
    says: /read-only, inside an operator/,
    fate: null,
  },
];

for (const { what, operator, store, says, fate } of table) {
  test(`what becomes of ${what}`, () => {
    const declared = sampleOperator("/var/x", { origin: "app/state.yaml:7", ...operator });
    const explained = explain("/var/x/deep", [declared]);
    assert.is(explained.rule, declared.state ?? "immutable");
    assert.is(explained.store, store);
    assert.match(explained.summary, says);
    assert.match(explained.summary, /lies in \/var\/x/);
    assert.is(explained.operator?.origin, "app/state.yaml:7");
    assert.is(explained.fate === null, fate === null);
    assert.is(explained.remedy === null, fate !== null);
    for (const [event, words] of Object.entries(fate ?? {})) {
      const sentence = Object.entries(explained.fate ?? {}).find(([name]) => name === event)?.[1];
      assert.match(sentence ?? "", words, event);
    }
    const text = explanationLines(explained).join("\n");
    assert.match(text, /app\/state\.yaml:7/);
    assert.not.match(text, /undefined|null|\[object/);
  });
}

test("nobody rules a path of the image: what to write, and into which file", () => {
  const explained = explain("/opt/app/data", [sampleOperator("/var"), sampleOperator("/opt/app/data/cache")]);
  assert.is(explained.rule, "immutable");
  assert.is(explained.operator, null);
  assert.is(explained.fate, null);
  assert.match(explained.remedy?.file ?? "", /usr\/share\/slipway\/state\.d\/PACKAGE\.yaml/);
  assert.match(explained.remedy?.yaml ?? "", /- path: \/opt\/app\/data\n {4}state: persistent/);
  assert.equal(explained.ruledApart, [{ path: "/opt/app/data/cache", state: "persistent" }]);
  const text = explanationLines(explained).join("\n");
  assert.match(text, /EROFS/);
  assert.match(text, /path: \/opt\/app\/data/);
  assert.match(
    explain("/srv/a b: c", []).remedy?.yaml ?? "",
    /- path: "\/srv\/a b: c"/,
    "a path that YAML would misread is quoted",
  );
});

test("where no operator may be, the remedy is another place", () => {
  const explained = explain("/usr/lib/app", []);
  assert.is(explained.rule, "immutable");
  assert.match(explained.remedy?.say ?? "", /\/usr and everything below it is never writable state.*\/etc or \/var/);
  assert.is(explained.remedy?.yaml, null);
  assert.is(explain("/", []).remedy?.yaml, null);
  for (const path of ["/run/app", "/proc/sys", "/dev", "/sys/class"]) assert.is(explain(path, []).rule, "memory", path);
  assert.is(explain("/runner", []).rule, "immutable", "a name that only begins alike");
});

test("nesting and what is degraded are told", () => {
  const outer = sampleOperator("/var", { state: "ephemeral", via: "tmpfs" });
  const middle = sampleOperator("/var/lib", { state: "persistent" });
  const inner = sampleOperator("/var/lib/id", { state: "identity", seed: "none" });
  const beside = sampleOperator("/var/library", { state: "shared", reason: "x" });
  const operators = [outer, middle, beside, inner];
  const explained = explain("/var/lib", operators, [{ path: "/var/lib", reason: "the store is damaged" }]);
  assert.equal(explained.nestedIn, { path: "/var", state: "ephemeral" });
  assert.equal(explained.ruledApart, [{ path: "/var/lib/id", state: "identity" }]);
  assert.is(explained.degraded, "the store is damaged");
  assert.match(explanationLines(explained)[1] ?? "", /^DEGRADED now/);
  assert.equal(explain("/var/lib/else", operators).ruledApart, [], "only what lies below the path itself");
  assert.is(explain("/var/lib/else", operators, [{ path: "/var", reason: "x" }]).degraded, null, "another one's trouble");
});

test("the nearest operator rules, and a name that only begins alike does not", () => {
  const operators = ["/var", "/var/lib", "/var/lib/app"].map((path) => sampleOperator(path));
  const ruler = (path: string) => rulingOperator(operators, path)?.path ?? null;
  assert.equal(["/var", "/var/libx", "/var/lib/app", "/var/lib/apps", "/etc", "/"].map(ruler), [
    "/var",
    "/var",
    "/var/lib/app",
    "/var/lib",
    null,
    null,
  ]);
  const [top, middle] = operators;
  if (!top || !middle) throw new Error("two operators");
  assert.is(outerOperator(operators, middle)?.path, "/var");
  assert.is(outerOperator(operators, top), null);
  assert.equal(
    operatorsBelow(operators, top).map(({ path }) => path),
    ["/var/lib", "/var/lib/app"],
  );
  assert.equal(operatorsBelow(operators, sampleOperator("/va")), []);
});

test("a store that was renamed is found under either name", () => {
  const renamed = sampleOperator("/etc/keys", { state: "identity", seed: "none", renamedFrom: "ssh-keys" });
  assert.equal(storePaths(renamed, null), ["shared/etc-keys", "shared/ssh-keys"]);
  assert.equal(storePaths({ ...renamed, state: "persistent" }, generation), ["gens/000017/tree/etc-keys"]);
  assert.equal(storePaths(sampleOperator("/x"), null), [], "no generation, no store");
});

test("paths of many operators: what is below one, and how deep one lies", () => {
  const paths = new OperatorPaths(["/var", "/var/lib", "/var/lib/a b", "/var.d", "/variant", "/va"].map((path) => ({ path })));
  assert.equal(paths.below("/var"), ["/var/lib", "/var/lib/a b"]);
  assert.equal(paths.below("/var/lib/a b"), []);
  assert.equal(paths.below("/srv"), []);
  assert.equal(
    ["/var", "/var/lib", "/var/lib/a b", "/var.d"].map((path) => paths.depthOf(path)),
    [0, 1, 2, 0],
  );
});

test("a thousand operators are looked at once for all questions, and not for each", () => {
  let looks = 0;
  const operators = Array.from({ length: 1000 }, (_, index) => ({
    get path() {
      looks++;
      return `/srv/${index}`;
    },
  }));
  const paths = new OperatorPaths([{ path: "/srv" }, ...operators]);
  for (let index = 0; index < 1000; index++) {
    assert.is(paths.depthOf(`/srv/${index}`), 1);
    assert.equal(paths.below(`/srv/${index}`), []);
  }
  assert.is(paths.below("/srv").length, 1000);
  assert.is(looks, 1000);
});

test.run();
