/**
 * `bun state-worker.ts SCRATCH operators|files FILESYSTEM COUNT RUNS`, in a mount namespace of its own: what COUNT operators, or
 * one with COUNT files, cost from the fragment to the collection of old generations. A line of JSON for each run of each.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { compileFrom } from "../../../init/builder/state/sources.ts";
import { diffState } from "../../../init/commands/state/diff.ts";
import { explainPath } from "../../../init/commands/state/explain.ts";
import { collectState } from "../../../init/commands/state/gc.ts";
import { listState } from "../../../init/commands/state/list-facts.ts";
import { previewMerge } from "../../../init/commands/state/merge.ts";
import { applyState } from "../../../init/state/apply.ts";
import { compileProgram } from "../../../qemu/c-program.ts";
import { compileControl } from "../../../qemu/product.ts";
import { runProgram } from "../../../qemu/program.ts";
import type { DataFilesystem, Operator } from "../../../state-ops/control.ts";
import { readControl } from "../../../state-ops/read-control.ts";
import { planState } from "../../../state-ops/state-plan.ts";
import { countingKernel } from "./counting-kernel.ts";
import type { Measure } from "./growth.ts";
import { probe, tell } from "./probe.ts";
import { controlInImage, realKernel, StateWorld } from "./state-world.ts";
import { changeSome, plantFiles, stateTree, systemText } from "./trees.ts";

const [scratch = "", kind = "", filesystem = "", count = "0", runs = "1"] = process.argv.slice(2);
const size = Number(count);
const { kernel, calls } = countingKernel(realKernel);

function measure(what: string, work: () => void): void {
  report(what, probe(work, calls));
}

function report(what: string, costs: Partial<Record<Measure, number>>): void {
  const files = kind === "files";
  tell({ subject: files ? "state" : "operators", what: files ? `${filesystem}: ${what}` : what, unit: kind, size, costs });
}

function isFilesystem(name: string): name is DataFilesystem {
  return name === "ext4" || name === "xfs" || name === "btrfs";
}

/** Compiles, as `slipway state compile` does it. Returns the control file's text. */
function compile(tree: string): string {
  const sources = { option: "--system", system: `${scratch}/system.yaml`, root: tree, shownRoot: tree };
  return compileFrom({ ...sources, fragments: [`${scratch}/fragments`], previous: undefined }).text;
}

function lay(world: StateWorld, operators: readonly Operator[]): void {
  world.withRoots(kernel, ({ data, newRoot }) => {
    const steps = planState(operators, { generation: "gens/000001" });
    const { degraded, warnings } = applyState(kernel, { steps, newRoot, data, onProgress: () => {} });
    if (degraded.length + warnings.length > 0) throw new Error(`state was not laid: ${JSON.stringify({ degraded, warnings })}`);
  });
}

/** The mounts that laying the operators comes to, by a C program that does nothing else. */
async function mountFloor(world: StateWorld, operators: readonly Operator[]): Promise<Partial<Record<Measure, number>>> {
  const floor = `${world.place}/floor`;
  const lines = operators.map(({ path, kind, via, state }, index) => {
    const on = `${world.root}${path}`;
    if (state === "ephemeral") return `tmpfs ${on}`;
    const store = `${floor}/${index}`;
    mkdirSync(kind === "file" ? floor : `${store}/work`, { recursive: true });
    if (kind === "file") writeFileSync(store, "");
    if (via !== "overlay") return `bind ${store} ${on}`;
    mkdirSync(`${store}/upper`);
    return `overlay ${on} ${store}/upper ${store}/work ${on}`;
  });
  const [microseconds, made] = (await runProgram(`${scratch}/mount-floor`, [], { input: lines.join("\n") }))
    .split(" ")
    .map(Number);
  return { cpuMs: (microseconds ?? 0) / 1000, calls: made ?? 0 };
}

if (!isFilesystem(filesystem)) throw new Error(`no filesystem for data: ${filesystem}`);
await compileProgram(`${import.meta.dirname}/mount-floor.c`, `${scratch}/mount-floor`);
const [tree, newer] = [`${scratch}/tree`, `${scratch}/newer`];
const fragment = kind === "files" ? plantFiles(tree, size) : stateTree(tree, size);
writeFileSync(`${scratch}/system.yaml`, systemText);
mkdirSync(`${scratch}/fragments`);
writeFileSync(`${scratch}/fragments/bench.yaml`, fragment);
mkdirSync(`${tree}/usr/lib/slipway`, { recursive: true });
await compileControl(systemText, tree, `${tree}/${controlInImage}`, { "bench.yaml": fragment });
await runProgram("cp", ["--archive", tree, newer]);
changeSome(`${newer}/srv`);
const world = await StateWorld.make({ scratch, filesystem, tree });
const text = readFileSync(`${tree}/${controlInImage}`, "utf8");
const { operators } = world.control;
const some = `${operators[0]?.path}/some/path`;

try {
  // Of small sizes once more than is told: what runs for the first time is compiled first.
  for (let run = size > 1000 ? 1 : 0; run <= Number(runs); run++) {
    const isTold = run > 0;
    const step = isTold ? measure : (_: string, work: () => void) => work();
    world.beginAnew(realKernel);
    if (kind === "operators") {
      step("state compile", () => compile(tree));
      const costs = probe(() => readControl(text));
      if (isTold) report("control file read", { ...costs, bytes: text.length });
      const floor = await mountFloor(world, operators);
      if (isTold) report("floor: its mounts in C", floor);
      world.mountImageAnew();
    }
    step("laid, first boot", () => lay(world, operators));
    world.mountImageAnew();
    step("laid, next boot", () => lay(world, operators));
    await changeStores(world);
    step("generation cloned", () => world.build(kernel, 2, world.root));
    step("cloned and merged with a new image", () => world.build(kernel, 3, newer));
    if (kind === "operators") step("state explain PATH", () => explainPath(kernel, world.places, some));
    step("state list", () => listState(kernel, world.places));
    step("state diff", () => diffState(kernel, world.places, null));
    step("state merge --dry-run", () => previewMerge(kernel, world.places, newer));
    step("state gc of one generation", () => {
      const { collected } = collectState(kernel, world.places, { dryRun: false, spare: false, pinned: [], unpin: [] });
      if (collected.length !== 1) throw new Error(`${collected.length} generations were collected, one was to be`);
    });
    world.mountImageAnew();
  }
} finally {
  world.close();
}

/** As a system that ran: of the files in its stores one in a hundred is another, and of those of one's own there are as many again. */
async function changeStores({ place }: StateWorld): Promise<void> {
  if (kind !== "files") return;
  const store = `${place}/gens/000001/tree/srv`;
  changeSome(store);
  await runProgram("sync", ["--file-system", place]);
}
