/** `npm test`: type check, lint, then every test file as a process of its own. The last line is "N passed, N failed". */
import { parseArgs } from "node:util";
import { checkGuestArchitecture, guestArchitecture, hostArchitecture } from "../qemu/architecture.ts";
import { project } from "../qemu/places.ts";
import { arm64Tests } from "./testing/arm64.ts";
import { inputsHash, type Kind, kinds, type TestFile, testFiles } from "./testing/files.ts";
import { LongMemory } from "./testing/long-memory.ts";
import { type FileResult, killAll, runGroup, runTestFile } from "./testing/run-file.ts";

const usage = `npm test [-- [--vm [--arch ARCHITECTURE] [NAME]] [--long [--fresh]] [WORD]…]
  --vm      only the VM tests, those whose name contains NAME (npm run test:vm -- NAME)
  --arch    x86-64 or arm64: the VM tests on machines of that architecture. For another one than this machine's
            those that scripts/testing/arm64.ts lists, or any whose name contains NAME
  --long    everything at full length; goes on where an earlier long run over the same sources stopped
  --fresh   forget the earlier long run
  WORD      only files whose "kind/name" contains a WORD: unit, model/selection; without type check and lint`;

/** Tier 1 may start this many machines. */
const bootBudget = 120;

interface Row {
  name: string;
  passed: number;
  failed: number;
  seconds: number;
  boots: number;
  skipped?: number;
  remembered?: boolean;
}

