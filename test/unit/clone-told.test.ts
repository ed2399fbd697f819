import { test } from "uvu";
import * as assert from "uvu/assert";
import { parseCommandLine } from "../../boot/kernel-command-line.ts";
import { O } from "../../init/kernel/constants.ts";
import { RecordingKernel } from "../../init/kernel/recording/recording.ts";
import { cloneTold } from "../../init/sequence/clone-told.ts";
import { Launch } from "../../init/sequence/launch.ts";
import { Log } from "../../init/sequence/log.ts";
import type { GenerationPlan } from "../../state-ops/planned-generation.ts";
import { controlFile } from "./golden-machine.ts";

const MiB = 1024 * 1024;
const plan: GenerationPlan = { do: "clone", from: 1, to: 2, parent: 1, without: [], why: "", reason: null };

/** What is told of a clone of `files`, each of 1 MiB, of which one is copied in `stepMs`. */
function told(stepMs: number, files: number, of: GenerationPlan = plan): { lines: string[]; looks: number } {
  const kernel = new RecordingKernel({ stepMs: 0 });
  const store = Object.fromEntries(Array.from({ length: files }, (_, index) => [`file-${index}`, "x".repeat(4096)]));
  kernel.plant("/", { data: { gens: { "000001": { tree: { var: store }, ovl: {} } } } });
  kernel.beginTrace();
  const launch = new Launch(kernel, new Log(kernel), controlFile().control, parseCommandLine(""));
  const data = kernel.open("/data", O.RDONLY | O.DIRECTORY);
  const onProgress = cloneTold(launch, data, of, []);
  for (let file = 1; file <= files; file++) {
    kernel.poll([], stepMs);
    onProgress(file * MiB, file);
  }
  const trace = kernel.trace.split("\n");
  return {
    lines: trace.filter((line) => line.includes("cloning generation")),
    looks: trace.filter((line) => /file-0"/.test(line)).length,
  };
}

test("a short clone is not told of, and nothing is measured for it", () => {
  assert.equal(told(100, 19), { lines: [], looks: 0 });
});

test("a long one is told of after 2 s, then every 4 s", () => {
  const { lines } = told(100, 121);
  assert.is(lines.length, 3, lines.join("\n"));
  assert.match(lines[0] ?? "", /<5>slipway: cloning generation 000001: 20 MiB, 10 MiB\/s/);
  assert.match(lines[2] ?? "", /cloning generation 000001: 100 MiB/);
});

test("a generation that is made of the image, or gone on with, is none", () => {
  assert.equal(told(1000, 10, { do: "create", to: 1, why: "", reason: null }).lines, []);
  assert.equal(told(1000, 10, { do: "continue", generation: 1, why: "", reason: null }).lines, []);
});

test("what cannot be measured is told of without the time left", () => {
  const lines = told(500, 8, { ...plan, from: 7 }).lines;
  assert.is(lines.length, 1);
  assert.match(lines[0] ?? "", /generation 000007: 4\.0 MiB, 2\.0 MiB\/s, 2 s so far/);
});

test.run();
