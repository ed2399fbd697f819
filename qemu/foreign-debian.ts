/**
 * A Debian for another architecture than the host's. Its packages are resolved and unpacked here; their maintainer scripts,
 * which are programs of that architecture, run in a virtual machine of it.
 */
import { chmodSync, linkSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { aptIn } from "./apt.ts";
import type { AptFile } from "./apt-sources.ts";
import { consoleWord, guestArchitecture } from "./architecture.ts";
import { emptyFile } from "./images.ts";
import { guestKernel } from "./kernel.ts";
import { startMachine } from "./machine.ts";
import { runProgram } from "./program.ts";
import { smallRootTree } from "./roots.ts";
import { writeFiles } from "./tree.ts";
import { treeInitrd } from "./tree-initrd.ts";
import { unpackPackages } from "./unpack-packages.ts";

export interface ForeignDebian {
  /** Beside apt and what is essential or required. */
  packages: readonly string[];
  /** Patterns of paths that dpkg leaves out: "/usr/share/doc/*". */
  leftOut: readonly string[];
  /** Shell lines that run in the end, on the host, with the tree as $1. */
  hooks: readonly string[];
  sources: readonly AptFile[];
}

const empty = ["etc", "proc", "sys", "dev", "run", "tmp", "var/tmp", "var/lib/dpkg"];

const diskBytes = 1536 * 1024 * 1024;
/** Where the tree has what only its making needs. */
const workshop = "/var/making";
const leftOutFile = "/etc/dpkg/dpkg.cfg.d/making";
/** Keeps services from being started; see invoke-rc.d(8). */
const policyFile = "/usr/sbin/policy-rc.d";

/** What is essential is installed as one: its packages need each other's programs, which are there as they are unpacked here. */
const install = `export DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true LC_ALL=C.UTF-8
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
set -e
cd ${workshop}
dpkg --force-unsafe-io --force-depends --install essential/*.deb
dpkg --force-unsafe-io --force-depends --install more/*.deb
dpkg --configure --pending
[ -z "$(dpkg --audit)" ]
`;

const installed = "all packages are installed";

/** The machine's script. NVMe and ext4 are built into Debian's cloud kernels for arm64. */
const script = `mount -t ext4 /dev/nvme0n1 /mnt
for place in proc sys dev; do mount -o bind /$place /mnt/$place; done
mount -t tmpfs tmpfs /mnt/run
chroot /mnt /bin/sh ${workshop}/install >/dev/console 2>&1 && say "${installed}"
umount /mnt/run /mnt/dev /mnt/sys /mnt/proc /mnt
`;

/** Writes the tar file `root.tar` in the directory `aside`. Takes some minutes; needs root. */
export async function foreignDebian(aside: string, debian: ForeignDebian): Promise<void> {
  const [tree, disk] = [`${aside}/tree`, `${aside}/disk`];
  await unpack(tree, `${aside}/apt`, debian);
  emptyFile(disk, diskBytes);
  await runProgram("mkfs.ext4", ["-q", "-F", "-d", tree, disk]);
  rmSync(tree, { recursive: true });
  await runScripts(disk);
  const copy = 'mount -o loop,ro "$1" /mnt && cp --archive /mnt "$2"';
  await runProgram("unshare", ["--mount", "--propagation", "private", "sh", "-c", copy, "sh", disk, tree]);
  for (const path of [workshop, "/lost+found", leftOutFile, policyFile]) rmSync(`${tree}${path}`, { recursive: true });
  for (const hook of debian.hooks) await runProgram("sh", ["-e", "-c", hook, "sh", tree]);
  const owners = ["--numeric-owner", "--xattrs", "--xattrs-include=*", "--sort=name"];
  await runProgram("tar", ["--create", ...owners, "--directory", tree, "--file", `${aside}/root.tar`, "."]);
}

/** Fills the directory `tree`: the files of the essential packages, and all packages for the machine to install. */
async function unpack(tree: string, directory: string, { packages, leftOut, sources }: ForeignDebian): Promise<void> {
  for (const name of empty) mkdirSync(`${tree}/${name}`, { recursive: true });
  for (const name of ["tmp", "var/tmp"]) chmodSync(`${tree}/${name}`, 0o1777);
  const files = {
    ...Object.fromEntries(sources.map(({ name, text }) => [aptPath(name), text])),
    "/var/lib/dpkg/status": "",
    [`${workshop}/install`]: install,
    [leftOutFile]: leftOut.map((path) => `path-exclude=${path}\n`).join(""),
    [policyFile]: { content: "#!/bin/sh\nexit 101\n", mode: 0o755 },
  };
  writeFiles(tree, files);
  const apt = await aptIn(guestArchitecture, directory, sources);
  const known = new Set<string>();
  const download = async (name: string, wanted: readonly string[]): Promise<string[]> => {
    const place = `${tree}${workshop}/${name}`;
    mkdirSync(place);
    await apt.get(["install", "--yes", "--no-install-recommends", "--download-only", ...wanted]);
    const archives = `${directory}/cache/archives`;
    const found = readdirSync(archives).filter((file) => file.endsWith(".deb") && !known.has(file));
    return found.map((file) => {
      known.add(file);
      linkSync(`${archives}/${file}`, `${place}/${file}`);
      return `${place}/${file}`;
    });
  };
  await unpackPackages(await download("essential", ["?essential"]), tree, leftOut);
  await download("more", ["?essential", "?priority(required)", "apt", ...packages]);
}

const aptPath = (name: string): string => `/etc/apt/${name === "sources.list" ? "" : "sources.list.d/"}${name}`;

/** Has the packages on the disk installed by a machine of their architecture. Throws with the end of what that said. */
async function runScripts(disk: string): Promise<void> {
  const directory = mkdtempSync(`${tmpdir()}/slipway-foreign-`);
  try {
    const tree = `${directory}/tree`;
    mkdirSync(tree);
    await smallRootTree(tree, { facts: "packages", ending: "power-off", script });
    renameSync(`${tree}/sbin/init`, `${tree}/init`);
    await treeInitrd(tree, `${directory}/initrd`);
    const { kernel } = await guestKernel();
    const machine = await startMachine({
      name: "foreign-debian",
      kernel,
      initrd: `${directory}/initrd`,
      append: `${consoleWord()} quiet`,
      memoryMiB: 1024,
      disks: [{ file: disk, interface: "nvme" }],
      noReboot: true,
      timeoutMs: 1_800_000,
    });
    await machine.expectResult(installed);
    await machine.exited;
  } finally {
    rmSync(directory, { recursive: true });
  }
}
