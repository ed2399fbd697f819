import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { cache } from "../../qemu/places.ts";
import { arm64Tests } from "../../scripts/testing/arm64.ts";
import { type Kind, testFiles } from "../../scripts/testing/files.ts";
import { runTestFile } from "../../scripts/testing/run-file.ts";
import { verdict } from "../../scripts/testing/verdict.ts";

mkdirSync(cache, { recursive: true });
// below the checkout, so that uvu is found
const directory = mkdtempSync(`${cache}/runner-test-`);
test.after(() => rmSync(directory, { recursive: true }));

const head = 'import { test } from "uvu"; import * as assert from "uvu/assert";\n';

let made = 0;
function run(source: string, { kind = "unit" as Kind, long = false, limitSeconds = 20 } = {}) {
  made += 1;
  const path = `${directory}/case-${made}.test.ts`;
  writeFileSync(path, source);
  return runTestFile({ kind, name: `runner-test-${process.pid}-${made}`, path }, long, limitSeconds);
}

const outcome = ({ passed, failed, complaint }: { passed: number; failed: number; complaint: string | null }) => ({
  passed,
  failed,
  complaint,
});

test("passing and failing tests are counted", async () => {
  const result = await run(
    `${head}test("a", () => {}); test("b", () => assert.is(1, 2)); test("c", () => {}); test.skip("d", () => {}); test.run();`,
  );
  assert.equal(outcome(result), { passed: 2, failed: 1, complaint: null });
  assert.is(result.skipped, 1);
  assert.match(result.output, 'FAIL  "b"');
});

test("several suites in one file are counted together", async () => {
  const source = `import { suite } from "uvu"; const a = suite("a"); a("x", () => {}); a.run(); const b = suite("b"); b("y", () => {}); b("z", () => {}); b.run();`;
  assert.equal(outcome(await run(source)), { passed: 3, failed: 0, complaint: null });
});

test("a file that forgot .run() fails", async () => {
  const result = await run(`${head}test("a", () => {});`);
  assert.equal(outcome(result), { passed: 0, failed: 1, complaint: "executed no test; is test.run() missing?" });
});

test("a file without a test fails", async () => {
  assert.is((await run(`${head}test.run();`)).failed, 1);
});

test("a file whose tests are all skipped fails", async () => {
  const result = await run(`${head}test.skip("a", () => {}); test.run();`);
  assert.is(result.failed, 1);
  assert.match(result.complaint ?? "", "executed no test");
});

test("a file that does not load fails", async () => {
  const result = await run('import "./missing.ts";');
  assert.match(result.complaint ?? "", "crashed with exit code 1");
  assert.is(result.failed, 1);
});

test("a file that ends the process among its tests fails", async () => {
  const result = await run(`${head}test("a", () => {}); test("b", () => process.exit(0)); test.run();`);
  assert.equal(outcome(result), { passed: 0, failed: 1, complaint: "crashed with exit code 1 before its tests ended" });
});

test("a file that crashes after its tests fails", async () => {
  const result = await run(`${head}test("a", () => {}); test.run(); process.on("exit", () => { process.exitCode = 5; });`);
  assert.equal(outcome(result), { passed: 1, failed: 1, complaint: "ended with exit code 5 though its tests passed" });
});

test("a file that hangs is killed with what it started", async () => {
  const pidFile = `${directory}/sleeper`;
  const source = `${head}import { spawn } from "node:child_process"; import { writeFileSync } from "node:fs";
const child = spawn("sleep", ["1000"]); writeFileSync(${JSON.stringify(pidFile)}, String(child.pid));
test("a", () => new Promise(() => { setInterval(() => {}, 1000); })); test.run();`;
  const result = await run(source, { limitSeconds: 2 });
  assert.is(result.complaint, "did not end within 2 s");
  await new Promise((resolve) => setTimeout(resolve, 200));
  const status = `/proc/${readFileSync(pidFile, "utf8")}/status`;
  assert.ok(!existsSync(status) || /State:\tZ/.test(readFileSync(status, "utf8")), "the file's child still runs");
});

test("boots are counted, and consoles are kept only after a failure", async () => {
  const source = (good: boolean) => `${head}import { appendFileSync, writeFileSync } from "node:fs";
test("a", () => { appendFileSync(process.env.SLIPWAY_BOOT_COUNTER, "..."); writeFileSync(process.env.SLIPWAY_LOGS + "/x.log", "console"); assert.ok(${good}); });
test.run();`;
  const good = await run(source(true));
  assert.equal([good.boots, good.logs], [3, null]);
  const bad = await run(source(false));
  assert.is(bad.boots, 3);
  assert.is(readFileSync(`${bad.logs}/x.log`, "utf8"), "console");
  rmSync(bad.logs ?? "", { recursive: true });
});

test("the long tier is said in the environment", async () => {
  const source = `${head}test("a", () => assert.is(process.env.SLIPWAY_TIER, "long")); test.run();`;
  assert.is((await run(source)).failed, 1);
  assert.is((await run(source, { long: true })).failed, 0);
});

test("namespace tests cannot change the host's mounts", async () => {
  const source = `${head}import { execFileSync } from "node:child_process";
test("a", () => { execFileSync("mount", ["-t", "tmpfs", "inside", ${JSON.stringify(directory)}]); }); test.run();`;
  assert.is((await run(source, { kind: "namespace" })).failed, 0);
  assert.not.match(readFileSync("/proc/self/mounts", "utf8"), directory);
});

test("a signal's end is named", () => {
  assert.match(verdict({ output: "", code: null, timedOut: false }, 1).complaint ?? "", "of a signal");
});

test("the tests that run on arm64 by themselves are there", () => {
  const names = testFiles("vm", true).map(({ name }) => name);
  for (const name of arm64Tests) assert.ok(names.includes(name), `${name} is in scripts/testing/arm64.ts and not below test/vm`);
});

test.run();
