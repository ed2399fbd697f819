/** Trees with one of everything that an image has to keep, and what images have of them. */
import {
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { linuxKernel } from "../../init/kernel/linux.ts";
import { randomNumbers } from "../samples/random.ts";
import type { Desk } from "../unit/builder-desk.ts";

const kernel = linuxKernel();

/** Modification time of everything in a tree, but for usr/lib/file-10, which is older. */
export const time = 1_700_000_000;
/** What --system and --version say. */
export const labels = ["--system", "acme", "--version", "1.0"];
/** Where an image has its control file. */
export const control = "usr/lib/slipway/control.json";

/** A path in the tree `root`; names are bytes, one character each. */
function at(root: string, path: string): Buffer {
  return Buffer.concat([Buffer.from(`${root}/`), Buffer.from(path, "latin1")]);
}

/** Paths of everything below `root`, parents first. */
function below(root: string, path = ""): string[] {
  const names = readdirSync(at(root, path), { encoding: "buffer" }).map((name) => name.toString("latin1"));
  return names.sort().flatMap((name) => {
    const inner = path === "" ? name : `${path}/${name}`;
    return lstatSync(at(root, inner)).isDirectory() ? [inner, ...below(root, inner)] : [inner];
  });
}

/** What of everything below `root` an image has to keep. */
export function facts(root: string): Map<string, unknown> {
  const inodes = new Map<bigint, string>();
  return new Map(
    ["", ...below(root)].map((path) => {
      const file = at(root, path);
      const { kind, mode, owner, group, modified, inode, size } = kernel.statusAt(file);
      const first = inodes.get(inode) ?? path;
      inodes.set(inode, first);
      const attributes = kernel.listAttributes(file).sort();
      const values = attributes.map((name) => [name, Buffer.from(kernel.getAttribute(file, name)).toString("hex")]);
      const content = kind === "file" ? Bun.hash(readFileSync(file)).toString() : null;
      const target = kind === "symlink" ? Buffer.from(kernel.readLink(file)).toString() : null;
      const bytes = kind === "file" ? size : 0n;
      return [path, { kind, mode, owner, group, modified, first, values, content, target, bytes }];
    }),
  );
}

/** Text that compresses to about half. */
export function textOf(random: () => number): (lines: number) => string {
  return (lines) => Array.from({ length: lines }, () => `${Math.floor(random() * 1e9)}\n`.repeat(3)).join("");
}

/** A tree with one of each: owners, modes, attributes, links, a hole, devices' kin, names that are no UTF-8. Made in that order. */
export function makeTree(root: string, order: "forward" | "backward" = "forward"): void {
  const text = textOf(randomNumbers(5));
  const files: [string, string][] = Array.from({ length: 60 }, (_, index) => [`usr/lib/file-${index}`, text(index * 60)]);
  files.push(
    ["usr/lib/os-release", "ID=acme\n"],
    ["etc/machine-id", ""],
    ["sbin/init", "#!/bin/sh\n"],
    ["etc/passwd", "root:x:0:0::/:/x\n"],
  );
  if (order === "backward") files.reverse();
  const directories = ["proc", "sys", "dev", "run", "usr/lib", "etc", "sbin", "var/lib", "usr/lib/modules/6.1.0"];
  for (const path of order === "forward" ? directories : directories.reverse()) mkdirSync(join(root, path), { recursive: true });
  for (const [path, content] of files) writeFileSync(join(root, path), content);
  chmodSync(join(root, "sbin/init"), 0o4755);
  chownSync(join(root, "usr/lib/file-3"), 1234, 4321);
  chmodSync(join(root, "usr/lib/file-4"), 0o640);
  linkSync(join(root, "usr/lib/file-5"), join(root, "etc/hard"));
  symlinkSync("/usr/lib/file-6", join(root, "etc/soft"));
  writeFileSync(join(root, "var/lib/hole"), "begin");
  truncateSync(join(root, "var/lib/hole"), 3_000_000);
  kernel.setAttribute(join(root, "usr/lib/file-7"), "user.note", Buffer.from("kept"));
  kernel.setAttribute(
    join(root, "usr/lib/file-8"),
    "security.capability",
    Buffer.from("0100000200200000000000000000000000000000", "hex"),
  );
  kernel.setAttribute(join(root, "usr/lib/file-9"), "trusted.note", Buffer.from("kept too"));
  kernel.makeNode(at(root, "var/lib/\xff"), "fifo", 0o600, { major: 0, minor: 0 });
  const nanoseconds = BigInt(time) * 10n ** 9n;
  for (const path of [...below(root).reverse(), ""]) kernel.changeTimes(at(root, path), nanoseconds, nanoseconds);
  utimesSync(join(root, "usr/lib/file-10"), time - 1000, time - 1000);
}

/** Unpacks or mounts the filesystem of an image with the field's tools, and says where; {@link release} takes it back. */
export function unpacked(desk: Desk, image: string, type: "erofs" | "squashfs"): string {
  const name = `${image}.unpacked`;
  rmSync(desk.path(name), { recursive: true, force: true });
  if (type === "erofs") {
    mkdirSync(desk.path(`${name}.mount`), { recursive: true });
    desk.host("mount", "-t", "erofs", "-o", "ro,loop", image, `${name}.mount`);
    return `${name}.mount`;
  }
  desk.host("unsquashfs", "-quiet", "-no-progress", "-dest", name, image);
  return name;
}

export function release(desk: Desk, name: string): void {
  if (name.endsWith(".mount")) desk.host("umount", name);
}
