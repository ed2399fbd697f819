import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { project } from "../../qemu/places.ts";
import { runProgram } from "../../qemu/program.ts";
import { compile, evaluatedModules, runtimeOptions } from "../../scripts/build/compile.ts";

/** Tries what a hostile environment would want of the executable, and says what came of it. */
const probe = `
import { cc } from "bun:ffi";
const attempt = (work) => { try { return String(work()); } catch (error) { return error.code ?? error.name; } };
console.log(JSON.stringify({
  text: attempt(() => new Function("return 7")()),
  addon: attempt(() => process.dlopen({ exports: {} }, "/none.node")),
  compiler: attempt(() => cc({ source: "/none.c", symbols: {} })),
  dotenv: String(process.env.FROM_DOTENV),
  preloaded: String(globalThis.preloaded),
  asset: attempt(() => require("node:fs").readFileSync(require("node:path").dirname(Bun.main) + "/asset", "utf8")),
  execArgv: process.execArgv,
  version: SLIPWAY_VERSION,
  built: SLIPWAY_BUILD_UNIX_MS,
}));
`;

const scratch = mkdtempSync(`${tmpdir()}/slipway-compile-test-`);
test.after(() => rmSync(scratch, { recursive: true, force: true }));

async function build(directory: string): Promise<string> {
  mkdirSync(directory);
  writeFileSync(`${directory}/probe.ts`, probe);
  writeFileSync(`${directory}/asset`, "embedded");
  const output = `${directory}/probe`;
  await compile({
    entry: `${directory}/probe.ts`,
    output,
    assets: [`${directory}/asset`],
    version: "1.2.3",
    buildUnixMs: 86_400_000,
  });
  return output;
}

test("the executable's options take effect", async () => {
  const executable = await build(`${scratch}/one`);
  writeFileSync(`${scratch}/preload.ts`, "globalThis.preloaded = true;");
  writeFileSync(`${scratch}/bunfig.toml`, 'preload = ["./preload.ts"]\n');
  writeFileSync(`${scratch}/.env`, "FROM_DOTENV=taken\n");
  assert.equal(JSON.parse(await runProgram(executable, [], { directory: scratch })), {
    text: "EvalError",
    addon: "ERR_DLOPEN_DISABLED",
    compiler: "ERR_FFI_CC_DISABLED",
    dotenv: "undefined",
    preloaded: "undefined",
    asset: "embedded",
    execArgv: runtimeOptions,
    version: "1.2.3",
    built: 86_400_000,
  });
});

test("same sources, same bytes, in another directory too", async () => {
  const [first, second] = [await build(`${scratch}/first`), await build(`${scratch}/second`)];
  assert.ok(readFileSync(first).equals(readFileSync(second)));
});

test("what import() reaches is not evaluated", async () => {
  writeFileSync(`${scratch}/entry.ts`, 'import "./used.ts"; export const later = () => import("./later.ts");');
  writeFileSync(`${scratch}/used.ts`, "console.log(1);");
  writeFileSync(`${scratch}/later.ts`, "console.log(2);");
  const modules = await evaluatedModules(`${scratch}/entry.ts`);
  assert.equal(
    modules.map(({ path }) => path.split("/").at(-1)),
    ["entry.ts", "used.ts"],
  );
  for (const { path, bytes } of modules) assert.ok(bytes > 0 && bytes < 200, `${path}: ${bytes}`);
});

test("a boot evaluates neither yaml nor zod", async () => {
  for (const entry of ["init/main.ts", "init/sequence/pid1.ts"]) {
    const modules = await evaluatedModules(`${project}/${entry}`);
    assert.ok(modules.some(({ path }) => path.endsWith(entry)));
    assert.equal(
      modules.filter(({ path }) => path.includes("node_modules")),
      [],
    );
  }
  const compiler = await evaluatedModules(`${project}/init/builder/state/compile.ts`);
  assert.ok(
    compiler.some(({ path }) => path.includes("node_modules/yaml/")),
    "the check sees yaml where it is",
  );
});

test.run();
