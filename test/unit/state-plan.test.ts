import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Operator } from "../../state-ops/control.ts";
import {
  formatComplete,
  formatMeta,
  type GenerationMeta,
  generationName,
  isTemporaryGeneration,
  parseGenerationName,
  parseMeta,
  parsePointerTarget,
  pointerTarget,
  seedTemporary,
  slotPointer,
  temporaryGeneration,
  vouchesFor,
} from "../../state-ops/layout.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import {
  degrade,
  isWritable,
  needsMount,
  needsOverlay,
  planState,
  type StateContext,
  type StateStep,
} from "../../state-ops/state-plan.ts";
import { sampleOperator } from "../samples/operator.ts";

const base = sampleOperator("/x", { origin: "app/x.yaml:3" });
const context = { generation: "gens/000017" };

/** What every step of an operator like `base` says. */
const common = {
  path: "x",
  onRun: false,
  id: "x",
  kind: "directory",
  mode: null,
  owner: null,
  group: null,
  context: null,
  flags: ["nodev", "nosuid"],
  onFailure: "required",
  origin: base.origin,
};
const content = { seed: "image", literal: null, generate: null };
const inMemory = { do: "tmpfs", ...common, ...content, size: null, inodes: null, readOnly: false, degraded: false };
const onRun = { ...common, path: "run/x", onRun: true };
const inFile = { ...common, kind: "file" };

/** Each way of doing it: what an operator changes of `base`, and the whole step. */
const plans: Record<string, [Partial<Operator>, object]> = {
  "a persistent bind": [{}, { do: "bind", ...common, ...content, store: "gens/000017/tree/x", formerStore: null }],
  "a persistent bind that was renamed, which cloning sees to": [
    { renamedFrom: "y" },
    { do: "bind", ...common, ...content, store: "gens/000017/tree/x", formerStore: null },
  ],
  "a shared bind": [
    { state: "shared", reason: "r" },
    { do: "bind", ...common, ...content, store: "shared/x", formerStore: null },
  ],
  "an identity bind that was renamed": [
    { state: "identity", renamedFrom: "y", seed: "none", kind: "file", generate: "uuid", mode: 0o400 },
    {
      ...{ do: "bind", ...inFile, mode: 0o400, store: "shared/x", formerStore: "shared/y" },
      ...{ seed: "none", literal: null, generate: "uuid" },
    },
  ],
  "a literal, labelled": [
    { kind: "file", seed: "literal", literal: "text", context: "a:b:c:d" },
    {
      ...{ do: "bind", ...inFile, context: "a:b:c:d", store: "gens/000017/tree/x", formerStore: null },
      ...{ seed: "literal", literal: "text", generate: null },
    },
  ],
  "an overlay": [
    { via: "overlay", onFailure: "degraded", owner: 1, group: 2 },
    {
      ...{ do: "overlay", ...common, onFailure: "degraded", owner: 1, group: 2 },
      ...{ upper: "gens/000017/ovl/x/upper", work: "gens/000017/work/x" },
    },
  ],
  "an overlay in memory": [
    { via: "overlay", state: "ephemeral", size: 4096, inodes: 7 },
    { do: "memory-overlay", ...common, size: 4096, inodes: 7 },
  ],
  "a tmpfs": [
    { via: "tmpfs", state: "ephemeral", size: 4096, inodes: 7 },
    { ...inMemory, size: 4096, inodes: 7 },
  ],
  "a tmpfs below /run": [
    { path: "/run/x", via: "tmpfs", state: "ephemeral" },
    { ...inMemory, ...onRun },
  ],
  "a file in memory": [
    { state: "ephemeral", kind: "file", seed: "literal", literal: "text", flags: [] },
    { ...inMemory, ...inFile, seed: "literal", literal: "text", flags: [] },
  ],
  "a link": [
    { via: "symlink", kind: "file", state: "ephemeral", target: "/run/x" },
    { do: "symlink", ...inFile, target: "/run/x" },
  ],
  "a link below /run": [
    { path: "/run/x", via: "symlink", kind: "file", state: "ephemeral", target: "/srv" },
    { do: "symlink", ...onRun, kind: "file", target: "/srv" },
  ],
  "a mask": [
    { via: "mask", state: null },
    { do: "mask", ...common },
  ],
  "a hole": [
    { via: "readonly", state: null, kind: "file" },
    { do: "readonly", ...inFile },
  ],
};

