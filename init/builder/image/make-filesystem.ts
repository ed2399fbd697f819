import { sha256Hex } from "../../../state-ops/sha256.ts";
import { runHostProgram } from "../program.ts";

/** Filesystems that slipway image build makes, and how each can be compressed; the first is the default. */
export const COMPRESSIONS = {
  erofs: ["lz4", "lz4hc", "none"],
  squashfs: ["zstd", "xz", "gzip", "lz4", "none"],
} as const;

export type BuiltFilesystem = keyof typeof COMPRESSIONS;

export interface FilesystemOptions {
  compression: string;
  system: string;
  /**
   * Seconds since the epoch: when the filesystem says that it was made, and what younger files are said to be. No file's own time
   * is changed where none is younger.
   */
  time: number;
}

/**
 * Makes a filesystem of `tree` in `file`, which does not exist yet. The same tree gives the same bytes, in whatever order its
 * directories list their files: owners, modes, times, attributes and hard links are kept.
 */
export async function makeFilesystem(
  filesystem: BuiltFilesystem,
  tree: string,
  file: string,
  options: FilesystemOptions,
): Promise<void> {
  // Both tools take the time from there, and from no option without giving it to every file.
  const variables = { SOURCE_DATE_EPOCH: String(options.time) };
  if (filesystem === "erofs") await runHostProgram("mkfs.erofs", [...erofsWords(options), file, tree], variables);
  else await runHostProgram("mksquashfs", [tree, file, ...squashfsWords(options)], variables);
}

/**
 * Compressed blocks of one block each, which is the default: what is equal in two versions of a file gives equal blocks of the
 * image. Versions share the UUID, too.
 */
function erofsWords({ compression, system }: FilesystemOptions): string[] {
  return [...(compression === "none" ? [] : [`-z${compression}`]), "-U", uuidOf(system), "--quiet"];
}

function squashfsWords({ compression }: FilesystemOptions): string[] {
  const words = compression === "none" ? ["-noI", "-noD", "-noF", "-noX"] : ["-comp", compression];
  return [...words, "-noappend", "-xattrs", "-no-recovery", "-quiet", "-no-progress"];
}

/** A UUID that follows from the system's name. */
export function uuidOf(system: string): string {
  const hex = sha256Hex(`slipway filesystem uuid 1\n${system}`);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
