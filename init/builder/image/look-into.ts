/** Files of a filesystem image, taken out with the field's tools: slipway itself mounts nothing on a builder. */
import { lstatSync, mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { ImageFilesystem } from "../../../boot/image/seal.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { reasonOf } from "../input.ts";
import { withScratch } from "../output.ts";
import { runHostProgram } from "../program.ts";
import { TELLING_PROGRAMS, type TreeProgram, treePrograms } from "./tree-machine.ts";

/** Where an image has its control file. */
export const CONTROL_IN_IMAGE = "usr/lib/slipway/control.json";

/** What there is to know of an image before it is sealed. */
export interface LookedInto {
  /** The text of its control file; null without one. */
  control: string | null;
  programs: TreeProgram[];
}

/** Looks into the filesystem image `file`; where its files cannot be read here, the reason. */
export async function lookInto(
  kernel: Kernel,
  file: string,
  type: ImageFilesystem,
  scratchIn: string,
): Promise<LookedInto | string> {
  try {
    return await withScratch(scratchIn, async (scratch) => {
      const tree = join(scratch, "tree");
      await takeOut(file, type, tree);
      const taken = lstatSync(tree, { throwIfNoEntry: false }) !== undefined;
      return { control: fileBelow(tree), programs: taken ? treePrograms(kernel, tree) : [] };
    });
  } catch (error) {
    // Of what a tool wrote the last line says why.
    return reasonOf(error).split("\n").at(-1) ?? "";
  }
}

/** Unpacks what is looked at, or more, into the new directory `tree`. Throws Error where it cannot be read. */
async function takeOut(file: string, type: ImageFilesystem, tree: string): Promise<void> {
  const names = [CONTROL_IN_IMAGE, ...TELLING_PROGRAMS.map((path) => path.slice(1))];
  switch (type) {
    case "erofs":
      await runHostProgram("fsck.erofs", [`--extract=${tree}`, "--no-preserve", file]);
      return;
    case "squashfs":
      await runHostProgram("unsquashfs", ["-quiet", "-no-progress", "-no-xattrs", "-dest", tree, file, ...names]);
      return;
    case "ext4":
      for (const name of names) {
        mkdirSync(dirname(join(tree, name)), { recursive: true });
        await runHostProgram("debugfs", ["-R", `dump /${name} ${join(tree, name)}`, file]);
      }
      return;
    default:
      throw new Error(`no tool reads files out of ${type}`);
  }
}

/** The text of the control file; null without one. No link in the image leads to the builder's own files. */
function fileBelow(tree: string): string | null {
  const names = CONTROL_IN_IMAGE.split("/");
  const isDirectory = (path: string) => lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  const above = names.slice(0, -1).map((_, index) => join(tree, ...names.slice(0, index + 1)));
  const path = join(tree, ...names);
  const there = above.every(isDirectory) && lstatSync(path, { throwIfNoEntry: false })?.isFile() === true;
  return there ? readFileSync(path, "utf8") : null;
}
