/**
 * What lies where in a squashfs 4.0: which bytes of the image hold each block of each file. Format: the kernel's
 * fs/squashfs/squashfs_fs.h, described at https://dr-emann.github.io/squashfs/. All fields are little endian.
 */
import { BadInput } from "../state-ops/outcome.ts";

/** Names of the superblock's compressor numbers, which count from 1. */
export const SQUASHFS_COMPRESSORS = ["gzip", "lzma", "lzo", "xz", "lz4", "zstd"] as const;
export type SquashfsCompressor = (typeof SQUASHFS_COMPRESSORS)[number];

/** A piece of the image: `start` is its first byte. `plain` says that it is not compressed. */
export interface StoredBlock {
  start: number;
  size: number;
  plain: boolean;
}

export interface SquashfsFile {
  /** From the root: "/usr/bin/slipway". */
  path: string;
  /** Bytes of its content. */
  size: number;
  /** One for every blockSize bytes of the content, in order; those of a hole have size 0. The tail may be a part of a fragment. */
  blocks: StoredBlock[];
  /** The tail in a block that files share: index of {@link Squashfs.fragments}, and which of its bytes; null where there is none. */
  tail: { fragment: number; offset: number; length: number } | null;
}

export interface Squashfs {
  compressor: SquashfsCompressor;
  blockSize: number;
  /** Bytes of the image that are in use; the rest is padding. */
  used: number;
  /** Regular files, in the order of their directories. */
  files: SquashfsFile[];
  fragments: StoredBlock[];
}

/** Unpacks one block. Throws where the bytes are not what `compressor` makes. */
export type Unpack = (compressor: SquashfsCompressor, bytes: Uint8Array) => Uint8Array;

/** "hsqs" */
export const SQUASHFS_MAGIC = 0x73717368;
/** Bytes of the superblock, and of a block of a table before compression. */
export const SUPERBLOCK = 96;
export const METADATA = 8192;
/** Said in the size of a table's block and of a file's: it is not compressed. */
export const PLAIN_METADATA = 0x8000;
export const PLAIN_BLOCK = 1 << 24;
/** Index of no fragment. */
export const NO_FRAGMENT = 0xffffffff;
/** Of inodes. */
export const INODE_KIND = { directory: 1, file: 2, wideDirectory: 8, wideFile: 9 } as const;

/** Reads superblock, inodes, directories and fragments. Throws BadInput for another format, and for a damaged one. */
export function readSquashfs(image: Uint8Array, unpack: Unpack): Squashfs {
  return new Reader(image, unpack).read();
}

class Reader {
  readonly #image: Buffer;
  readonly #unpack: Unpack;
  readonly #tables = new Map<number, { content: Buffer; next: number }>();
  readonly #seen = new Set<bigint>();
  #compressor: SquashfsCompressor = "zstd";
  #blockSize = 0;
  #inodes = 0;
  #directories = 0;

  constructor(image: Uint8Array, unpack: Unpack) {
    this.#image = Buffer.from(image.buffer, image.byteOffset, image.byteLength);
    this.#unpack = unpack;
  }

