/** A tree of our own to make an image of: the user's is never changed. */
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BadInput } from "../../../state-ops/outcome.ts";
import { runHostProgram } from "../program.ts";
import { CONTROL_IN_IMAGE } from "./look-into.ts";

/**
 * Copies `root` into the new directory `tree`, with owners, modes, times, attributes and hard links; sharing its blocks where
 * the filesystem can.
 */
export async function copyTree(root: string, tree: string): Promise<void> {
  needRoot("a copy of the tree, to put files in,");
  mkdirSync(tree);
  const kept = "--preserve=mode,ownership,timestamps,links,xattr";
  await runHostProgram("cp", ["--recursive", "--no-dereference", kept, "--reflink=auto", `${root}/.`, tree]);
}

/** Unpacks the archive `tar` into the new directory `tree`. */
export async function unpackTar(tar: string, tree: string): Promise<void> {
  needRoot("a tree unpacked from --tar");
  mkdirSync(tree);
  chmodSync(tree, 0o755);
  const began = lstatSync(tree).mtimeMs; // by the filesystem's clock, which is behind the wall's by some milliseconds
  const attributes = ["--xattrs", "--xattrs-include=*", "--acls"];
  const words = ["--extract", "--numeric-owner", "--same-owner", "--same-permissions", ...attributes];
  await runHostProgram("tar", [...words, "--directory", tree, "--file", tar]);
  settleTimes(Buffer.from(tree), began);
}

/** Puts the control file into `tree`: see {@link putFile}. */
export function putControl(tree: string, text: string): void {
  putFile(tree, CONTROL_IN_IMAGE, text);
}

/**
 * Puts a file into `tree`. It and the directories made for it get the time of the directory that was there, which keeps its own:
 * when an image was made changes nothing in it.
 *
 * @throws BadInput where the way to it leads through a link, which could lead out of the tree
 */
export function putFile(tree: string, path: string, content: string | Uint8Array): void {
  const names = path.split("/");
  const above = names.slice(0, -1).map((_, index) => join(tree, ...names.slice(0, index + 1)));
  const odd = above.find((directory) => lstatSync(directory, { throwIfNoEntry: false })?.isDirectory() === false);
  if (odd !== undefined) {
    const what = path === CONTROL_IN_IMAGE ? "the control file" : "what is put into it";
    throw new BadInput(`${odd.slice(tree.length)} of the tree is no directory; make it one, ${what} lies at ${path}`);
  }
  const missing = above.filter((directory) => !existsSync(directory));
  const there = above[above.length - missing.length - 1] ?? tree;
  const { mtimeMs } = lstatSync(there);
  const file = join(tree, path);
  for (const directory of missing) {
    mkdirSync(directory);
    chmodSync(directory, 0o755);
  }
  rmSync(file, { force: true });
  writeFileSync(file, content);
  chmodSync(file, 0o644);
  for (const touched of [there, ...missing, file]) utimesSync(touched, mtimeMs / 1000, mtimeMs / 1000);
}

function needRoot(what: string): void {
  if (process.getuid?.() === 0) return;
  throw new BadInput(`${what} keeps its owners only where root makes it; run this as root or under fakeroot`);
}

/**
 * Directories that the archive does not name were made just now: they get the time of the youngest thing in them, so that the
 * same archive gives the same tree.
 */
function settleTimes(directory: Buffer, began: number): number {
  let youngest = 0;
  for (const name of readdirSync(directory, { encoding: "buffer" })) {
    const path = Buffer.concat([directory, Buffer.from("/"), name]);
    const stats = lstatSync(path);
    youngest = Math.max(youngest, stats.isDirectory() ? settleTimes(path, began) : stats.mtimeMs);
  }
  const { mtimeMs } = lstatSync(directory);
  if (mtimeMs < began) return mtimeMs;
  utimesSync(directory, youngest / 1000, youngest / 1000);
  return youngest;
}
