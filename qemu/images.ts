import { rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { runProgram } from "./program.ts";

export const filesystems = ["erofs", "squashfs", "ext4", "xfs", "btrfs"] as const;
export type Filesystem = (typeof filesystems)[number];

export interface ImageOptions {
  /** Default: one that is the same for every image. */
  uuid?: string;
  label?: string;
  /** For ext4, xfs and btrfs; by default what fits the tree, 300 MiB for xfs (which makes none smaller). */
  sizeMiB?: number;
  /** Compression of erofs: "lz4" (default, soonest made), "lz4hc" (a tenth smaller, four times the time) or "none". */
  compression?: "lz4" | "lz4hc" | "none";
}

const fixedUuid = "5117a5a0-5117-4a5a-8117-5117a5a05117";
const mebibyte = 1024 * 1024;

/** An empty file of `bytes`, which takes no space until it is written. */
export function emptyFile(file: string, bytes: number): void {
  rmSync(file, { force: true });
  writeFileSync(file, "");
  truncateSync(file, bytes);
}

/** Fills `file`, which has an empty filesystem, from `tree`, through a loop mount in a mount namespace of its own. */
async function copyInto(file: string, tree: string): Promise<void> {
  const script = 'mount -o loop "$1" /mnt && cp --archive "$2/." /mnt/ && umount /mnt';
  await runProgram("unshare", ["--mount", "--propagation", "private", "sh", "-c", script, "sh", file, tree]);
}

async function usedMiB(tree: string): Promise<number> {
  return Number.parseInt(await runProgram("du", ["--summarize", "--block-size=1M", tree]), 10);
}

/**
 * Makes an image of `tree`'s content in `file`. Needs root. The same tree gives the same bytes for erofs and squashfs;
 * ext4, xfs and btrfs write the time into what they make.
 */
export async function makeImage(tree: string, file: string, filesystem: Filesystem, options: ImageOptions = {}): Promise<void> {
  const uuid = options.uuid ?? fixedUuid;
  const label = (word: string) => (options.label === undefined ? [] : [word, options.label]);
  rmSync(file, { force: true });
  if (filesystem === "erofs") {
    if (options.label !== undefined) throw new Error(`mkfs.erofs gives no label, "${options.label}" was asked for; use a UUID`);
    const compression = options.compression === "none" ? [] : [`-z${options.compression ?? "lz4"}`];
    await runProgram("mkfs.erofs", [...compression, "-T0", "-U", uuid, "--quiet", file, tree]);
  } else if (filesystem === "squashfs") {
    const times = ["-mkfs-time", "0", "-all-time", "0"];
    await runProgram("mksquashfs", [
      tree,
      file,
      "-noappend",
      "-quiet",
      "-no-progress",
      "-comp",
      "zstd",
      "-Xcompression-level",
      "3",
      ...times,
    ]);
  } else {
    const least = { ext4: 16, xfs: 300, btrfs: 128 }[filesystem];
    const fitting = Math.max(least, Math.ceil((await usedMiB(tree)) * 1.3) + 16);
    emptyFile(file, (options.sizeMiB ?? fitting) * mebibyte);
    if (filesystem === "ext4") {
      await runProgram("mkfs.ext4", ["-q", "-F", "-U", uuid, "-E", `hash_seed=${uuid}`, ...label("-L"), "-d", tree, file]);
    } else if (filesystem === "xfs") {
      await runProgram("mkfs.xfs", ["-q", "-m", `uuid=${uuid}`, ...label("-L"), file]);
      await copyInto(file, tree);
    } else {
      await runProgram("mkfs.btrfs", ["-q", "-U", uuid, ...label("-L"), "--rootdir", tree, file]);
    }
  }
  if (statSync(file).size === 0) throw new Error(`${file} is empty after making ${filesystem} from ${tree}`);
}
