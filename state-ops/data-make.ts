/** The data filesystems' mkfs programs. */
import type { DataFilesystem } from "./control.ts";

export interface Maker {
  /** "mkfs.ext4" */
  name: string;
  /** Where the initrd may have it. */
  programs: string[];
  /** Without the program's name. Whatever is on the device is made into the filesystem. */
  words(device: string): string[];
  /** The smallest device that it makes one on, bytes: of mkfs's own limits, with something to spare. */
  smallest: number;
}

const MiB = 1024 * 1024;

function maker(name: string, words: string[], smallest: number): Maker {
  return {
    name,
    programs: [`/usr/sbin/${name}`, `/usr/bin/${name}`],
    words: (device) => [...words, device],
    smallest,
  };
}

/** mke2fs(8), mkfs.xfs(8) (300 MiB), mkfs.btrfs(8) (109 MiB). */
export const MAKERS: Record<DataFilesystem, Maker> = {
  ext4: maker("mkfs.ext4", ["-q", "-F", "-E", "root_owner=0:0"], 16 * MiB),
  xfs: maker("mkfs.xfs", ["-q", "-f"], 300 * MiB),
  btrfs: maker("mkfs.btrfs", ["-q", "-f"], 128 * MiB),
};

/** What to do in an initrd that has not the program. */
export function missingMaker({ name, programs }: Maker): string {
  return `the initrd has no ${name} to make it: add it with slipway initrd build --extra ${programs[0]}=${programs[0]}`;
}
