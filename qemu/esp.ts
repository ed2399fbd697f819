/** EFI system partitions: FAT filesystems made and read without a mount. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname } from "node:path";
import { startOf } from "./disk-partitions.ts";
import { runProgram } from "./program.ts";

/** Files by their path on the partition ("EFI/BOOT/BOOTX64.EFI"): their content, or the file on the host that they are copied from. */
export type EspFiles = Record<string, string | Uint8Array | { file: string }>;

/** FAT32 is not made smaller. */
const LEAST_MIB = 64;

/** Writes the image of a FAT32 with `files` to `output`. Its size in MiB is not less than 64. */
export async function makeEsp(output: string, files: EspFiles, sizeMiB: number): Promise<void> {
  writeFileSync(output, "");
  truncateSync(output, Math.max(sizeMiB, LEAST_MIB) * 1024 * 1024);
  await runProgram("mkfs.vfat", ["-F", "32", "-n", "ESP", "-i", "51174a11", output]);
  await copyInto(output, 0, files);
}

/** The FAT at `offset` in `image`, as mtools take it. */
function place(image: string, offset: number): string {
  return `${image}@@${offset}`;
}

async function copyInto(image: string, offset: number, files: EspFiles): Promise<void> {
  const scratch = mkdtempSync(`${tmpdir()}/slipway-esp-`);
  try {
    for (const [path, source] of Object.entries(files)) {
      const copy = `${scratch}/${path}`;
      mkdirSync(dirname(copy), { recursive: true });
      const isContent = typeof source === "string" || source instanceof Uint8Array;
      if (isContent) writeFileSync(copy, source);
      for (let at = path.indexOf("/"); at >= 0; at = path.indexOf("/", at + 1))
        await runProgram("mmd", ["-D", "s", "-i", place(image, offset), `::/${path.slice(0, at)}`]).catch(() => {});
      const from = isContent ? copy : source.file;
      await runProgram("mcopy", ["-o", "-i", place(image, offset), from, `::/${path}`]);
    }
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

/** Puts `files` on the partition `label` of a disk whose machine is switched off. */
export function putOnEsp(disk: string, files: EspFiles, label = "esp"): Promise<void> {
  return copyInto(disk, startOf(disk, label), files);
}

/** The names in `directory` of the partition `label`, sorted. */
export async function namesOnEsp(disk: string, directory: string, label = "esp"): Promise<string[]> {
  const listed = await runProgram("mdir", ["-b", "-i", place(disk, startOf(disk, label)), `::/${directory}`]);
  return listed
    .split("\n")
    .filter((line) => line !== "" && !line.endsWith("/"))
    .map((line) => line.slice(line.lastIndexOf("/") + 1))
    .sort();
}

/** A file's text. */
export function textOnEsp(disk: string, path: string, label = "esp"): Promise<string> {
  return runProgram("mtype", ["-i", place(disk, startOf(disk, label)), `::/${path}`]);
}

/** A file's bytes. */
export async function bytesOnEsp(disk: string, path: string, label = "esp"): Promise<Uint8Array> {
  const scratch = mkdtempSync(`${tmpdir()}/slipway-esp-`);
  try {
    await runProgram("mcopy", ["-i", place(disk, startOf(disk, label)), `::/${path}`, `${scratch}/file`]);
    return new Uint8Array(readFileSync(`${scratch}/file`));
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

export async function removeFromEsp(disk: string, path: string, label = "esp"): Promise<void> {
  await runProgram("mdel", ["-i", place(disk, startOf(disk, label)), `::/${path}`]);
}
