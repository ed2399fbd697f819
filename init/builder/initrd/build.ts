import { existsSync, readFileSync, realpathSync } from "node:fs";
import { posix } from "node:path";
import { gunzipSync } from "node:zlib";
import { type Architecture, parseArchitecture } from "../../../boot/architecture.ts";
import { readElf } from "../../../boot/elf.ts";
import { MODULES, writeModuleIndex } from "../../../boot/modules.ts";
import { storeDevices } from "../../../state-ops/boot-record-rules.ts";
import type { ControlFile } from "../../../state-ops/control.ts";
import { MAKERS, missingMaker } from "../../../state-ops/data-make.ts";
import { BadInput } from "../../../state-ops/outcome.ts";
import { flag, text, texts, type Verb } from "../../commands/verb.ts";
import { version } from "../../version.ts";
import { readControlInput } from "../control-input.ts";
import { readInput, regularFile } from "../input.ts";
import { checkOutput, replaceFile, writePieces } from "../output.ts";
import { runHostProgram } from "../program.ts";
import { writeCpio } from "./cpio.ts";
import { readModuleDirectory } from "./depmod.ts";
import { splitExecutable } from "./hot-file.ts";
import { type HotPageList, hotPagesOf, parseHotPages } from "./hot-pages.ts";
import { initrdEntries } from "./layout.ts";
import { chooseFiles, programArchitecture, refuseOtherMachine, refuseOtherProgram } from "./machine.ts";
import { ownHotPages } from "./own-files.ts";
import { requiredOption } from "./required-option.ts";
import { BLOCK_SIZE, type HotProgram, makeRuntimeImage, type RuntimeFile, runtimeFiles, withHotPages } from "./runtime-image.ts";
import { selectModules } from "./select-modules.ts";
import { Sysroot } from "./sysroot.ts";

const BUSYBOX = "/bin/busybox";

/** In the runtime image. */
const EXECUTABLE = "/usr/bin/slipway";

/** What an initrd is built from; paths of the host. */
export interface InitrdInput {
  control: string;
  /** A lib/modules/VERSION directory. */
  modules: string;
  /** Names of modules; empty for the default set. */
  named: string[];
  /** Files for the runtime image: "PATH=FILE". */
  extra: string[];
  debug: boolean;
  /** Null: that of the executable. */
  architecture: Architecture | null;
  executable: string;
  preinit: string;
  /** Lists of the pages that a boot touches, of which one fits the executable, and what starts it with them; null: leave them in it. */
  hot: { interpreter: string; lists: readonly HotPageList[] } | null;
  /** A tree to take libraries from. */
  sysroot: string;
  /** Of the runtime image, bytes; null: what is best. */
  blockSize: number | null;
  /** zstd's, 1 to 22. */
  level: number;
  output: string;
}

