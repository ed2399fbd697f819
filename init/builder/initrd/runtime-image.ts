import { chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { posix } from "node:path";
import { BadInput } from "../../../state-ops/outcome.ts";
import { runHostProgram } from "../program.ts";
import { librariesOf } from "./libraries.ts";
import type { Sysroot } from "./sysroot.ts";

/** What goes into the runtime image, by its absolute path there. */
export interface RuntimeFile {
  path: string;
  /** A file of the host, or its content. */
  source: string | Uint8Array;
  mode: number;
}

/** Directories at the root of the initrd that are links into /usr, as everywhere since the merge of / and /usr. */
export const mergedDirectories = ["bin", "sbin", "lib", "lib64"];

/** `path` without links of {@link mergedDirectories}: "/lib64/ld.so" is "/usr/lib64/ld.so". */
function merged(path: string): string {
  return mergedDirectories.includes(path.split("/")[1] ?? "") ? `/usr${path}` : path;
}

/**
 * The files and the libraries of `sysroot` that their ELF headers need, sorted. Throws BadInput when one path would hold two
 * files.
 */
export function runtimeFiles(files: RuntimeFile[], sysroot: Sysroot): RuntimeFile[] {
  const programs = files.flatMap((file) => (typeof file.source === "string" ? [file.source] : []));
  const libraries = librariesOf(programs, sysroot).map((library) => ({ ...library, mode: 0o755 }));
  const byPath = new Map<string, RuntimeFile>();
  for (const file of [...files, ...libraries]) {
    const path = merged(file.path);
    const other = byPath.get(path);
    if (other === undefined) byPath.set(path, { ...file, path });
    else if (!contentOf(other).equals(contentOf(file))) {
      throw new BadInput(`${path} would be two different files (one is ${nameOf(file)}); give one of them another path`);
    }
  }
  return [...byPath.values()].sort((left, right) => (left.path < right.path ? -1 : 1));
}

function contentOf(file: RuntimeFile): Buffer {
  return typeof file.source === "string" ? readFileSync(file.source) : Buffer.from(file.source);
}

function nameOf(file: RuntimeFile): string {
  return typeof file.source === "string" ? file.source : "slipway's own";
}

/** The program at `executable` and what it starts with, for {@link withHotPages}. */
export interface HotProgram {
  /** Where it lies in the image. */
  path: string;
  /** Without its hot pages. */
  cold: Uint8Array;
  /** Its dynamic linker (PT_INTERP). */
  linker: string;
  /** What takes the linker's place; see init/interpreter/interpreter.c. */
  interpreter: Uint8Array;
}

/** The files with one program's hot pages left out of it, and the interpreter where its dynamic linker was. */
export function withHotPages(files: readonly RuntimeFile[], { path, cold, linker, interpreter }: HotProgram): RuntimeFile[] {
  const place = merged(linker);
  return files
    .flatMap((file): RuntimeFile[] => {
      if (file.path === path) return [{ ...file, source: cold }];
      if (file.path !== place) return [file];
      return [
        { ...file, path: `${place}.real` },
        { ...file, source: interpreter },
      ];
    })
    .sort((left, right) => (left.path < right.path ? -1 : 1));
}

/** Bytes: small where a boot touches a page here and there, large where it hardly touches any. */
export const BLOCK_SIZE = { touched: 131072, cold: 1048576 } as const;

/**
 * Makes the squashfs that preinit mounts at /runtime. Only blocks that are touched are ever unpacked, and no two small files
 * share one. `level` is zstd's, 1 to 22; `blockSize` bytes. `scratch` is an empty directory, which the caller removes.
 */
export async function makeRuntimeImage(
  files: readonly RuntimeFile[],
  { level, blockSize }: { level: number; blockSize: number },
  scratch: string,
): Promise<Buffer<ArrayBuffer>> {
  const tree = `${scratch}/tree`;
  const image = `${scratch}/image`;
  for (const file of files) {
    const to = `${tree}${file.path}`;
    makeDirectories(tree, posix.dirname(file.path));
    if (typeof file.source === "string") copyFileSync(file.source, to);
    else writeFileSync(to, file.source);
    chmodSync(to, file.mode);
  }
  const compression = ["-comp", "zstd", "-Xcompression-level", String(level), "-b", String(blockSize), "-no-fragments"];
  const same = ["-all-root", "-no-xattrs", "-all-time", "0", "-mkfs-time", "0", "-no-exports"];
  await runHostProgram("mksquashfs", [tree, image, "-noappend", "-no-progress", "-quiet", ...compression, ...same]);
  return readFileSync(image);
}

/** Like mkdir -p, with mode 755 whatever the umask is. */
function makeDirectories(tree: string, path: string): void {
  if (path !== "/") makeDirectories(tree, posix.dirname(path));
  mkdirSync(`${tree}${path}`, { recursive: true });
  chmodSync(`${tree}${path}`, 0o755);
}
