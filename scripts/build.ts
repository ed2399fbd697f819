/**
 * `npm run build [-- --arch ARCHITECTURE]`: slipway, preinit and rootfs.tar, in dist/ for this machine and in
 * dist/ARCHITECTURE/ for another. Same sources, same bytes.
 */
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { parseArgs } from "node:util";
import { ARCHITECTURE, type Architecture, architectureOfRuntime, parseArchitecture } from "../boot/architecture.ts";
import { MACHINE, readElfStart } from "../boot/elf.ts";
import packageJson from "../package.json" with { type: "json" };
import { distOf, project } from "../qemu/places.ts";
import { runProgram } from "../qemu/program.ts";
import { compile, evaluatedModules } from "./compile.ts";
import { runtimeFor } from "./runtime.ts";
import { trimIcuData } from "./trim-icu.ts";

const preinitLimit = 16 * 1024;
const own = architectureOfRuntime(process.arch);

/** A program that runs another architecture's, and where Debian's cross compiler has its libraries. */
const emulator: Record<Architecture, { program: string; libraries: string }> = {
  "x86-64": { program: "qemu-x86_64-static", libraries: "/usr/x86_64-linux-gnu" },
  arm64: { program: "qemu-aarch64-static", libraries: "/usr/aarch64-linux-gnu" },
};

/** Where the products go. */
interface Target {
  architecture: Architecture;
  dist: string;
}

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

async function buildPreinit({ architecture, dist }: Target): Promise<string> {
  const machine = { "x86-64": "-fcf-protection=none", arm64: "-mcpu=generic -mbranch-protection=none -mno-outline-atomics" };
  const flags = [
    "-Os -static -nostdlib -nostartfiles -ffreestanding -fno-pie -no-pie -fno-stack-protector",
    "-fno-asynchronous-unwind-tables -fno-unwind-tables -fno-tree-loop-distribute-patterns -Wall -Wextra -Werror -s",
    `-Wl,--build-id=none -Wl,-z,noseparate-code -Wl,-z,norelro -Wl,-z,noexecstack ${machine[architecture]}`,
  ].flatMap((line) => line.split(" "));
  const compiler = architecture === own ? "gcc" : `${ARCHITECTURE[architecture].gnu}-linux-gnu-gcc`;
  await runProgram(compiler, [...flags, "-o", `${dist}/preinit`, `${project}/init/preinit/preinit.c`]);
  const size = statSync(`${dist}/preinit`).size;
  if (size > preinitLimit) throw new Error(`${dist}/preinit has ${size} bytes, ${preinitLimit} are allowed`);
  checkMachine(`${dist}/preinit`, architecture);
  return `${size} bytes`;
}

/** What a boot evaluates must stay small: zod and yaml together double its start. */
async function checkBootModules(): Promise<string> {
  const entry = `${project}/init/sequence/pid1.ts`;
  if (!existsSync(entry)) return "init/sequence/pid1.ts is not there yet";
  const modules = await evaluatedModules(entry);
  const foreign = modules.filter((path) => path.includes("node_modules/"));
  if (foreign.length > 0) throw new Error(`PID 1 would evaluate ${foreign.join(", ")}; reach it by import() of a verb`);
  return `${modules.length} modules, none of them from node_modules`;
}

function checkMachine(file: string, architecture: Architecture): void {
  const { machine } = readElfStart(readFileSync(file));
  if (machine === ARCHITECTURE[architecture].elfMachine) return;
  throw new Error(`${file} was made for ${MACHINE[machine] ?? `ELF machine ${machine}`} instead of ${architecture}`);
}

/** What `slipway --version` says; null where nothing here runs that architecture. */
async function versionSaid({ architecture, dist }: Target): Promise<string | null> {
  const { program, libraries } = emulator[architecture];
  if (architecture === own) return (await runProgram(`${dist}/slipway`, ["--version"])).trim();
  if (Bun.which(program) === null || !existsSync(`${libraries}/lib/libc.so.6`)) return null;
  return (await runProgram(program, ["-L", libraries, `${dist}/slipway`, "--version"])).trim();
}