/** Writes an initrd and returns what there is to say about it, line by line. Same input, same bytes. */
export async function buildInitrd(input: InitrdInput): Promise<string[]> {
  const output = checkOutput(input.output);
  const { text: control, control: declared } = readControlInput(`--control ${input.control}`, input.control);
  const architecture = input.architecture ?? programArchitecture(`--executable ${input.executable}`, input.executable);
  refuseOtherProgram(`--executable ${input.executable}`, input.executable, architecture, `--arch says ${architecture}`);
  refuseOtherProgram(`--preinit ${input.preinit}`, input.preinit, architecture, `the initrd is to be for ${architecture}`);
  const sysroot = new Sysroot(input.sysroot);
  if (!existsSync(input.modules)) throw new BadInput(`--modules ${input.modules} does not exist`);
  const directory = readModuleDirectory(input.modules);
  const kernel = posix.basename(realpathSync(input.modules));
  const { network, media, factory, request } = declared.recovery;
  const needs = {
    network: network.mode !== "off",
    media: media || factory !== null,
    loader: request !== null || storeDevices(declared.bootRecord).some(({ isFilesystem }) => isFilesystem),
  };
  const selection = selectModules(directory, kernel, architecture, input.named, needs);
  if (declared.trust.mode === "signed" && !selection.verity) {
    throw new BadInput(
      `kernel ${kernel} has no dm_verity, and the control file trusts signed images only; take a kernel with CONFIG_DM_VERITY`,
    );
  }
  refuseWithoutMaker(declared, input.extra);
  const modules = new Map<string, Uint8Array>();
  for (const { name, path } of selection.files) {
    const content = await readModule(`${input.modules}/${path}`);
    refuseOtherMachine(`the kernel module ${input.modules}/${path}`, content, architecture);
    modules.set(name, content);
  }
  const inRuntime = (path: string): string => path.replace(/^\/runtime/, "");
  const files: RuntimeFile[] = [
    { path: EXECUTABLE, source: input.executable, mode: 0o755 },
    { path: inRuntime(MODULES.index), source: new TextEncoder().encode(writeModuleIndex(selection.index)), mode: 0o644 },
    ...[...modules].map(([name, source]) => ({ path: inRuntime(`${MODULES.directory}/${name}`), source, mode: 0o644 })),
    ...(input.debug ? [debugShell(sysroot, architecture)] : []),
    ...input.extra.map((words) => extraFile(words, architecture)),
  ];
  const preinit = readInput(`--preinit ${input.preinit}`, input.preinit);
  const preinitModules = selection.preinit.map((name) => ({ name, content: modules.get(name) ?? new Uint8Array(0) }));
  const hot = takeHotPages(input, architecture);
  let size = 0;
  await replaceFile(output, async (file, scratch) => {
    const whole = runtimeFiles(files, sysroot);
    const content = hot === null ? whole : withHotPages(whole, hot.program);
    const blockSize = input.blockSize ?? (hot === null ? BLOCK_SIZE.touched : BLOCK_SIZE.cold);
    const runtime = await makeRuntimeImage(content, { level: input.level, blockSize }, scratch);
    const ahead = selection.index.load.filter((name) => !selection.preinit.includes(name));
    const parts = { version, architecture, preinit, control, modules: preinitModules, ahead, runtime, hot: hot?.file ?? null };
    const pieces = writeCpio(initrdEntries(parts));
    writePieces(file, pieces);
    size = pieces.reduce((sum, piece) => sum + piece.length, 0);
  });
  return [
    ...(selection.absent.length > 0 ? [`left out, kernel ${kernel} has them not: ${selection.absent.join(", ")}`] : []),
    ...(input.hot !== null && hot === null ? [withoutList(input.executable)] : []),
    `${input.output}: ${size} bytes (${(size / 2 ** 20).toFixed(1)} MiB), ${architecture}, kernel ${kernel}, ${modules.size} modules`,
  ];
}

/** The executable in two; null where it is to stay whole, or no list is for it. */
function takeHotPages(input: InitrdInput, architecture: Architecture): { program: HotProgram; file: Uint8Array } | null {
  if (input.hot === null) return null;
  const { interpreter, lists } = input.hot;
  const executable = readInput(`--executable ${input.executable}`, input.executable);
  const linker = readElf(executable).interpreter;
  const runs = hotPagesOf(executable, lists);
  if (runs === null || linker === null) return null;
  refuseOtherProgram(`the interpreter ${interpreter}`, interpreter, architecture, `the initrd is to be for ${architecture}`);
  const { cold, hot } = splitExecutable(executable, runs);
  const program = { path: EXECUTABLE, cold, linker, interpreter: readInput(`the interpreter ${interpreter}`, interpreter) };
  return { program, file: hot };
}

function withoutList(executable: string): string {
  return `no list says what a boot touches of the runtime in ${executable}: it starts slower; npm run trace-start makes one`;
}

/** A machine finds out only when its disk is empty. */
function refuseWithoutMaker({ data }: ControlFile, extra: readonly string[]): void {
  if (data === null || !data.create) return;
  const maker = MAKERS[data.filesystem];
  if (maker.programs.some((program) => extra.some((words) => words.startsWith(`${program}=`)))) return;
  throw new BadInput(`the control file has the data filesystem made where it is missing; ${missingMaker(maker)}`);
}

/** A kernel module as the kernel wants it, whatever it is compressed with in the directory. */
async function readModule(path: string): Promise<Uint8Array> {
  if (!existsSync(path)) throw new BadInput(`${path} is in modules.dep but does not exist; run depmod again`);
  if (path.endsWith(".xz")) return runHostProgram("xz", ["--decompress", "--stdout", path]);
  if (path.endsWith(".zst")) return runHostProgram("zstd", ["--decompress", "--quiet", "--stdout", path]);
  return path.endsWith(".gz") ? gunzipSync(readFileSync(path)) : readFileSync(path);
}

