import { createHash } from "node:crypto";
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
  writeFileSync,
} from "node:fs";
import { project } from "../../qemu/places.ts";
import { runProgram } from "../../qemu/program.ts";
import { oneFileSquashfs } from "./one-file-squashfs.ts";
import { buildStatic } from "./static-program.ts";
import type { Target } from "./target.ts";

/**
 * Measured on the executable: 15 of zstd's 22 levels weighs 0.7 % more than 19 and takes half the time; blocks of 64 KiB weigh
 * 4 % more and start 10 ms sooner, of 256 KiB 3 % less and 10 ms later.
 */
const packing = { blockSize: 128 << 10, level: 15 };

/**
 * The squashfs from which init/launcher starts the executable in a running system: it holds nothing but NAME/slipway, where NAME
 * follows from the executable's bytes. Made again when those change.
 */
async function runtimeImage(dist: string): Promise<{ name: string; file: string }> {
  const content = readFileSync(`${dist}/slipway`);
  const hash = createHash("sha256").update(content);
  for (const source of ["rootfs.ts", "one-file-squashfs.ts"]) hash.update(readFileSync(`${import.meta.dirname}/${source}`));
  const name = hash.digest("hex").slice(0, 16);
  const file = `${dist}/.runtime-${name}.squashfs`;
  if (existsSync(file)) return { name, file };
  const image = await oneFileSquashfs({ directory: name, name: "slipway", content, mode: 0o755, ...packing });
  for (const other of readdirSync(dist)) if (other.startsWith(".runtime-")) rmSync(`${dist}/${other}`, { recursive: true });
  writeFileSync(`${dist}/.runtime-new`, image);
  renameSync(`${dist}/.runtime-new`, file);
  return { name, file };
}

/** Gives directories mode 755, files 644, and leaves symbolic links alone. */
function plainModes(path: string): void {
  const status = lstatSync(path);
  if (status.isSymbolicLink()) return;
  chmodSync(path, status.isDirectory() ? 0o755 : 0o644);
  if (status.isDirectory()) for (const name of readdirSync(path)) plainModes(`${path}/${name}`);
}

/** The executable, its launcher, units and fragments as they lie in an image. */
export async function buildRootfs(target: Target, seconds: number): Promise<string> {
  const { dist } = target;
  const { name, file: runtime } = await runtimeImage(dist);
  await buildStatic(target, "launcher", { RUNTIME: name });
  await buildStatic(target, "system-shutdown", {});
  const tree = mkdtempSync(`${dist}/.rootfs-`);
  const said: string[] = [];
  try {
    for (const [from, to] of [
      ["init/units", "usr/lib/systemd/system"],
      ["init/presets", "usr/lib/systemd/system-preset"],
      ["state-ops/fragments", "usr/share/slipway/state.d"],
      ["state-ops/fragments/optional", "usr/share/slipway/fragments"],
    ] as const) {
      const names = readdirSync(`${project}/${from}`).filter((name) => name !== "optional");
      mkdirSync(`${tree}/${to}`, { recursive: true });
      for (const name of names) {
        cpSync(`${project}/${from}/${name}`, `${tree}/${to}/${name}`, { recursive: true, verbatimSymlinks: true });
      }
      said.push(`${names.length} from ${from}`);
    }
    plainModes(tree);
    mkdirSync(`${tree}/usr/bin`);
    cpSync(`${dist}/launcher`, `${tree}/usr/bin/slipway`);
    chmodSync(`${tree}/usr/bin/slipway`, 0o755);
    mkdirSync(`${tree}/usr/lib/systemd/system-shutdown`);
    cpSync(`${dist}/system-shutdown`, `${tree}/usr/lib/systemd/system-shutdown/slipway`);
    chmodSync(`${tree}/usr/lib/systemd/system-shutdown/slipway`, 0o755);
    mkdirSync(`${tree}/usr/lib/slipway`);
    cpSync(runtime, `${tree}/usr/lib/slipway/runtime.squashfs`);
    chmodSync(`${tree}/usr/lib/slipway/runtime.squashfs`, 0o644);
    for (const script of readdirSync(`${project}/init/rauc`)) {
      cpSync(`${project}/init/rauc/${script}`, `${tree}/usr/lib/slipway/${script}`);
      chmodSync(`${tree}/usr/lib/slipway/${script}`, 0o755);
    }
    const same = ["--format=gnu", "--sort=name", `--mtime=@${seconds}`, "--owner=root:0", "--group=root:0", "--numeric-owner"];
    await runProgram("tar", ["--create", ...same, `--file=${dist}/.rootfs.tar`, `--directory=${tree}`, "usr"]);
    renameSync(`${dist}/.rootfs.tar`, `${dist}/rootfs.tar`);
  } finally {
    rmSync(tree, { recursive: true, force: true });
  }
  return `${statSync(`${dist}/rootfs.tar`).size} bytes: the executable in ${statSync(runtime).size}, ${said.join(", ")}`;
}
