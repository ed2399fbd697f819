/**
 * `npm run build [-- --arch ARCHITECTURE]`: slipway, preinit and rootfs.tar, in dist/ for this machine and in
 * dist/ARCHITECTURE/ for another. Same sources, same bytes.
 */
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, statSync } from "node:fs";
import { parseArgs } from "node:util";
import { type Architecture, architectures, parseArchitecture } from "../boot/architecture.ts";
import { hotPagesName } from "../init/builder/initrd/own-files.ts";
import packageJson from "../package.json" with { type: "json" };
import { hostArchitecture } from "../qemu/architecture.ts";
import { distOf, project } from "../qemu/places.ts";
import { runProgram } from "../qemu/program.ts";
import { compile, evaluatedModules } from "./build/compile.ts";
import { buildRootfs } from "./build/rootfs.ts";
import { runtimeFor } from "./build/runtime.ts";
import { buildStatic } from "./build/static-program.ts";
import { checkMachine, type Target } from "./build/target.ts";
import { trimIcuData } from "./build/trim-icu.ts";

/** A program that runs another architecture's, and where Debian's cross compiler has its libraries. */
const emulator: Record<Architecture, { program: string; libraries: string }> = {
  "x86-64": { program: "qemu-x86_64-static", libraries: "/usr/x86_64-linux-gnu" },
  arm64: { program: "qemu-aarch64-static", libraries: "/usr/aarch64-linux-gnu" },
};

/** Seconds since the epoch: SOURCE_DATE_EPOCH, else the last commit's time. */
async function buildTime(): Promise<number> {
  const lastCommit = (): Promise<string> =>
    runProgram("git", ["log", "-1", "--format=%ct"], { directory: project }).catch((error: Error) => {
      throw new Error(`the build's time is that of the last commit; without git, set SOURCE_DATE_EPOCH: ${error.message}`);
    });
  const seconds = (process.env.SOURCE_DATE_EPOCH ?? (await lastCommit())).trim();
  if (!/^\d+$/.test(seconds)) throw new Error(`SOURCE_DATE_EPOCH has to be seconds since 1970, is "${seconds}"`);
  return Number(seconds);
}

/** Bytes of minified JavaScript that an ordinary boot may evaluate: a little more than it does. */
const bootLimit = 256_000;

/** What a boot evaluates must stay small: zod and yaml together double its start. */
async function checkBootModules(): Promise<string> {
  const entry = `${project}/init/sequence/pid1.ts`;
  const modules = await evaluatedModules(entry);
  const foreign = modules.filter(({ path }) => path.includes("node_modules/")).map(({ path }) => path);
  if (foreign.length > 0) throw new Error(`PID 1 would evaluate ${foreign.join(", ")}; reach it by import() of a verb`);
  const bytes = modules.reduce((sum, module) => sum + module.bytes, 0);
  if (bytes > bootLimit) {
    const largest = modules.toSorted((left, right) => right.bytes - left.bytes).slice(0, 5);
    const named = largest.map((module) => `${module.path} ${module.bytes}`).join(", ");
    throw new Error(
      `an ordinary boot would evaluate ${bytes} bytes of JavaScript, ${bootLimit} are allowed; reach by import() what it does without (the largest: ${named})`,
    );
  }
  return `${modules.length} modules, ${bytes} bytes of JavaScript, none of them from node_modules`;
}

/** What `slipway --version` says; null where nothing here runs that architecture. */
async function versionSaid({ architecture, dist }: Target): Promise<string | null> {
  const { program, libraries } = emulator[architecture];
  if (architecture === hostArchitecture) return (await runProgram(`${dist}/slipway`, ["--version"])).trim();
  if (Bun.which(program) === null || !existsSync(`${libraries}/lib/libc.so.6`)) return null;
  return (await runProgram(program, ["-L", libraries, `${dist}/slipway`, "--version"])).trim();
}

/** Lists of the pages that a boot touches, of the architectures that have one. */
function hotPageLists(): string[] {
  const paths = architectures.map((architecture) => `${project}/init/builder/initrd/${hotPagesName(architecture)}`);
  return paths.filter((path) => existsSync(path));
}

async function buildExecutable(target: Target, seconds: number): Promise<string> {
  const { architecture, dist } = target;
  let trimmed = "";
  const aside = mkdtempSync(`${dist}/.slipway-`); // whoever runs the former one meanwhile keeps it
  try {
    await compile({
      entry: `${project}/init/main.ts`,
      output: `${aside}/slipway`,
      assets: [`${dist}/preinit`, `${dist}/interpreter`, ...hotPageLists()],
      version: packageJson.version,
      buildUnixMs: seconds * 1000,
      ...(architecture === hostArchitecture ? {} : { other: { architecture, runtime: await runtimeFor(architecture) } }),
    });
    trimmed = trimIcuData(`${aside}/slipway`);
    renameSync(`${aside}/slipway`, `${dist}/slipway`);
  } finally {
    rmSync(aside, { recursive: true, force: true });
  }
  checkMachine(`${dist}/slipway`, architecture);
  const said = await versionSaid(target);
  if (said !== null && said !== `slipway ${packageJson.version}`) throw new Error(`${dist}/slipway --version says "${said}"`);
  return `${said ?? `for ${architecture}, not run here`}, ${statSync(`${dist}/slipway`).size} bytes; ${trimmed}`;
}

async function step(name: string, work: Promise<string>): Promise<void> {
  const started = performance.now();
  const said = await work;
  console.log(`${name.padEnd(22)} ${((performance.now() - started) / 1000).toFixed(1).padStart(5)} s  ${said}`);
}

/** The architecture to build for. Throws BadInput, or parseArgs' own error. */
function readOptions(): Architecture {
  const { values } = parseArgs({ options: { arch: { type: "string" } } });
  return values.arch === undefined ? hostArchitecture : parseArchitecture(values.arch);
}

try {
  const architecture = readOptions();
  const target = { architecture, dist: distOf(architecture) };
  const shown = target.dist.slice(project.length + 1);
  const seconds = await buildTime();
  mkdirSync(target.dist, { recursive: true });
  await step(`${shown}/preinit`, buildStatic(target, "preinit", {}));
  await step(`${shown}/interpreter`, buildStatic(target, "interpreter", {}));
  await step("modules of PID 1", checkBootModules());
  await step(`${shown}/slipway`, buildExecutable(target, seconds));
  await step(`${shown}/rootfs.tar`, buildRootfs(target, seconds));
} catch (error) {
  console.error(`scripts/build.ts: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
}