async function buildExecutable(target: Target, seconds: number): Promise<string> {
  const { architecture, dist } = target;
  let trimmed = "";
  const aside = mkdtempSync(`${dist}/.slipway-`); // whoever runs the former one meanwhile keeps it
  try {
    await compile({
      entry: `${project}/init/main.ts`,
      output: `${aside}/slipway`,
      assets: [`${dist}/preinit`],
      version: packageJson.version,
      buildUnixMs: seconds * 1000,
      ...(architecture === own ? {} : { other: { architecture, runtime: await runtimeFor(architecture) } }),
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

/** Gives directories mode 755, files 644, and leaves symbolic links alone. */
function plainModes(path: string): void {
  const status = lstatSync(path);
  if (status.isSymbolicLink()) return;
  chmodSync(path, status.isDirectory() ? 0o755 : 0o644);
  if (status.isDirectory()) for (const name of readdirSync(path)) plainModes(`${path}/${name}`);
}

/** The executable, units and fragments as they lie in an image. */
async function buildRootfs({ dist }: Target, seconds: number): Promise<string> {
  const tree = mkdtempSync(`${dist}/.rootfs-`);
  const said: string[] = [];
  try {
    for (const [from, to] of [
      ["init/units", "usr/lib/systemd/system"],
      ["init/presets", "usr/lib/systemd/system-preset"],
      ["state-ops/fragments", "usr/share/slipway/state.d"],
      ["state-ops/fragments/optional", "usr/share/slipway/fragments"],
    ] as const) {
      const found = existsSync(`${project}/${from}`) ? readdirSync(`${project}/${from}`) : [];
      const names = found.filter((name) => name !== "optional");
      mkdirSync(`${tree}/${to}`, { recursive: true });
      for (const name of names) {
        cpSync(`${project}/${from}/${name}`, `${tree}/${to}/${name}`, { recursive: true, verbatimSymlinks: true });
      }
      said.push(`${names.length} from ${from}`);
    }
    plainModes(tree);
    mkdirSync(`${tree}/usr/bin`);
    cpSync(`${dist}/slipway`, `${tree}/usr/bin/slipway`);
    chmodSync(`${tree}/usr/bin/slipway`, 0o755);
    const same = ["--format=gnu", "--sort=name", `--mtime=@${seconds}`, "--owner=root:0", "--group=root:0", "--numeric-owner"];
    await runProgram("tar", ["--create", ...same, `--file=${dist}/.rootfs.tar`, `--directory=${tree}`, "usr"]);
    renameSync(`${dist}/.rootfs.tar`, `${dist}/rootfs.tar`);
  } finally {
    rmSync(tree, { recursive: true, force: true });
  }
  return `${statSync(`${dist}/rootfs.tar`).size} bytes: the executable, ${said.join(", ")}`;
}

async function step(name: string, work: Promise<string>): Promise<void> {
  const started = performance.now();
  const said = await work;
  console.log(`${name.padEnd(22)} ${((performance.now() - started) / 1000).toFixed(1).padStart(5)} s  ${said}`);
}

/** The architecture to build for. Throws BadInput, or parseArgs' own error. */
function readOptions(): Architecture {
  const { values } = parseArgs({ options: { arch: { type: "string" } } });
  return values.arch === undefined ? own : parseArchitecture(values.arch);
}

try {
  const architecture = readOptions();
  const target = { architecture, dist: distOf(architecture) };
  const shown = target.dist.slice(project.length + 1);
  const seconds = await buildTime();
  mkdirSync(target.dist, { recursive: true });
  await step(`${shown}/preinit`, buildPreinit(target));
  await step("modules of PID 1", checkBootModules());
  await step(`${shown}/slipway`, buildExecutable(target, seconds));
  await step(`${shown}/rootfs.tar`, buildRootfs(target, seconds));
} catch (error) {
  console.error(`scripts/build.ts: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
}
