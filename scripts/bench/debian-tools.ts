/**
 * Initrds that Debian's own tools make. Each tool runs in a Debian of its own, for they conflict with each other, and the
 * host gets none of them.
 */
import { chmodSync, cpSync, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { debianTar } from "../../qemu/debian.ts";
import type { GuestKernel } from "../../qemu/kernel.ts";
import { keptOf } from "../../qemu/product.ts";
import { runProgram } from "../../qemu/program.ts";
import { type TreeFiles, writeFiles } from "../../qemu/tree.ts";

/** A tool of Debian that makes initrds. */
export interface DebianTool {
  /** Begins the name of what is kept. */
  name: string;
  /** Debian packages that bring it; the first one's version is told. */
  packages: readonly [string, ...string[]];
  /** What a user of it writes to have the bench's mounts, by path in its Debian. */
  files: TreeFiles;
  /** Shell words that make /initrd for the kernel "$1". */
  make: string;
}

export interface MadeInitrd {
  file: string;
  /** "dracut 059-4": package and version that made it. */
  by: string;
}

/** Runs `script` in the tree "$1" with /proc and the few devices that every program may want, all gone with its namespace. */
const inTree = `set -e
mount -t proc -o nosuid,nodev,noexec proc "$1/proc"
mount -t tmpfs -o mode=755 tmpfs "$1/dev"
for device in null zero full random urandom; do touch "$1/dev/$device"; mount --bind "/dev/$device" "$1/dev/$device"; done
ln -s /proc/self/fd "$1/dev/fd"
mount -t tmpfs tmpfs "$1/tmp"
exec chroot "$1" /bin/sh -e -c "$2" sh "$3"`;

/** Runs `script` as /bin/sh in the Debian at `tree`, with `word` as "$1". Needs root. */
function runInDebian(tree: string, script: string, word: string): Promise<string> {
  const namespace = ["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"];
  const environment = { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", TMPDIR: "/var/tmp", HOME: "/root" };
  return runProgram("unshare", [...namespace, "sh", "-c", inTree, "sh", tree, script, word], { environment, timeoutMs: 600_000 });
}

/**
 * Makes what `tool` makes for `kernel` with its own defaults. Needs root; about half a minute the first time, and as long
 * again for its Debian.
 */
export async function debianInitrd(tool: DebianTool, kernel: GuestKernel): Promise<MadeInitrd> {
  const tar = await debianTar(tool.packages);
  const { name, packages, files, make } = tool;
  const directory = await keptOf(`bench-${name}`, [tar, kernel, inTree, packages, files, make], async (aside) => {
    const tree = `${aside}/tree`;
    mkdirSync(tree);
    await runProgram("tar", ["--extract", "--numeric-owner", "--directory", tree, "--file", tar]);
    chmodSync(tree, 0o755);
    for (const place of ["proc", "dev", "tmp"]) mkdirSync(`${tree}/${place}`, { recursive: true });
    addKernel(tree, kernel);
    writeFiles(tree, files);
    await runInDebian(tree, make, kernel.version);
    const installed = await runInDebian(tree, 'dpkg-query --show "$1"', packages[0]);
    writeFileSync(`${aside}/by`, installed.trim().replace("\t", " "));
    renameSync(`${tree}/initrd`, `${aside}/initrd`);
    rmSync(tree, { recursive: true });
  });
  return { file: `${directory}/initrd`, by: await Bun.file(`${directory}/by`).text() };
}

/** The kernel as its package installs it: all its modules, and its configuration, which says what it can unpack. */
function addKernel(tree: string, { kernel, modules, version }: GuestKernel): void {
  mkdirSync(`${tree}/usr/lib/modules`, { recursive: true });
  cpSync(modules, `${tree}/usr/lib/modules/${version}`, { recursive: true });
  mkdirSync(`${tree}/boot`, { recursive: true });
  cpSync(kernel, `${tree}/boot/vmlinuz-${version}`);
  const config = `${dirname(kernel)}/config-${version}`;
  if (existsSync(config)) cpSync(config, `${tree}/boot/config-${version}`);
}
