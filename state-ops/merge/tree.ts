/** What the merge knows of a directory tree: facts of each path, compared by content and never by time. */
import { sha256Hex } from "../sha256.ts";

export type EntryType = "file" | "directory" | "symlink" | "character" | "block" | "fifo";

export const ENTRY_TYPES: readonly EntryType[] = ["file", "directory", "symlink", "character", "block", "fifo"];

export interface Entry {
  type: EntryType;
  /** Permission bits with setuid, setgid and sticky: 0o0000 to 0o7777. */
  mode: number;
  owner: number;
  group: number;
  /** Bytes of a file's content or of a link's target; 0 for anything else. */
  size: number;
  /**
   * "sha256:" and hex of a file's content, a link's target, or "major:minor" of a device node; null for directories and
   * fifos, and for a file of the state that was not read because {@link contentMatters} says that nothing depends on it.
   */
  content: string | null;
  /** What {@link attributesDigest} makes of the extended attributes; null without any. */
  attributes: string | null;
}

/** By path text (see path-text.ts); "." is the root. Every path but "." has its parent directory in the tree. */
export type Tree = ReadonlyMap<string, Entry>;

/** Whether two entries are the same in everything. Children of directories are entries of their own. */
export function sameEntry(left: Entry | null, right: Entry | null): boolean {
  if (left === null || right === null) return left === right;
  return sameContent(left, right) && sameMetadata(left, right);
}

/** Whether both are of one type and say the same; a file that was not read is like no other. */
export function sameContent(left: Entry, right: Entry): boolean {
  if (left.type !== right.type || left.content !== right.content) return false;
  return left.content !== null || left.type === "directory" || left.type === "fifo";
}

/** Mode, owner, group and extended attributes. */
export function sameMetadata(left: Entry, right: Entry): boolean {
  return (
    left.mode === right.mode && left.owner === right.owner && left.group === right.group && left.attributes === right.attributes
  );
}

/**
 * Whether a file of the state has to be read at all: only where the baseline or the image has a file of the same size. So
 * user data is never read, and a file of 8 EiB of holes costs nothing.
 */
export function contentMatters(state: Pick<Entry, "type" | "size">, base: Entry | null, image: Entry | null): boolean {
  return [base, image].some((entry) => entry !== null && entry.type === state.type && entry.size === state.size);
}

/** The `content` of bytes: a file's whole content, a link's target. */
export function contentDigest(bytes: Uint8Array): string {
  return `sha256:${sha256Hex(bytes)}`;
}

/** The `content` of a file that is read in pieces. */
export class ContentDigest {
  readonly #hash = new Bun.CryptoHasher("sha256");

  add(bytes: Uint8Array): void {
    this.#hash.update(bytes);
  }

  /** The end: nothing can be added any more. */
  text(): string {
    return `sha256:${this.#hash.digest("hex")}`;
  }
}

/** The `content` of a device node. */
export function nodeDigest(major: number, minor: number): string {
  return `sha256:${sha256Hex(`${major}:${minor}`)}`;
}

/** Whether an extended attribute is the file's own: not an overlay's marks, nor what belongs to one filesystem or inode. */
export function countsAsAttribute(name: string): boolean {
  if (/^(?:trusted|user)\.overlay\./.test(name) || name === "security.evm") return false;
  return /^(?:security|trusted|user)\./.test(name) || name.startsWith("system.posix_acl_");
}

/** "sha256:" and hex over names and values, in whatever order they are given; null where none counts. */
export function attributesDigest(attributes: readonly { name: string; value: Uint8Array }[]): string | null {
  const own = attributes.filter(({ name }) => countsAsAttribute(name)).sort((left, right) => (left.name < right.name ? -1 : 1));
  if (own.length === 0) return null;
  return `sha256:${sha256Hex(...own.flatMap(({ name, value }) => [`${name}\0${value.length}\0`, value]))}`;
}