function planOne(words: Partial<Operator>, given: StateContext = context): StateStep {
  const [step] = planState([{ ...base, ...words }], given);
  assert.ok(step);
  return step;
}

for (const [what, [words, step]] of Object.entries(plans)) {
  test(`${what} has its step, with stores and targets relative to their roots`, () => assert.equal(planOne(words), step));
}

test("the steps have the operators' order", () => {
  const paths = ["/b", "/a", "/b/c"];
  assert.equal(
    planState(
      paths.map((path) => ({ ...base, path })),
      context,
    ).map(({ path }) => `/${path}`),
    paths,
  );
});

const withoutData: StateContext = { generation: null };

/** What needs the data filesystem. */
const kept: Record<string, Partial<Operator>> = {
  "a bind": {},
  "a shared bind": { state: "shared", reason: "r" },
  "an identity file": { state: "identity", kind: "file", generate: "machine-id", seed: "none" },
  "a literal": { kind: "file", seed: "literal", literal: "text", mode: 0o600, context: "a:b:c:d" },
  "an overlay": { via: "overlay" },
};

for (const [what, words] of Object.entries(kept)) {
  test(`${what} without a data filesystem: refused by name where it is required, else memory, as when its step fails`, () => {
    assert.throws(
      () => planOne(words, withoutData),
      (error: unknown) =>
        error instanceof Refusal && /^\/x is (persistent|shared|identity) state \(app\/x\.yaml:3\)/.test(error.message),
    );
    const instead = planOne({ ...words, onFailure: "degraded" }, withoutData);
    const { kind = "directory", seed = "image", literal = null, generate = null, mode = null, context: label = null } = words;
    const expected = { ...inMemory, kind, seed, literal, generate, mode, context: label, onFailure: "degraded", degraded: true };
    assert.equal(instead, expected);
    assert.equal(degrade(planOne({ ...words, onFailure: "degraded" })), instead);
  });
}

test("what keeps nothing is laid without a data filesystem as with one", () => {
  for (const [what, [words]] of Object.entries(plans)) {
    const { via = "bind", state = "persistent" } = words;
    const keeps = (via === "bind" || via === "overlay") && state !== "ephemeral";
    if (!keeps) assert.equal(planOne(words, withoutData), planOne(words), what);
  }
});

test("what stands in for a step that keeps nothing", () => {
  const degraded = { ...inMemory, degraded: true };
  const limits = { size: 4096, inodes: 7 };
  assert.equal(degrade(planOne({ via: "tmpfs", state: "ephemeral", seed: "none", ...limits })), { ...degraded, seed: "none" });
  assert.equal(degrade(planOne({ via: "overlay", state: "ephemeral", ...limits })), degraded);
  const hole = planOne({ via: "readonly", state: null });
  assert.equal(degrade(hole), { ...degraded, readOnly: true });
  const again = degrade(degrade(hole) ?? hole);
  assert.equal(again, { ...degraded, readOnly: true }, "what stood in for a hole may not be written either");
  assert.is(degrade(planOne({ via: "mask", state: null })), null);
  assert.is(degrade(planOne({ via: "symlink", state: "ephemeral", kind: "file", target: "/run/x" })), null);
});