  read(): Squashfs {
    const image = this.#image;
    if (image.length < SUPERBLOCK || image.readUInt32LE(0) !== SQUASHFS_MAGIC || image.readUInt16LE(28) !== 4) {
      throw new BadInput("no squashfs 4: its first bytes are not hsqs with version 4");
    }
    const compressor = SQUASHFS_COMPRESSORS[image.readUInt16LE(20) - 1];
    if (compressor === undefined) throw new BadInput(`squashfs: unknown compressor ${image.readUInt16LE(20)}`);
    this.#compressor = compressor;
    this.#blockSize = image.readUInt32LE(12);
    if (this.#blockSize < 4096 || this.#blockSize > 1 << 20) throw damaged(`blocks of ${this.#blockSize} bytes`);
    const used = this.#place(image.readBigUInt64LE(40));
    this.#inodes = this.#place(image.readBigUInt64LE(64));
    this.#directories = this.#place(image.readBigUInt64LE(72));
    const fragments = this.#fragments(image.readUInt32LE(16), image.readBigUInt64LE(80));
    const files: SquashfsFile[] = [];
    this.#walk("", image.readBigUInt64LE(32), files);
    for (const { path, tail } of files) {
      if (tail !== null && fragments[tail.fragment] === undefined)
        throw damaged(`${path} has its tail in a fragment that is not there`);
    }
    return { compressor, blockSize: this.#blockSize, used, files, fragments };
  }

  #place(value: bigint): number {
    if (value > BigInt(this.#image.length)) throw damaged(`it needs byte ${value}, and has ${this.#image.length}`);
    return Number(value);
  }

  /** The block of a table at `at`, and where the next one begins. */
  #table(at: number): { content: Buffer; next: number } {
    const known = this.#tables.get(at);
    if (known !== undefined) return known;
    if (at + 2 > this.#image.length) throw damaged(`no table at byte ${at}`);
    const word = this.#image.readUInt16LE(at);
    const next = at + 2 + (word & ~PLAIN_METADATA);
    if (next > this.#image.length) throw damaged(`the table at byte ${at} is cut short`);
    const stored = this.#image.subarray(at + 2, next);
    const content = (word & PLAIN_METADATA) !== 0 ? stored : this.#unpacked(stored, at);
    const read = { content, next };
    this.#tables.set(at, read);
    return read;
  }

  #unpacked(stored: Buffer, at: number): Buffer {
    try {
      return Buffer.from(this.#unpack(this.#compressor, stored));
    } catch (error) {
      if (error instanceof BadInput) throw error;
      throw damaged(`the table at byte ${at}: ${error instanceof Error ? error.message : error}`);
    }
  }

  /** `length` bytes of the table that begins at `table`, from `offset` of its block at `block`; they may go on in the next. */
  #bytes(table: number, block: number, offset: number, length: number): Buffer {
    const parts: Buffer[] = [];
    let [at, from, left] = [table + block, offset, length];
    while (left > 0) {
      const { content, next } = this.#table(at);
      const part = content.subarray(from, from + left);
      if (part.length < left && content.length !== METADATA) throw damaged(`the table at byte ${table} ends too soon`);
      parts.push(part);
      left -= part.length;
      [at, from] = [next, Math.max(0, from - content.length)];
    }
    return Buffer.concat(parts);
  }

  #fragments(count: number, table: bigint): StoredBlock[] {
    const fragments: StoredBlock[] = [];
    for (let index = 0; index < count; index++) {
      const block = Math.floor(index / 512);
      const pointer = this.#place(table + BigInt(block * 8 + 8)) - 8;
      const entry = this.#bytes(this.#place(this.#image.readBigUInt64LE(pointer)), 0, (index % 512) * 16, 16);
      fragments.push(this.#stored(this.#place(entry.readBigUInt64LE(0)), entry.readUInt32LE(8)));
    }
    return fragments;
  }

  #stored(start: number, word: number): StoredBlock {
    const size = word & (PLAIN_BLOCK - 1);
    if (start + size > this.#image.length) throw damaged(`a block at byte ${start} is cut short`);
    return { start, size, plain: (word & PLAIN_BLOCK) !== 0 };
  }

  #walk(path: string, reference: bigint, files: SquashfsFile[]): void {
    const [block, offset] = [Number(reference >> 16n), Number(reference & 0xffffn)];
    const inode = (length: number): Buffer => this.#bytes(this.#inodes, block, offset, length);
    const kind = inode(2).readUInt16LE(0);
    if (kind === INODE_KIND.directory || kind === INODE_KIND.wideDirectory) {
      if (this.#seen.has(reference)) throw damaged(`${path} is a directory that lies in two places`);
      this.#seen.add(reference);
      const wide = kind === INODE_KIND.wideDirectory;
      const bytes = inode(wide ? 40 : 32);
      const size = wide ? bytes.readUInt32LE(20) : bytes.readUInt16LE(24);
      const start = bytes.readUInt32LE(wide ? 24 : 16);
      const listing = this.#bytes(this.#directories, start, bytes.readUInt16LE(wide ? 34 : 26), Math.max(0, size - 3));
      for (const entry of entriesOf(listing)) this.#walk(`${path}/${entry.name}`, entry.inode, files);
    } else if (kind === INODE_KIND.file || kind === INODE_KIND.wideFile) {
      files.push(this.#file(path, kind === INODE_KIND.wideFile, inode));
    }
  }

  #file(path: string, wide: boolean, inode: (length: number) => Buffer): SquashfsFile {
    const header = inode(wide ? 56 : 32);
    const start = this.#place(wide ? header.readBigUInt64LE(16) : BigInt(header.readUInt32LE(16)));
    const [fragment, size] = wide
      ? [header.readUInt32LE(44), Number(header.readBigUInt64LE(24))]
      : [header.readUInt32LE(20), header.readUInt32LE(28)];
    const whole = Math.floor(size / this.#blockSize);
    const count = fragment === NO_FRAGMENT ? Math.ceil(size / this.#blockSize) : whole;
    if (count * 4 > this.#image.length) throw damaged(`${path} would have ${size} bytes`);
    const words = inode(header.length + count * 4).subarray(header.length);
    let at = start;
    const blocks = Array.from({ length: count }, (_, index) => {
      const block = this.#stored(at, words.readUInt32LE(index * 4));
      at += block.size;
      return block;
    });
    const offset = header.readUInt32LE(wide ? 48 : 24);
    const tail = fragment === NO_FRAGMENT ? null : { fragment, offset, length: size - whole * this.#blockSize };
    return { path, size, blocks, tail };
  }
}

/** Names and inode references of a directory's listing. */
function entriesOf(listing: Buffer): { name: string; inode: bigint }[] {
  const found: { name: string; inode: bigint }[] = [];
  for (let at = 0; at < listing.length; ) {
    if (at + 12 > listing.length) throw damaged("a directory ends too soon");
    const [count, block] = [listing.readUInt32LE(at) + 1, listing.readUInt32LE(at + 4)];
    at += 12;
    for (let index = 0; index < count; index++) {
      if (at + 8 > listing.length) throw damaged("a directory ends too soon");
      const end = at + 9 + listing.readUInt16LE(at + 6);
      if (end > listing.length) throw damaged("a directory ends too soon");
      const name = listing.toString("utf8", at + 8, end);
      found.push({ name, inode: (BigInt(block) << 16n) | BigInt(listing.readUInt16LE(at)) });
      at = end;
    }
  }
  return found;
}

function damaged(what: string): BadInput {
  return new BadInput(`squashfs is damaged: ${what}; build it again`);
}
