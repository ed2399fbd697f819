/**
 * A squashfs 4.0 with one file in one directory, which mksquashfs cannot make so that two versions of the file have their equal
 * parts at equal places. Format: see boot/squashfs.ts.
 */
import {
  INODE_KIND,
  METADATA,
  NO_FRAGMENT,
  PLAIN_BLOCK,
  PLAIN_METADATA,
  SQUASHFS_COMPRESSORS,
  SQUASHFS_MAGIC,
  SUPERBLOCK,
} from "../../boot/squashfs.ts";

const NOWHERE = 0xffffffffffffffffn;
const NO_ATTRIBUTES = 0xffffffff;
const ZSTD = SQUASHFS_COMPRESSORS.indexOf("zstd") + 1;
/** Tables are stored as they are, there are neither fragments nor extended attributes. */
const FLAGS = 0x0001 | 0x0010 | 0x0200 | 0x0800;
/** Blocks that are compressed at the same time. */
const AT_ONCE = 8;

export interface OneFile {
  /** The directory's name, and the file's in it. */
  directory: string;
  name: string;
  content: Uint8Array;
  mode: number;
  /** A power of two, 4096 to 1 MiB. */
  blockSize: number;
  /** zstd's, 1 to 22. */
  level: number;
}

/**
 * The image, a multiple of 4096 bytes; the same input gives the same bytes. The file's first block is not compressed: an
 * executable's headers are in it, which change with every build, and with them would change its size, and so the place of all
 * that follows, and every 4 KiB block of it that an update compares.
 */
export async function oneFileSquashfs(file: OneFile): Promise<Uint8Array> {
  const blocks = await storedBlocks(file);
  const data = Buffer.concat(blocks.map(({ bytes }) => bytes));
  const inodes = metadata(
    inodeTable(
      file,
      blocks.map(({ word }) => word),
    ),
  );
  const directories = metadata(
    Buffer.concat([listing(file.directory, 32, 2, INODE_KIND.directory), listing(file.name, 64, 3, INODE_KIND.file)]),
  );
  const owners = metadata(Buffer.alloc(4));
  const at = { inodes: SUPERBLOCK + data.length, directories: 0, owners: 0, index: 0 };
  at.directories = at.inodes + inodes.length;
  at.owners = at.directories + directories.length;
  at.index = at.owners + owners.length;
  const used = at.index + 8;
  const superblock = fields([
    ...[u32(SQUASHFS_MAGIC), u32(3), u32(0), u32(file.blockSize), u32(0)],
    ...[u16(ZSTD), u16(Math.log2(file.blockSize)), u16(FLAGS), u16(1), u16(4), u16(0)],
    ...[u64(0n), u64(used), u64(at.index), u64(NOWHERE), u64(at.inodes), u64(at.directories), u64(NOWHERE), u64(NOWHERE)],
  ]);
  const padding = Buffer.alloc((4096 - (used % 4096)) % 4096);
  return Buffer.concat([superblock, data, inodes, directories, owners, fields([u64(at.owners)]), padding]);
}

/** Each block as it is stored, and its word in the inode. */
async function storedBlocks({ content, blockSize, level }: OneFile): Promise<{ bytes: Uint8Array; word: number }[]> {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < content.length; at += blockSize) parts.push(content.subarray(at, at + blockSize));
  const stored: { bytes: Uint8Array; word: number }[] = [];
  for (let at = 0; at < parts.length; at += AT_ONCE) {
    const some = parts.slice(at, at + AT_ONCE).map(async (part, place) => {
      if (at + place > 0 && part.every((byte) => byte === 0)) return { bytes: new Uint8Array(0), word: 0 };
      const packed = at + place === 0 ? part : await Bun.zstdCompress(part, { level });
      return packed.length < part.length
        ? { bytes: packed, word: packed.length }
        : { bytes: part, word: part.length | PLAIN_BLOCK };
    });
    stored.push(...(await Promise.all(some)));
  }
  return stored;
}

/** The root at byte 0, the directory at 32 and the file at 64. */
function inodeTable({ directory, name, content, mode, blockSize }: OneFile, words: number[]): Buffer {
  const inode = (kind: number, permissions: number, number: number) => [
    u16(kind),
    u16(permissions),
    u16(0),
    u16(0),
    u32(0),
    u32(number),
  ];
  const inodeOfDirectory = (number: number, parent: number, links: number, length: number, offset: number) =>
    fields([...inode(INODE_KIND.directory, 0o755, number), u32(0), u32(links), u16(length + 3), u16(offset), u32(parent)]);
  const lengths = [listing(directory, 0, 0, 0).length, listing(name, 0, 0, 0).length] as const;
  const holes = words.filter((word) => word === 0).length * blockSize;
  return Buffer.concat([
    inodeOfDirectory(1, 4, 3, lengths[0], 0),
    inodeOfDirectory(2, 1, 2, lengths[1], lengths[0]),
    fields([...inode(INODE_KIND.wideFile, mode, 3), u64(SUPERBLOCK), u64(content.length), u64(Math.min(holes, content.length))]),
    fields([u32(1), u32(NO_FRAGMENT), u32(0), u32(NO_ATTRIBUTES), ...words.map(u32)]),
  ]);
}

/** A directory's listing with one entry, whose inode is at `offset` of the table. `kind` is that of a narrow inode. */
function listing(name: string, offset: number, number: number, kind: number): Buffer {
  const bytes = Buffer.from(name);
  return Buffer.concat([fields([u32(0), u32(0), u32(number), u16(offset), u16(0), u16(kind), u16(bytes.length - 1)]), bytes]);
}

/** A table as blocks of metadata, each behind its size. */
function metadata(table: Buffer): Buffer {
  const blocks: Buffer[] = [];
  for (let at = 0; at < table.length; at += METADATA) {
    const part = table.subarray(at, at + METADATA);
    blocks.push(fields([u16(part.length | PLAIN_METADATA)]), part);
  }
  return Buffer.concat(blocks);
}

/** A field and how many bytes it takes. */
type Field = [value: bigint, length: number];
const u16 = (value: number): Field => [BigInt(value), 2];
const u32 = (value: number): Field => [BigInt(value), 4];
const u64 = (value: number | bigint): Field => [BigInt(value), 8];

function fields(list: Field[]): Buffer {
  const bytes = Buffer.alloc(list.reduce((sum, [, length]) => sum + length, 0));
  let at = 0;
  for (const [value, length] of list) {
    if (length === 8) bytes.writeBigUInt64LE(value, at);
    else bytes.writeUIntLE(Number(value), at, length);
    at += length;
  }
  return bytes;
}
