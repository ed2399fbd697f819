/**
 * Archives as the kernel unpacks them into its initramfs: "newc" cpio, see
 * https://docs.kernel.org/driver-api/early-userspace/buffer-format.html
 */
import { BadInput } from "../../../state-ops/outcome.ts";

/** One file of an archive. Paths have no slash at either end. Everything belongs to root and has modification time 0. */
export type CpioEntry = { path: string } & (
  | { kind: "directory"; mode: number }
  | { kind: "file"; mode: number; content: Uint8Array }
  | { kind: "symlink"; target: string }
  | { kind: "character"; mode: number; major: number; minor: number }
);

const KIND = { directory: 0o040000, file: 0o100000, symlink: 0o120000, character: 0o020000 } as const;
const HEADER = 110;
const MAGIC = "070701";
const TRAILER = "TRAILER!!!";
/** Archives are filled up to this many bytes, as cpio(1) does, so that another can follow. */
const BLOCK = 512;

/** The archive, in pieces to be written one after the other. Inode numbers count from 1 in the order of `entries`. */
export function writeCpio(entries: CpioEntry[]): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  let length = 0;
  const put = (bytes: Uint8Array, alignment: number): void => {
    const padding = (alignment - ((length + bytes.length) % alignment)) % alignment;
    pieces.push(bytes, new Uint8Array(padding));
    length += bytes.length + padding;
  };
  for (const [index, entry] of entries.entries()) {
    const content = contentOf(entry);
    put(header(entry.path, entry, content.length, index + 1), 4);
    put(content, 4);
  }
  put(header(TRAILER, null, 0, 0), BLOCK);
  return pieces.filter((piece) => piece.length > 0);
}

function contentOf(entry: CpioEntry): Uint8Array {
  if (entry.kind === "file") return entry.content;
  return entry.kind === "symlink" ? new TextEncoder().encode(entry.target) : new Uint8Array(0);
}

function header(path: string, entry: CpioEntry | null, size: number, inode: number): Uint8Array {
  const name = new TextEncoder().encode(`${path}\0`);
  const mode = entry === null ? 0 : KIND[entry.kind] | (entry.kind === "symlink" ? 0o777 : entry.mode);
  const [major, minor] = entry?.kind === "character" ? [entry.major, entry.minor] : [0, 0];
  const links = entry?.kind === "directory" ? 2 : 1;
  // inode, mode, owner, group, links, time, size, device of the file, device of the node, length of the name, checksum
  const fields = [inode, mode, 0, 0, links, 0, size, 0, 0, major, minor, name.length, 0];
  const text = MAGIC + fields.map((value) => value.toString(16).padStart(8, "0")).join("");
  return Buffer.concat([new TextEncoder().encode(text), name]);
}

/** An entry that was read: `start` is where its content begins in the archive, sizes are bytes. */
export interface CpioListing {
  path: string;
  /** File type and permission bits, as stat(2) has them. */
  mode: number;
  size: number;
  start: number;
}

/** Reads the headers of one archive. Throws BadInput on what is no newc archive, or damaged. */
export function readCpio(archive: Uint8Array): CpioListing[] {
  const listing: CpioListing[] = [];
  for (let at = 0; ; ) {
    const magic = Buffer.from(archive.subarray(at, at + 6)).toString("latin1");
    if (magic !== MAGIC) {
      const remedy = at === 0 ? "an uncompressed newc cpio is wanted" : "the archive is damaged";
      throw new BadInput(`byte ${at} has ${JSON.stringify(magic)} instead of "${MAGIC}"; ${remedy}`);
    }
    const [mode, size, nameLength] = [field(archive, at, 1), field(archive, at, 6), field(archive, at, 11)];
    const path = new TextDecoder().decode(archive.subarray(at + HEADER, at + HEADER + nameLength - 1));
    const start = at + Math.ceil((HEADER + nameLength) / 4) * 4;
    if (start + size > archive.length) {
      throw new BadInput(`the archive is cut short: ${path} needs byte ${start + size}, there are ${archive.length}`);
    }
    if (path === TRAILER) return listing;
    listing.push({ path, mode, size, start });
    at = Math.ceil((start + size) / 4) * 4;
  }
}

function field(archive: Uint8Array, at: number, index: number): number {
  const text = Buffer.from(archive.subarray(at + 6 + index * 8, at + 14 + index * 8)).toString("latin1");
  if (!/^[0-9a-f]{8}$/i.test(text)) {
    throw new BadInput(`byte ${at + 6 + index * 8} has ${JSON.stringify(text)} instead of 8 hex digits; the archive is damaged`);
  }
  return Number.parseInt(text, 16);
}