function debugShell(sysroot: Sysroot, architecture: Architecture): RuntimeFile {
  const source = sysroot.find(BUSYBOX);
  if (source === null) {
    throw new BadInput(`--debug needs ${BUSYBOX}, which does not exist${sysroot.within}; install Debian's busybox-static`);
  }
  refuseOtherMachine(`--debug needs busybox; ${source}`, readFileSync(source), architecture);
  return { path: "/usr/bin/busybox", source, mode: 0o755 };
}

function extraFile(words: string, architecture: Architecture): RuntimeFile {
  const at = words.indexOf("=");
  const [path, source] = [words.slice(0, at), words.slice(at + 1)];
  if (at < 1 || source === "" || !path.startsWith("/") || path.endsWith("/") || posix.normalize(path) !== path) {
    throw new BadInput(`--extra wants PATH=FILE with an absolute PATH, got "${words}"`);
  }
  const { mode } = regularFile(`--extra ${words}`, source);
  refuseOtherMachine(`--extra ${words}`, readInput(`--extra ${words}`, source), architecture);
  return { path, source, mode: mode & 0o777 };
}

function readHotPages(path: string): HotPageList {
  return parseHotPages(`--hot-pages ${path}`, new TextDecoder().decode(readInput(`--hot-pages ${path}`, path)));
}

export const verb: Verb = {
  help: `
Usage: slipway initrd build --control FILE --modules DIRECTORY [OPTION]… -o FILE

Writes an initrd: an uncompressed cpio archive with preinit, the control file, kernel modules, and one squashfs that
holds the slipway executable and its libraries. Needs mksquashfs. Same input, same bytes.

  --control FILE        control file of the machine, from slipway state compile
  --modules DIRECTORY   lib/modules/VERSION of the kernel it is for, with depmod's files
  --module NAME         a module to load at every boot, and what it needs; may be repeated. Without it, a default set
                        for most disks and filesystems, of which a boot loads what the hardware and the mounts ask for.
                        Where the control file's recovery uses a network or media, drivers for those are there in any case
  --extra PATH=FILE     puts FILE, and the libraries it needs, at PATH in the runtime; may be repeated
  --debug               puts busybox into it, for rd.break and rd.shell
  --arch ARCHITECTURE   x86-64 or arm64 (default: that of the executable): modules, preinit and extra files have to be for it
  --executable FILE     the compiled slipway (default: this one; for another --arch the one in ARCHITECTURE/ beside it)
  --preinit FILE        the compiled preinit (default: the one in this executable; for another --arch the one beside its executable)
  --hot-pages FILE      a list of the executable's pages that a boot touches, from npm run trace-start, which are then laid
                        together outside of the squashfs; or none (default: the list for the runtime in the executable)
  --sysroot DIRECTORY   take libraries, and busybox for --debug, from this unpacked root: for another machine than this one,
                        the tree that its image is made of (default: /)
  --level N             zstd level of the squashfs, 1 to 22 (default 19: 15 is 7 % larger in a third of the time, 22 saves nothing more)
  -o, --output FILE     where to write it`,
  options: {
    control: { type: "string" },
    modules: { type: "string" },
    module: { type: "string", multiple: true },
    extra: { type: "string", multiple: true },
    debug: { type: "boolean" },
    arch: { type: "string" },
    "hot-pages": { type: "string" },
    sysroot: { type: "string" },
    executable: { type: "string" },
    preinit: { type: "string" },
    level: { type: "string" },
    output: { type: "string", short: "o" },
  },
  positionals: [],
  async run(values) {
    const required = (name: string) => requiredOption("initrd build", values, name);
    const level = text(values, "level") ?? "19";
    if (!/^\d+$/.test(level) || Number(level) < 1 || Number(level) > 22) {
      throw new BadInput(`--level is 1 to 22, got "${level}"`);
    }
    const arch = text(values, "arch");
    const architecture = arch === undefined ? null : parseArchitecture(arch);
    const asked = { architecture, executable: text(values, "executable") ?? null, preinit: text(values, "preinit") ?? null };
    const { executable, preinit, interpreter } = chooseFiles(asked);
    const list = text(values, "hot-pages");
    const lines = await buildInitrd({
      control: required("control"),
      modules: required("modules"),
      named: texts(values, "module"),
      extra: texts(values, "extra"),
      debug: flag(values, "debug"),
      architecture,
      executable,
      preinit,
      hot: list === "none" ? null : { interpreter, lists: list === undefined ? ownHotPages() : [readHotPages(list)] },
      sysroot: text(values, "sysroot") ?? "/",
      blockSize: null,
      level: Number(level),
      output: required("output"),
    });
    for (const line of lines) console.log(line);
    return 0;
  },
};
