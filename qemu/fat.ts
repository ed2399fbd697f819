/** FAT filesystems, such as the EFI system partition, in image files and in partitions of disks: made, read and written without a mount. */
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { startOf } from "./disk-partitions.ts";
import { emptyFile } from "./images.ts";
import { runProgram } from "./program.ts";

/** A file's content: text, bytes, or a file of the host. */
export type FatContent = string | Uint8Array | { file: string };

const environment = { MTOOLS_SKIP_CHECK: "1", MTOOLSRC: "/dev/null" };

/** Makes a FAT of `mebibytes` in `file` with `files`, path in it to content. Each file's clusters follow one another. */
export async function makeFat(file: string, mebibytes: number, files: Readonly<Record<string, FatContent>>): Promise<void> {
  emptyFile(file, mebibytes * 1024 * 1024);
  await runProgram("mkfs.vfat", [...(mebibytes < 40 ? [] : ["-F", "32"]), "-i", "51170001", "--invariant", file]);
  const tree = mkdtempSync(join(tmpdir(), "slipway-fat-"));
  try {
    const tops = new Set<string>();
    for (const [path, content] of Object.entries(files)) {
      const parts = path.split("/").filter((part) => part !== "");
      tops.add(parts[0] ?? "");
      const target = join(tree, ...parts);
      mkdirSync(dirname(target), { recursive: true });
      if (typeof content === "string" || content instanceof Uint8Array) writeFileSync(target, content);
      else copyFileSync(content.file, target);
    }
    const words = [...tops].map((top) => join(tree, top));
    if (words.length > 0) await runProgram("mcopy", ["-s", "-i", file, ...words, "::/"], { environment });
  } finally {
    rmSync(tree, { recursive: true });
  }
}

/** mtools' name for the filesystem in the partition `label` of `disk`. */
const placeOf = (disk: string, label: string) => `${disk}@@${startOf(disk, label)}`;

/** The file at `path` of the FAT in the partition `label`. */
export async function readFat(disk: string, label: string, path: string): Promise<Uint8Array> {
  const directory = mkdtempSync(join(tmpdir(), "slipway-fat-"));
  try {
    await runProgram("mcopy", ["-i", placeOf(disk, label), `::${path}`, join(directory, "file")], { environment });
    return new Uint8Array(readFileSync(join(directory, "file")));
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Writes a file there, or in place of the one that is there. */
export async function writeFat(disk: string, label: string, path: string, content: string | Uint8Array): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "slipway-fat-"));
  try {
    writeFileSync(join(directory, "file"), content);
    await runProgram("mcopy", ["-o", "-i", placeOf(disk, label), join(directory, "file"), `::${path}`], { environment });
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Paths of the files below `directory` there, "EFI/BOOT/BOOTX64.EFI", sorted. */
export async function listFat(disk: string, label: string, directory = "/"): Promise<string[]> {
  const listing = await runProgram("mdir", ["-/", "-b", "-i", placeOf(disk, label), `::${directory}`], { environment });
  return listing
    .split("\n")
    .filter((line) => line.startsWith("::/") && !line.endsWith("/"))
    .map((line) => line.slice(3))
    .sort();
}

/** Removes the file at `path` there. */
export async function removeFat(disk: string, label: string, path: string): Promise<void> {
  await runProgram("mdel", ["-i", placeOf(disk, label), `::${path}`], { environment });
}
