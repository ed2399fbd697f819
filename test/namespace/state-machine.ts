/** What the state tests work on: filesystems on loop devices, trees to compare, a kernel whose power fails. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { MNT, MS, O } from "../../init/kernel/constants.ts";
import type { Descriptor, Kernel, Path } from "../../init/kernel/kernel.ts";
import { linuxKernel } from "../../init/kernel/linux.ts";
import { procPath, withDescriptor } from "../../init/state/beneath.ts";
import { mountDataFilesystem } from "../../init/state/data-filesystem.ts";
import type { DataFilesystem } from "../../state-ops/control.ts";
import "./own-mounts.ts";

export const kernel = linuxKernel();
export const filesystems: DataFilesystem[] = ["ext4", "xfs", "btrfs"];
export const scratch = mkdtempSync(`${tmpdir()}/slipway-state-`);

/** mkfs.xfs makes nothing smaller than 300 MB. */
const sizes = { ext4: 64, xfs: 320, btrfs: 128 };
const loops = new Set<string>();
const mounts = new Set<string>();

export function program(name: string, ...args: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(name, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${name} ${args.join(" ")}: ${error?.message ?? stderr}`);
  return stdout.trim();
}

/** A file with an empty filesystem in it. */
export function makeFilesystem(type: DataFilesystem, file = `${scratch}/${type}.disk`): string {
  writeFileSync(file, "");
  truncateSync(file, sizes[type] * 1024 * 1024);
  program(`mkfs.${type}`, "-q", type === "ext4" ? "-F" : "-f", file);
  return file;
}

/** The loop device that shows `file`. */
export function attach(file: string, ...options: string[]): string {
  const device = program("losetup", "--find", "--show", ...options, file);
  loops.add(device);
  return device;
}

export function detach(device: string): void {
  program("losetup", "--detach", device);
  loops.delete(device);
}

/** A mounted data filesystem; `close` takes it away again. */
export function mountDisk(type: DataFilesystem, file: string): { data: Descriptor; place: string; close(): void } {
  const device = attach(file);
  const place = `${scratch}/mounted-${type}`;
  const data = mountDataFilesystem(kernel, device, type, place);
  mounts.add(place);
  const close = (): void => {
    kernel.close(data);
    unmountAll(place);
    detach(device);
  };
  return { data, place, close };
}

export function mountTmpfs(place: string, options = ""): void {
  mkdirSync(place, { recursive: true });
  kernel.mount("tmpfs", place, "tmpfs", MS.NOATIME, options);
  mounts.add(place);
}

/** Unmounts `place` and everything that is mounted below it. */
export function unmountAll(place: string): void {
  program("umount", "--recursive", place);
  mounts.delete(place);
}

/** Removes everything that the tests made; loop devices too where a test failed. */
export function cleanUp(): void {
  for (const place of [...mounts].reverse()) kernel.unmount(place, MNT.DETACH);
  // A test that failed half-way leaves mounts of its own, in the way of removing the directory.
  spawnSync("sh", ["-c", 'grep -o "$1[^ ]*" /proc/self/mountinfo | sort -r | xargs -r -n 1 umount --lazy', "sh", scratch]);
  for (const device of loops) spawnSync("losetup", ["--detach", device]);
  if (existsSync(scratch)) rmSync(scratch, { recursive: true });
}

/** The real kernel, and the descriptors that were opened through it and not closed. */
export function countingKernel(): { kernel: Kernel; open: Set<Descriptor> } {
  const open = new Set<Descriptor>();
  const counting = new Proxy(kernel, {
    get(target, name) {
      const method: unknown = Reflect.get(target, name);
      if (typeof method !== "function") return method;
      return (...args: unknown[]): unknown => {
        const result: unknown = Reflect.apply(method, target, args);
        if (name === "open" && typeof result === "number") open.add(result);
        if (name === "close" && typeof args[0] === "number") open.delete(args[0]);
        return result;
      };
    },
  });
  return { kernel: counting, open };
}

/** Everything that can be seen of a tree, by path; two equal trees give equal values. Files with one inode share a number. */
export function look(root: Descriptor, name: Path): Record<string, unknown> {
  const seen: Record<string, unknown> = {};
  const inodes = new Map<bigint, number>();
  const visit = (at: Descriptor, entry: Path, path: string): void => {
    const status = kernel.statusAt(entry, at);
    const { kind, mode, owner, group, node, links, accessed, modified, inode } = status;
    if (!inodes.has(inode)) inodes.set(inode, inodes.size);
    const place = procPath(at, entry);
    const attributes = Object.fromEntries(
      kernel.listAttributes(place).map((key) => [key, Buffer.from(kernel.getAttribute(place, key)).toString("hex")]),
    );
    const content = kind === "file" ? readAll(at, entry) : kind === "symlink" ? kernel.readLink(entry, at) : null;
    seen[path] = {
      ...{ kind, mode, owner, group, node, accessed, modified, attributes, same: inodes.get(inode) },
      links: kind === "directory" ? 0 : links,
      content: content === null ? "" : createHash("sha256").update(content).digest("hex"),
    };
    if (kind !== "directory") return;
    withDirectoryNamed(at, entry, (fd) => {
      for (const child of kernel.readDirectory(fd))
        visit(fd, child.name, `${path}/${Buffer.from(child.name).toString("latin1")}`);
    });
  };
  visit(root, name, ".");
  return seen;
}

/** Starts and ends of the data in a file, in bytes. */
export function extents(at: Descriptor, name: Path): [bigint, bigint][] {
  return withDescriptor(
    kernel,
    () => kernel.open(name, O.RDONLY, { at }),
    (fd) => {
      const found: [bigint, bigint][] = [];
      for (let data = kernel.seekData(fd, 0n); data !== null; data = kernel.seekData(fd, found.at(-1)?.[1] ?? 0n)) {
        found.push([data, kernel.seekHole(fd, data)]);
      }
      return found;
    },
  );
}

function readAll(at: Descriptor, name: Path): Uint8Array {
  const open = () => kernel.open(name, O.RDONLY | O.NOFOLLOW, { at });
  return withDescriptor(kernel, open, (fd) => kernel.read(fd, Number(kernel.status(fd).size), 0n));
}

function withDirectoryNamed(at: Descriptor, name: Path, use: (fd: Descriptor) => void): void {
  withDescriptor(kernel, () => kernel.open(name, O.RDONLY | O.DIRECTORY | O.NOFOLLOW, { at }), use);
}

/** The power failed; no call does anything any more. */
export class PowerCut extends Error {}

const effects = new Set<PropertyKey>(
  "write sync syncFilesystem truncate copyRange makeDirectory makeNode makeSymlink makeHardLink rename remove ioctl".split(" "),
);
for (const name of ["changeOwner", "changeMode", "changeTimes", "setAttribute", "removeAttribute"]) effects.add(name);

/** The real kernel until `count` effects have happened; then the power fails. `effects()` tells how many there were. */
export function failingKernel(count: number): { kernel: Kernel; effects(): number } {
  let done = 0;
  const failing = new Proxy(kernel, {
    get(target, name) {
      const method: unknown = Reflect.get(target, name);
      if (typeof method !== "function") return method;
      return (...args: unknown[]): unknown => {
        // The kernel closes what a dead process had open, and its mask goes with it.
        if (name !== "close" && name !== "umask") {
          if (done >= count && effects.has(name)) done = Number.POSITIVE_INFINITY;
          if (done === Number.POSITIVE_INFINITY) throw new PowerCut("the power failed");
          if (effects.has(name)) done++;
        }
        return Reflect.apply(method, target, args);
      };
    },
  });
  return { kernel: failing, effects: () => done };
}

/**
 * The real kernel but for the call of number `at`, from 0, of those that `counts` says: there the power fails, and what comes after
 * that is the test's own cleaning up. -1: they are counted only.
 */
export function kernelCutAt(
  at: number,
  counts: (name: PropertyKey, args: readonly unknown[]) => boolean,
): { kernel: Kernel; counted(): number } {
  let counted = 0;
  const cut = new Proxy(kernel, {
    get(target, name) {
      const method: unknown = Reflect.get(target, name);
      if (typeof method !== "function") return method;
      return (...args: unknown[]): unknown => {
        if (counts(name, args) && counted++ === at) throw new PowerCut("the power failed");
        return Reflect.apply(method, target, args);
      };
    },
  });
  return { kernel: cut, counted: () => counted };
}
