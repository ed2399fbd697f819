/** The control file in a filesystem image, taken out with the field's tools: slipway itself mounts nothing on a builder. */
import { lstatSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { ImageFilesystem } from "../../../boot/image/seal.ts";
import type { ControlFile } from "../../../state-ops/control.ts";
import { BadInput } from "../../../state-ops/outcome.ts";
import { readControl } from "../../../state-ops/read-control.ts";
import { reasonOf } from "../input.ts";
import { withScratch } from "../output.ts";
import { runHostProgram } from "../program.ts";

/** Where an image has its control file. */
export const CONTROL_IN_IMAGE = "usr/lib/slipway/control.json";

/** What a boot of an image without a control file misses. */
export const noControl = `no ${CONTROL_IN_IMAGE}: nothing would be writable in it, and PID 1 lays no state; compile one with slipway state compile`;

/** The control file `text` of what `where` names, which has to be one for `system`. @throws BadInput */
export function checkImageControl(where: string, text: string, system: string): ControlFile {
  let control: ControlFile;
  try {
    control = readControl(text);
  } catch (error) {
    throw error instanceof BadInput ? new BadInput(`${where}: ${error.message}`) : error;
  }
  if (control.system === system) return control;
  throw new BadInput(
    `${where} is for the system "${control.system}", --system says "${system}"; machines would refuse the image`,
  );
}

/**
 * The control file in the filesystem image `file`; or in words that there is none, or that none can be read here.
 *
 * @throws BadInput where something is wrong with the one that it has
 */
export async function controlIn(
  file: string,
  type: ImageFilesystem,
  system: string,
  scratchIn: string,
): Promise<ControlFile | string> {
  let text: string | null;
  try {
    text = await withScratch(scratchIn, (scratch) => takeOut(file, type, scratch));
  } catch (error) {
    // Of what a tool wrote the last line says why.
    return `${CONTROL_IN_IMAGE} of the image is not checked: ${reasonOf(error).split("\n").at(-1)}`;
  }
  if (text === null) return noControl;
  return checkImageControl(`${CONTROL_IN_IMAGE} of the image`, text, system);
}

/** The text of the control file; null where the image has none. Throws Error where it cannot be read. */
async function takeOut(file: string, type: ImageFilesystem, scratch: string): Promise<string | null> {
  const tree = join(scratch, "tree");
  switch (type) {
    case "erofs":
      await runHostProgram("fsck.erofs", [`--extract=${tree}`, "--no-preserve", file]);
      return fileBelow(tree);
    case "squashfs":
      await runHostProgram("unsquashfs", ["-quiet", "-no-progress", "-no-xattrs", "-dest", tree, file, CONTROL_IN_IMAGE]);
      return fileBelow(tree);
    case "ext4": {
      const taken = join(scratch, "control.json");
      await runHostProgram("debugfs", ["-R", `dump /${CONTROL_IN_IMAGE} ${taken}`, file]);
      return textOf(taken);
    }
    default:
      throw new Error(`no tool reads files out of ${type}`);
  }
}

/** No link in the image leads to the builder's own files. */
function fileBelow(tree: string): string | null {
  const names = CONTROL_IN_IMAGE.split("/");
  const isDirectory = (path: string) => lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  const above = names.slice(0, -1).map((_, index) => join(tree, ...names.slice(0, index + 1)));
  return above.every(isDirectory) ? textOf(join(tree, ...names)) : null;
}

function textOf(path: string): string | null {
  return lstatSync(path, { throwIfNoEntry: false })?.isFile() === true ? readFileSync(path, "utf8") : null;
}
