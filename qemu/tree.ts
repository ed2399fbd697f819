import { chmodSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import { librariesOf } from "../init/builder/initrd/libraries.ts";
import { Sysroot } from "../init/builder/initrd/sysroot.ts";
import { guestDist } from "./places.ts";
import { runProgram } from "./program.ts";
import { sysroot } from "./sysroot.ts";

/** Files to put into a tree, by absolute path: their content, and where it matters their mode. */
export type TreeFiles = Record<string, string | { content: string; mode: number }>;

/** Writes `files` below `tree`, making directories as needed. */
export function writeFiles(tree: string, files: TreeFiles): void {
  for (const [path, file] of Object.entries(files)) {
    const { content, mode } = typeof file === "string" ? { content: file, mode: 0o644 } : file;
    mkdirSync(dirname(`${tree}${path}`), { recursive: true });
    writeFileSync(`${tree}${path}`, content);
    chmodSync(`${tree}${path}`, mode);
  }
}

/** Unpacks what the build wrote for the guests (executable, units, fragments) into `tree`, as a user does with an image of their own. */
export async function addSlipway(tree: string): Promise<void> {
  await runProgram("tar", ["--extract", "--keep-directory-symlink", "--directory", tree, "--file", `${guestDist()}/rootfs.tar`]);
}

/** Takes optional fragments of the library into `tree`, which has slipway already, as an integrator does. */
export function takeFragments(tree: string, names: readonly string[]): void {
  const share = `${tree}/usr/share/slipway`;
  for (const name of names) cpSync(`${share}/fragments/${name}.yaml`, `${share}/state.d/${name}.yaml`);
}

/** Copies the libraries that `program` is linked with into `tree`, to where its dynamic linker looks for them. */
export async function addLibraries(tree: string, program: string): Promise<void> {
  for (const { path, source } of librariesOf([program], new Sysroot((await sysroot()) || "/"))) {
    if (existsSync(`${tree}${path}`)) continue;
    mkdirSync(dirname(`${tree}${path}`), { recursive: true });
    cpSync(source, `${tree}${path}`, { dereference: true });
  }
}

/** Modules that a virtual machine's system may want after the handover; the rest of Debian's is left out for its size. */
const guestModules = ["fs", "crypto", "lib", "block", "arch/x86/crypto", "arch/arm64/crypto", "net/packet", "net/unix"];
const guestDrivers = ["block", "char", "dax", "md", "nvme", "rtc", "scsi", "virtio", "watchdog", "firmware"];

/** Puts those modules of the lib/modules/VERSION directory `modules` that a virtual machine needs below `tree`. */
export async function addModules(tree: string, modules: string): Promise<void> {
  const version = basename(modules);
  const target = `${tree}/usr/lib/modules/${version}`;
  mkdirSync(`${target}/kernel`, { recursive: true });
  for (const name of readdirSync(modules)) {
    if (/^modules\.(order|builtin)/.test(name)) cpSync(`${modules}/${name}`, `${target}/${name}`);
  }
  for (const part of [...guestModules, ...guestDrivers.map((name) => `drivers/${name}`)]) {
    if (existsSync(`${modules}/kernel/${part}`))
      cpSync(`${modules}/kernel/${part}`, `${target}/kernel/${part}`, { recursive: true });
  }
  await runProgram("depmod", ["--basedir", `${tree}/usr`, version]);
}

/** The value of `name` in an os-release file of `tree`, "" where there is none. */
export function osRelease(tree: string, name: string): string {
  const text = readFileSync(`${tree}/usr/lib/os-release`, "utf8");
  return new RegExp(`^${name}="?([^"\n]*)`, "m").exec(text)?.[1] ?? "";
}