test("which steps may be written, need overlayfs, and mount something below /run", () => {
  const byWhat = Object.entries(plans).map(([what, [words]]) => ({ what, step: planOne(words) }));
  const those = (test: (step: StateStep) => boolean) => byWhat.filter(({ step }) => test(step)).map(({ what }) => what);
  assert.equal(
    those((step) => !isWritable(step)),
    ["a link", "a link below /run", "a mask", "a hole"],
  );
  assert.equal(
    those((step) => needsOverlay([step])),
    ["an overlay", "an overlay in memory"],
  );
  assert.not(needsOverlay([]));
  const below = (words: Partial<Operator>): boolean => {
    const step = planOne({ path: "/run/x", via: "tmpfs", state: "ephemeral", seed: "none", ...words });
    return step.do === "tmpfs" && needsMount(step);
  };
  assert.not(below({}));
  assert.not(below({ mode: 0o700, owner: 1, context: "a:b:c:d", seed: "none" }));
  for (const words of [
    { size: 4096 },
    { inodes: 7 },
    { flags: [] },
    { flags: ["nodev", "noexec", "nosuid"] },
    { kind: "file" },
    { path: "/srv" },
  ] satisfies Partial<Operator>[]) {
    assert.ok(below(words), JSON.stringify(words));
  }
  const readOnly = degrade(planOne({ via: "readonly", state: null }));
  assert.ok(readOnly !== null && !isWritable(readOnly) && needsMount(readOnly));
});

test("names in the layout", () => {
  assert.is(generationName(17), "000017");
  assert.is(generationName(1_234_567), "1234567");
  assert.is(slotPointer("a"), "slots/a");
  assert.is(pointerTarget(17), "../gens/000017");
  assert.is(temporaryGeneration(19, "7f"), "gens/.tmp-000019-7f");
  assert.ok(isTemporaryGeneration(".tmp-000019-7f"));
  assert.is(seedTemporary("gens/000017/tree/var"), "gens/000017/tree/.seed-var");
  assert.throws(() => generationName(0), /whole number from 1/);
});

test("only names and pointers that slipway writes are read", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 999_999_999_999_999 }), (number) => {
      assert.is(parseGenerationName(generationName(number)), number);
      assert.is(parsePointerTarget(pointerTarget(number)), number);
    }),
  );
  const other = ["", "17", "000000", "0000017", "-00017", "000017/", "000017\n", "00001７", "9999999999999999999"];
  for (const name of other) {
    assert.is(parseGenerationName(name), null, name);
    assert.is(parsePointerTarget(`../gens/${name}`), null, name);
  }
  for (const target of ["/gens/000017", "gens/000017", "../gens/../000017", "../../gens/000017", "../gens/.tmp-000017-x"]) {
    assert.is(parsePointerTarget(target), null, target);
  }
});

const meta: GenerationMeta = {
  schema: 1,
  number: 17,
  parent: 16,
  imageId: "ab",
  slot: "a",
  controlDigest: "sha256:cd",
  attempt: 40,
};

test("meta.json and COMPLETE vouch for each other, and any change shows", () => {
  const text = formatMeta(meta);
  assert.equal(parseMeta(text), meta);
  const files = { "meta.json": text, "baseline.json": "{}\n" };
  const complete = formatComplete(files);
  for (const [name, content] of Object.entries(files)) assert.ok(vouchesFor(complete, name, content));
  assert.not(vouchesFor(complete, "other.json", text));
  assert.not(vouchesFor(complete, "meta.json", formatMeta({ ...meta, imageId: "ac" })));
  assert.not(vouchesFor(formatComplete({}), "meta.json", text));
  for (let cut = 0; cut < complete.length; cut++) {
    assert.not(vouchesFor(complete.slice(0, cut), "meta.json", text), `cut at ${cut}`);
  }
  for (const wrong of [
    "",
    "{}",
    "null",
    "[]",
    text.trim(),
    text.replace('"number":17', '"number":0'),
    text.replace("}", ',"x":1}'),
    text.replace('"ab"', '"\\ud800"'),
    text.replace('"attempt":40', '"attempt":1e999'),
  ]) {
    assert.is(parseMeta(wrong), null, wrong);
  }
});

test("a COMPLETE that no JSON is written as vouches for nothing", () => {
  const deep = `${"[".repeat(32_000)}${"]".repeat(32_000)}`;
  for (const more of [`"x":${deep}`, '"x":"\\ud800"', '"\\ud800":1', '"x":1e999']) {
    assert.not(vouchesFor(`{"digest":"x","files":{},"schema":1,${more}}\n`, "meta.json", ""), more.slice(0, 20));
  }
});

test.run();
