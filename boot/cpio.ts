/**
 * Archives as the kernel unpacks them into its initramfs: "newc" cpio, see
 * https://docs.kernel.org/driver-api/early-userspace/buffer-format.html
 */
import { BadInput } from "../state-ops/outcome.ts";

/** Layout of an entry: a header of 13 numbers of 8 hex digits each behind the magic, the name with a NUL, the content. */
export const CPIO = {
  header: 110,
  magic: "070701",
  trailer: "TRAILER!!!",
  kind: { directory: 0o040000, file: 0o100000, symlink: 0o120000, character: 0o020000 },
  kindMask: 0o170000,
} as const;

/** Longest name that the kernel takes (PATH_MAX), with its NUL. */
const LONGEST_NAME = 4096;

/** An entry that was read: `start` is where its content begins in the archive, sizes are bytes. */
export interface CpioListing {
  path: string;
  /** File type and permission bits, as stat(2) has them. */
  mode: number;
  /** Names that the file has, as the archive says. */
  links: number;
  size: number;
  start: number;
}

/** Up to `length` bytes of an archive from `offset` on; fewer only at its end. */
export type ReadArchive = (offset: number, length: number) => Uint8Array;

/**
 * Reads the headers of one archive of `length` bytes, and nothing of what it holds. Returns where it ends. Throws BadInput on what is
 * no newc archive, or damaged.
 */
export function listCpio(read: ReadArchive, length: number): { entries: CpioListing[]; end: number } {
  const entries: CpioListing[] = [];
  for (let at = 0; ; ) {
    const header = read(at, CPIO.header);
    const magic = Buffer.from(header.subarray(0, 6)).toString("latin1");
    if (magic !== CPIO.magic) {
      const remedy = at === 0 ? "an uncompressed newc cpio is wanted" : "the archive is damaged";
      throw new BadInput(`byte ${at} has ${JSON.stringify(magic)} instead of "${CPIO.magic}"; ${remedy}`);
    }
    const field = (index: number) => fieldOf(header, at, index);
    const [mode, links, size, nameLength] = [field(1), field(4), field(6), field(11)];
    if (nameLength < 1 || nameLength > LONGEST_NAME) {
      throw new BadInput(`byte ${at} begins an entry whose name has ${nameLength} bytes; the archive is damaged`);
    }
    const name = read(at + CPIO.header, nameLength - 1);
    const path = new TextDecoder("utf-8", { ignoreBOM: true }).decode(name);
    const start = aligned(at + CPIO.header + nameLength);
    if (start + size > length) {
      throw new BadInput(`the archive is cut short: ${path} needs byte ${start + size}, there are ${length}`);
    }
    if (path === CPIO.trailer) return { entries, end: start };
    entries.push({ path, mode, links, size, start });
    at = aligned(start + size);
  }
}

function aligned(offset: number): number {
  return Math.ceil(offset / 4) * 4;
}

function fieldOf(header: Uint8Array, at: number, index: number): number {
  const start = 6 + index * 8;
  const text = Buffer.from(header.subarray(start, start + 8)).toString("latin1");
  if (!/^[0-9a-f]{8}$/i.test(text)) {
    throw new BadInput(`byte ${at + start} has ${JSON.stringify(text)} instead of 8 hex digits; the archive is damaged`);
  }
  return Number.parseInt(text, 16);
}
