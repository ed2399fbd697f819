import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { guestArchitecture, hostArchitecture } from "./architecture.ts";
import { guestKernel, type KernelFlavour } from "./kernel.ts";
import { makeOnce } from "./lock.ts";
import { cache, dist, guestDist, project } from "./places.ts";
import { runProgram } from "./program.ts";
import { sysroot } from "./sysroot.ts";

/** Runs a verb of the built executable on the host and returns what it printed. Throws with its errors when it fails. */
export function slipway(words: string[]): Promise<string> {
  if (!existsSync(`${dist}/slipway`)) throw new Error(`${dist}/slipway does not exist; run npm run build`);
  return runProgram(`${dist}/slipway`, words);
}

let built: string | undefined;

const makers = ["debian", "demo-machine", "foreign-debian", "images", "product", "seal", "tree"];

/** A hash of what the build wrote, for host and guests, and of how qemu/ makes images of it: what is made is kept under it. */
function productHash(): string {
  if (built === undefined) {
    const hash = createHash("sha256");
    for (const directory of new Set([dist, guestDist()]))
      for (const name of ["slipway", "preinit", "rootfs.tar"]) hash.update(readFileSync(`${directory}/${name}`));
    for (const name of makers) hash.update(readFileSync(`${project}/qemu/${name}.ts`));
    built = hash.digest("hex");
  }
  return built;
}

const keptMs = 6 * 3600 * 1000;

/** Removes what was not used for hours, so that a day of builds does not fill the disk. */
function removeOld(directory: string): void {
  for (const name of existsSync(directory) ? readdirSync(directory) : []) {
    const status = statSync(`${directory}/${name}`, { throwIfNoEntry: false });
    if (status && Date.now() - status.mtimeMs > keptMs) rmSync(`${directory}/${name}`, { recursive: true, force: true });
  }
}

/**
 * A directory that `make` fills, kept in .cache/made as long as the built executable, qemu/ and `inputs` stay the same.
 * @param kind begins its name: "initrd"
 */
export function madeOf(kind: string, inputs: unknown, make: (directory: string) => Promise<void>): Promise<string> {
  return keptOf(kind, [productHash(), inputs], make);
}

/** The same of what no build of ours changes: kept as long as `inputs` stay the same. */
export async function keptOf(kind: string, inputs: unknown, make: (directory: string) => Promise<void>): Promise<string> {
  const hash = createHash("sha256").update(JSON.stringify(inputs)).digest("hex").slice(0, 20);
  const path = `${cache}/made/${kind}-${hash}`;
  if (!existsSync(path)) removeOld(dirname(path));
  await makeOnce(path, make);
  utimesSync(path, new Date(), new Date());
  return path;
}

/**
 * Compiles a control file for an image's tree.
 * @param system text of system.yaml
 * @param fragments more fragments, by file name: the tree's own are read in any case
 * @param beside files that the definition names, by file name
 */
export async function compileControl(
  system: string,
  tree: string,
  output: string,
  fragments: Record<string, string> = {},
  beside: Record<string, string> = {},
): Promise<void> {
  const scratch = mkdtempSync(join(tmpdir(), "slipway-compile-"));
  try {
    for (const [name, content] of Object.entries({ ...beside, "system.yaml": system })) {
      writeFileSync(`${scratch}/${name}`, content);
    }
    const words = ["state", "compile", "--system", `${scratch}/system.yaml`, "--root", tree, "-o", output];
    mkdirSync(`${scratch}/fragments`);
    for (const [name, content] of Object.entries(fragments)) writeFileSync(`${scratch}/fragments/${name}`, content);
    if (Object.keys(fragments).length > 0) words.push("--fragments", `${scratch}/fragments`);
    await slipway(words);
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

export interface InitrdOptions {
  /** Adds busybox, for rd.break and rd.shell. */
  debug?: boolean;
  /** Modules to load at every boot instead of the default set. */
  modules?: string[];
  /** Programs for the runtime image, path there to path in the sysroot: see {@link sysroot}. */
  extra?: Record<string, string>;
  /** The kernel that it is for: default "cloud". */
  flavour?: KernelFlavour;
}

/** Words by which a verb of the host's executable builds for guests of another architecture. */
export async function foreignWords(): Promise<string[]> {
  if (guestArchitecture === hostArchitecture) return [];
  return ["--arch", guestArchitecture, "--sysroot", await sysroot()];
}

/** An initrd for `control`, a control file on the host, and the guests' kernel. Kept; compressed for soon, not for small. */
export async function initrdFor(control: string, options: InitrdOptions = {}): Promise<string> {
  const { modules, version } = await guestKernel(options.flavour);
  const directory = await madeOf("initrd", [readFileSync(control, "utf8"), modules, version, options], async (aside) => {
    const words = ["initrd", "build", "--control", control, "--modules", modules, "--level", "3", "-o", `${aside}/initrd`];
    for (const name of options.modules ?? []) words.push("--module", name);
    for (const [path, file] of Object.entries(options.extra ?? {})) words.push("--extra", `${path}=${await sysroot()}${file}`);
    if (options.debug) words.push("--debug");
    words.push(...(await foreignWords()));
    await slipway(words);
  });
  return `${directory}/initrd`;
}
