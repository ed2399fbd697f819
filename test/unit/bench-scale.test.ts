import { test } from "uvu";
import * as assert from "uvu/assert";
import { parseOptions, Usage } from "../../scripts/bench/options.ts";
import { Collected, growthOf, type Measure, type Point } from "../../scripts/bench/scale/growth.ts";
import { growthJson, growthTable } from "../../scripts/bench/scale/growth-table.ts";
import { scaleParts } from "../../scripts/bench/scale/parts.ts";
import { memoryKiB, probe } from "../../scripts/bench/scale/probe.ts";

/** Costs of the sizes 10, 100 and 1000 by `cost`, one run each unless `runs` says what each made of them. */
function points(measure: Measure, cost: (size: number) => number, runs: readonly number[] = [1]): Point[] {
  return [10, 100, 1000].map((size) => ({ size, costs: { [measure]: runs.map((factor) => factor * cost(size)) } }));
}

const worse = (measure: Measure, cost: (size: number) => number, runs?: readonly number[]): number[] =>
  growthOf({ points: points(measure, cost, runs) }).flatMap((row) => (row.worse.includes(measure) ? [row.size] : []));

test("what grows with its input, or less, does not grow worse", () => {
  for (const measure of ["calls", "cpuMs", "instructions", "peakKiB", "bytes"] as const) {
    const scale = { calls: 1, cpuMs: 1, instructions: 1e6, peakKiB: 1e3, bytes: 1e4 }[measure];
    assert.equal(
      worse(measure, (size) => scale * size),
      [],
      `${measure} for each`,
    );
    assert.equal(
      worse(measure, (size) => scale * (size + 5000)),
      [],
      `${measure} with what any input costs`,
    );
    assert.equal(
      worse(measure, (size) => scale * Math.sqrt(size)),
      [],
      `${measure} by its root`,
    );
    assert.equal(
      worse(measure, () => scale),
      [],
      `${measure} whatever the input`,
    );
  }
});

test("a square is found, although any input costs much", () => {
  assert.equal(
    worse("calls", (size) => size * size),
    [100, 1000],
  );
  assert.equal(
    worse("calls", (size) => 10_000 + size + (size * size) / 100),
    [1000],
  );
  assert.equal(
    worse("cpuMs", (size) => 500 + (size * size) / 100),
    [1000],
  );
  assert.equal(
    worse("instructions", (size) => 1e9 + 1e4 * size * size),
    [1000],
  );
  assert.equal(
    worse("peakKiB", (size) => 50_000 + size * size),
    [1000],
  );
});

test("a busy machine accuses nobody, and hides no square", () => {
  const busy = [1, 1.6, 1.2];
  assert.equal(
    worse("cpuMs", (size) => size, busy),
    [],
  );
  const square = worse("cpuMs", (size) => size * size, busy);
  assert.is(square.at(-1), 1000);
});

test("noise of a small cost is none, and time is not judged", () => {
  assert.equal(
    worse("cpuMs", (size) => (size * size) / 200_000),
    [],
    "5 ms at the most",
  );
  assert.equal(
    worse("wallMs", (size) => size * size),
    [],
  );
});

test("factors are those of the first size that is not nothing", () => {
  const [nothing, ten, hundred] = growthOf({
    points: [
      { size: 0, costs: { calls: [7] } },
      { size: 10, costs: { calls: [20, 30, 25] } },
      { size: 100, costs: { calls: [250], cpuMs: [3] } },
    ],
  });
  assert.equal(nothing, { size: 0, input: null, costs: { calls: { median: 7, factor: null } }, worse: [] });
  assert.equal(ten?.costs.calls, { median: 25, factor: 1 });
  assert.is(hundred?.input, 10);
  assert.equal(hundred?.costs.calls, { median: 250, factor: 10 });
  assert.equal(hundred?.costs.cpuMs, { median: 3, factor: null }, "it was not measured before");
});

test("runs of one size come together, sizes in order", () => {
  const collected = new Collected();
  const named = { subject: "state", what: "laid", unit: "files" };
  collected.add({ ...named, size: 100, costs: { calls: 5, cpuMs: 1 } });
  collected.add({ ...named, size: 10, costs: { calls: 1 } });
  collected.add({ ...named, size: 100, costs: { calls: 6 } });
  const points = [
    { size: 10, costs: { calls: [1] } },
    { size: 100, costs: { calls: [5, 6], cpuMs: [1] } },
  ];
  assert.equal(collected.series(), [{ ...named, points }]);
});

test("the table has what was measured, and says what grows worse", () => {
  const square = { subject: "operators", what: "state list", unit: "operators", points: points("calls", (size) => size * size) };
  const fine = { subject: "disks", what: "boot", unit: "disks", points: points("instructions", (size) => 1e6 * size) };
  const table = growthTable([square, fine]);
  assert.match(table, /^operators +size +x +kernel calls +x$/m);
  assert.match(table, /^state list +10 operators +1\.0 +100 +1\.0$/m);
  assert.match(table, /^ +1000 operators +100 +1000000 +10000 +grows worse than its input: kernel calls$/m);
  assert.match(table, /^ +1000 disks +100 +1000\.0 +100$/m);
  assert.match(table, /These grow worse than their input:\noperators: state list at 100 operators \(kernel calls\)\n/);
  assert.match(growthTable([fine]), /Nothing grows worse than its input\.$/);
  assert.equal([growthJson([square, fine]).worse, growthJson([fine]).worse], [true, false]);
  assert.is(growthJson([square]).scale[0]?.rows[2]?.costs.calls?.factor, 10_000);
});

test("what work costs this process", () => {
  let calls = 3;
  const costs = probe(
    () => {
      calls += 4;
      const bytes = new Uint8Array(64 * 1024 ** 2).fill(1);
      assert.is(bytes.length, 64 * 1024 ** 2);
    },
    () => calls,
  );
  assert.is(costs.calls, 4);
  assert.ok((costs.peakKiB ?? 0) > 60 * 1024, `${costs.peakKiB} KiB`);
  assert.ok((costs.cpuMs ?? 0) > 0);
  assert.ok(memoryKiB("VmRSS") > 0);
  assert.is(memoryKiB("VmHWM", 2 ** 22 + 1), 0, "no such process");
});

test("--scale and its parts", () => {
  assert.is(parseOptions([]).subject, "boot");
  const { subject, parts, runs } = parseOptions(["--scale"]);
  assert.equal({ subject, parts, runs }, { subject: "scale", parts: scaleParts, runs: 2 });
  assert.equal(parseOptions(["--scale", "--parts=disks,clone", "--json"]).parts, ["disks", "clone"]);
  for (const words of [
    ["scale"],
    ["--parts", "disks"],
    ["--scale", "--parts", "discs"],
    ["--scale", "--parts"],
    ["--scale", "clone"],
  ])
    assert.throws(
      () => parseOptions(words),
      (error: unknown) => error instanceof Usage,
      words.join(" "),
    );
});

test.run();
