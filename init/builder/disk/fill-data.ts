/** Images for slots that are files, put into the data filesystem while it is made. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { DataFilesystem, FileSlot } from "../../../state-ops/control.ts";
import { LAYOUT } from "../../../state-ops/layout.ts";
import { BadInput } from "../../../state-ops/outcome.ts";
import { slotFileName } from "../../../state-ops/slot-file.ts";
import { O } from "../../kernel/constants.ts";
import { withOpen } from "../../kernel/files.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { runHostProgram } from "../program.ts";
import { copySparse } from "./copy-sparse.ts";

/** An image for a slot that is a file. */
export interface FileImage {
  slot: FileSlot;
  image: string;
}

/** Throws BadInput where such a filesystem cannot be made with files in it. */
export function checkFillable(filesystem: DataFilesystem, files: readonly FileImage[]): void {
  const [first] = files;
  if (first === undefined || filesystem === "ext4") return;
  const given = `--slot ${first.slot.name}=${first.image}`;
  if (filesystem === "xfs") {
    throw new BadInput(
      `${given}: mkfs.xfs makes an empty filesystem; install into the slot on the machine, or use ext4 or btrfs`,
    );
  }
  if (process.getuid?.() !== 0) {
    throw new BadInput(`${given}: mkfs.btrfs would make the file yours and not root's; run this as root, or use ext4`);
  }
}

/**
 * Makes the tree that the filesystem begins with, and returns its path: each image at the start of a file of the slot's size.
 * What it leaves is a hole, which the first install fills.
 */
export function makeFileTree(kernel: Kernel, tree: string, files: readonly FileImage[]): string {
  kernel.makeDirectory(tree, 0o755);
  kernel.makeDirectory(join(tree, LAYOUT.images), 0o700);
  for (const { slot, image } of files) {
    const write = (fd: number) => {
      kernel.truncate(fd, BigInt(slot.size));
      copySparse(kernel, image, fd, 0n);
    };
    withOpen(kernel, join(tree, slot.file), O.WRONLY | O.CREAT | O.EXCL, write, { mode: 0o600 });
  }
  return tree;
}

/** Options of mkfs that fill the filesystem with a tree. */
export function fillOptions(filesystem: DataFilesystem, tree: string): string[] {
  return filesystem === "btrfs" ? ["--rootdir", tree] : ["-d", tree];
}

/** The time of everything that mkfs.ext4 makes itself. */
const TIME = "@1";

/**
 * mkfs.ext4 takes owners and times from the tree, which is whoever's that builds. debugfs(8) makes them root's and always the
 * same, without a mount. It ends with 0 whatever happens: what it made is looked at.
 *
 * @param time variables for the time that it notes itself
 */
export async function ownByRoot(
  filesystem: string,
  files: readonly FileImage[],
  scratch: string,
  time: Record<string, string>,
): Promise<void> {
  const paths = [LAYOUT.images, ...files.map(({ slot }) => `${LAYOUT.images}/${slotFileName(slot.file)}`)];
  const fields = [
    ["uid", "0"],
    ["gid", "0"],
    ["atime", TIME],
    ["mtime", TIME],
    ["ctime", TIME],
  ];
  const commands = paths.flatMap((path) => fields.map(([field, value]) => `set_inode_field ${path} ${field} ${value}\n`));
  const script = join(scratch, "owners");
  writeFileSync(script, commands.join(""));
  await runHostProgram("debugfs", ["-w", "-f", script, filesystem], time);
  for (const path of paths) {
    const seen = (await runHostProgram("debugfs", ["-R", `stat ${path}`, filesystem])).toString();
    if (/User:\s+0\s+Group:\s+0\s/.test(seen) && /ctime: 0x0*1:/.test(seen)) continue;
    throw new Error(`debugfs did not make ${path} root's in the data filesystem: ${seen.split("\n").slice(0, 8).join(" ")}`);
  }
}
