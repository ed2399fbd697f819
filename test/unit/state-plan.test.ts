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
import { degrade, planState } from "../../state-ops/state-plan.ts";
import { sampleOperator } from "../samples/operator.ts";

const base = sampleOperator("/x", { origin: "app/x.yaml:3" });
const common = {
  mode: null,
  owner: null,
  group: null,
  generate: null,
  flags: ["nodev", "nosuid"],
  onFailure: "required",
  origin: base.origin,
};
const context = { generation: "gens/000017", slot: "a" };

test("each way of doing it has its step, with stores and targets relative to their roots", () => {
  const operators: Operator[] = [
    { ...base, id: "etc", path: "/etc", via: "overlay" },
    {
      ...base,
      id: "machine-id",
      path: "/etc/machine-id",
      kind: "file",
      state: "identity",
      seed: "none",
      generate: "machine-id",
      mode: 0o444,
    },
    {
      ...base,
      id: "run-app",
      path: "/run/app",
      state: "ephemeral",
      via: "tmpfs",
      seed: "none",
      mode: 0o700,
      owner: 101,
      group: 102,
    },
    { ...base, id: "srv", path: "/srv", state: "shared", reason: "r" },
    { ...base, id: "tmp", path: "/tmp", state: "ephemeral", via: "tmpfs", size: 1 << 20 },
    { ...base, id: "var", path: "/var", onFailure: "degraded" },
  ];
  assert.equal(planState(operators, context), [
    {
      do: "overlay",
      ...common,
      id: "etc",
      path: "etc",
      kind: "directory",
      upper: "gens/000017/ovl/etc/upper",
      work: "work/a/etc",
    },
    {
      do: "bind",
      ...common,
      id: "machine-id",
      path: "etc/machine-id",
      kind: "file",
      mode: 0o444,
      generate: "machine-id",
      store: "shared/machine-id",
      seed: "none",
    },
    {
      do: "tmpfs",
      ...common,
      id: "run-app",
      path: "run/app",
      kind: "directory",
      mode: 0o700,
      owner: 101,
      group: 102,
      size: null,
      seedFromImage: false,
      makeTarget: true,
      degraded: false,
    },
    { do: "bind", ...common, id: "srv", path: "srv", kind: "directory", store: "shared/srv", seed: "image" },
    {
      do: "tmpfs",
      ...common,
      id: "tmp",
      path: "tmp",
      kind: "directory",
      size: 1 << 20,
      seedFromImage: true,
      makeTarget: false,
      degraded: false,
    },
    {
      do: "bind",
      ...common,
      id: "var",
      path: "var",
      kind: "directory",
      onFailure: "degraded",
      store: "gens/000017/tree/var",
      seed: "image",
    },
  ]);
});

test("without a data filesystem what may be degraded is memory, and the rest is refused by name", () => {
  const [step] = planState([{ ...base, onFailure: "degraded" }], { generation: null, slot: "a" });
  assert.ok(step?.do === "tmpfs" && step.degraded && step.seedFromImage);
  const tmp: Operator = { ...base, state: "ephemeral", via: "tmpfs" };
  assert.is(planState([tmp], { generation: null, slot: "a" }).length, 1);
  try {
    planState([base], { generation: null, slot: "a" });
    assert.unreachable();
  } catch (error) {
    assert.instance(error, Refusal);
    assert.match(String(error), /\/x is persistent state \(app\/x\.yaml:3\)/);
  }
});

test("a step that failed is degraded to what a plan without data says", () => {
  for (const via of ["bind", "overlay"] as const) {
    const operator: Operator = { ...base, via, onFailure: "degraded" };
    const [step] = planState([operator], context);
    assert.ok(step);
    assert.equal([degrade(step)], planState([operator], { generation: null, slot: "a" }));
  }
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
  ]) {
    assert.is(parseMeta(wrong), null, wrong);
  }
});

test.run();