function options() {
  try {
    const { values, positionals } = parseArgs({
      options: {
        vm: { type: "boolean" },
        arch: { type: "string" },
        long: { type: "boolean" },
        fresh: { type: "boolean" },
        help: { type: "boolean" },
      },
      allowPositionals: true,
    });
    if (values.help) {
      console.log(usage);
      process.exit(0);
    }
    if (values.arch !== undefined && !values.vm) throw new Error("--arch belongs to --vm: the other tests run on this machine");
    checkGuestArchitecture(values.arch);
    return { ...values, words: positionals };
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n${usage}`);
    process.exit(2);
  }
}

const rows: Row[] = [];
const began = performance.now();
let planned = 0;
const active = new Set<string>();

function progress(): void {
  if (!process.stdout.isTTY) return;
  const failed = rows.reduce((sum, row) => sum + row.failed, 0);
  const seconds = ((performance.now() - began) / 1000).toFixed(0);
  process.stdout.write(
    `\r\x1b[K${rows.length}/${planned}, ${failed} failed, ${seconds} s: ${[...active].join(" ")}`.slice(0, 150),
  );
}

function report(row: Row): void {
  rows.push(row);
  if (process.stdout.isTTY) process.stdout.write("\r\x1b[K");
  const outcome = row.failed > 0 ? `${row.failed} FAILED, ${row.passed} passed` : `${row.passed} passed`;
  const boots = row.boots > 0 ? `, ${row.boots} boots` : "";
  const skipped = row.skipped ? `, ${row.skipped} skipped` : "";
  console.log(
    `[${rows.length}/${planned}] ${row.name}: ${outcome}${skipped}${row.remembered ? " (earlier)" : ` in ${row.seconds.toFixed(1)} s`}${boots}`,
  );
  progress();
}

async function check(name: string, words: string[]): Promise<void> {
  const start = performance.now();
  active.add(name);
  progress();
  const { output, code, timedOut } = await runGroup([`${project}/node_modules/.bin/${words[0]}`, ...words.slice(1)], {}, 300);
  active.delete(name);
  const good = code === 0;
  if (!good) console.log(`${output.trim()}\n${name} failed${timedOut ? ": it took more than 300 s" : ""}`);
  report({ name, passed: good ? 1 : 0, failed: good ? 0 : 1, seconds: (performance.now() - start) / 1000, boots: 0 });
}

function complain(result: FileResult): void {
  console.log(`--- test/${result.file.kind}/${result.file.name}.test.ts ${result.complaint ?? "failed"}; it wrote:`);
  console.log(result.output.trimEnd());
  if (result.logs) console.log(`--- the machines' consoles are in ${result.logs}`);
}

async function runFile(file: TestFile, long: boolean, memory: LongMemory | null): Promise<void> {
  const name = `${file.kind}/${file.name}`;
  const earlier = memory?.get(file);
  if (earlier) {
    report({ name, failed: 0, ...earlier, remembered: true });
    return;
  }
  active.add(name);
  progress();
  const result = await runTestFile(file, long);
  active.delete(name);
  if (result.failed > 0) complain(result);
  else memory?.add(file, { passed: result.passed, seconds: result.seconds, boots: result.boots });
  const { passed, failed, skipped, seconds, boots } = result;
  report({ name, passed, failed, skipped, seconds, boots });
}

async function inLanes(lanes: number, files: TestFile[], work: (file: TestFile) => Promise<void>): Promise<void> {
  const queue = [...files];
  const lane = async () => {
    for (let file = queue.shift(); file; file = queue.shift()) await work(file);
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}

function table(): void {
  const width = Math.max(...rows.map((row) => row.name.length), 5);
  console.log(`\n${"".padEnd(width)}  passed  failed  seconds  boots`);
  for (const row of rows) {
    const numbers = [String(row.passed).padStart(6), String(row.failed).padStart(6), row.seconds.toFixed(1).padStart(7)];
    console.log(`${row.name.padEnd(width)}  ${numbers.join("  ")}  ${row.boots > 0 ? String(row.boots).padStart(5) : ""}`);
  }
}

async function main(): Promise<number> {
  const { vm, long = false, fresh, words } = options();
  const foreign = guestArchitecture !== hostArchitecture;
  if (fresh) LongMemory.forget();
  const all = kinds.filter((kind) => !vm || kind === "vm").flatMap((kind) => testFiles(kind, long || foreign));
  const wanted = (file: TestFile) =>
    words.length === 0
      ? !foreign || arm64Tests.includes(file.name)
      : words.some((word) => (vm ? file.name : `${file.kind}/${file.name}`).includes(word));
  const selected = all.filter(wanted);
  const whole = !vm && words.length === 0;
  planned = selected.length + (whole ? 2 : 0);
  if (whole) await Promise.all([check("type check", ["tsc"]), check("lint", ["biome", "check", "--error-on-warnings", "."])]);
  const memory = long ? new LongMemory(inputsHash()) : null;
  const run = (kind: Kind, lanes: number) =>
    inLanes(
      lanes,
      selected.filter((file) => file.kind === kind),
      (file) => runFile(file, long, memory),
    );
  await run("unit", 2);
  // Tests with mounts find loop devices that others are about to take: one of them at a time.
  await Promise.all([run("model", 1), run("namespace", 1)]);
  await run("vm", 2);
  const sum = (column: "passed" | "failed" | "boots") => rows.reduce((total, row) => total + row[column], 0);
  const passed = sum("passed");
  let failed = sum("failed");
  if (rows.length > 0) table();
  if (selected.length === 0) {
    console.log(
      `no test file ${words.length > 0 ? `is named like ${words.join(", ")}` : "found below test/"}: nothing was tested`,
    );
    failed += 1;
  }
  const boots = sum("boots");
  if (!long && !foreign && boots > bootBudget) {
    console.log(`${boots} boots, but tier 1 may have ${bootBudget}: move some to the long tier (SLIPWAY_TIER)`);
    failed += 1;
  }
  console.log(`${boots} boots, ${((performance.now() - began) / 1000).toFixed(0)} s in all`);
  console.log(`${passed} passed, ${failed} failed`);
  return failed > 0 ? 1 : 0;
}

for (const [signal, code] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
  ["SIGHUP", 129],
] as const) {
  process.on(signal, () => {
    killAll();
    process.exit(code);
  });
}
process.exitCode = await main();
