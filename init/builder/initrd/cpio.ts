/** Writes archives as the kernel unpacks them into its initramfs, and lists them: boot/cpio.ts. */
import { CPIO, type CpioListing, listCpio } from "../../../boot/cpio.ts";

/** One file of an archive. Paths have no slash at either end. Everything belongs to root and has modification time 0. */
export type CpioEntry = { path: string } & (
  | { kind: "directory"; mode: number }
  | { kind: "file"; mode: number; content: Uint8Array }
  | { kind: "symlink"; target: string }
  | { kind: "character"; mode: number; major: number; minor: number }
);

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
  put(header(CPIO.trailer, null, 0, 0), BLOCK);
  return pieces.filter((piece) => piece.length > 0);
}

function contentOf(entry: CpioEntry): Uint8Array {
  if (entry.kind === "file") return entry.content;
  return entry.kind === "symlink" ? new TextEncoder().encode(entry.target) : new Uint8Array(0);
}

function header(path: string, entry: CpioEntry | null, size: number, inode: number): Uint8Array {
  const name = new TextEncoder().encode(`${path}\0`);
  const mode = entry === null ? 0 : CPIO.kind[entry.kind] | (entry.kind === "symlink" ? 0o777 : entry.mode);
  const [major, minor] = entry?.kind === "character" ? [entry.major, entry.minor] : [0, 0];
  const links = entry?.kind === "directory" ? 2 : 1;
  // inode, mode, owner, group, links, time, size, device of the file, device of the node, length of the name, checksum
  const fields = [inode, mode, 0, 0, links, 0, size, 0, 0, major, minor, name.length, 0];
  const text = CPIO.magic + fields.map((value) => value.toString(16).padStart(8, "0")).join("");
  return Buffer.concat([new TextEncoder().encode(text), name]);
}

/** Reads the headers of one archive. Throws BadInput on what is no newc archive, or damaged. */
export function readCpio(archive: Uint8Array): CpioListing[] {
  return listCpio((offset, length) => archive.subarray(offset, offset + length), archive.length).entries;
}
