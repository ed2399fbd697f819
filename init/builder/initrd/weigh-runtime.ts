/** What each file of a runtime image takes of it. */
import { inflateSync } from "node:zlib";
import { readSquashfs, type Squashfs, type SquashfsFile, type StoredBlock, type Unpack } from "../../../boot/squashfs.ts";
import { BadInput } from "../../../state-ops/outcome.ts";
import { reasonOf } from "../input.ts";

/** Bytes of the content from `start` to before `end`, and how many bytes of the image hold them. */
export interface WeighedPiece {
  start: number;
  end: number;
  bytes: number;
}

export interface WeighedFile {
  path: string;
  /** Bytes of its content. */
  size: number;
  /** By position. A block that several files share counts for each by its part of the content; one that two have alike, for one. */
  pieces: WeighedPiece[];
  /** Unpacks its content. Throws BadInput where that is damaged. */
  content(): Uint8Array;
}

const unpack: Unpack = (compressor, bytes) => {
  if (compressor === "zstd") return Bun.zstdDecompressSync(bytes);
  if (compressor === "gzip") return inflateSync(bytes);
  throw new BadInput(`the runtime image is compressed with ${compressor}; zstd and gzip can be read here`);
};

/** The files of a squashfs. What their pieces do not take is tables and padding. Throws BadInput. */
export function weighRuntime(image: Uint8Array): WeighedFile[] {
  const squashfs = readSquashfs(image, unpack);
  const counted = new Set<number>();
  const once = (block: StoredBlock): number => {
    if (counted.has(block.start)) return 0;
    if (block.size > 0) counted.add(block.start);
    return block.size;
  };
  const tails = tailWeights(squashfs);
  return squashfs.files.map((file) => {
    const whole = file.blocks.map((block, index): WeighedPiece => {
      const start = index * squashfs.blockSize;
      return { start, end: Math.min(file.size, start + squashfs.blockSize), bytes: once(block) };
    });
    const tail = tails.get(file);
    const pieces = tail === undefined ? whole : [...whole, { start: file.size - tail.length, end: file.size, bytes: tail.bytes }];
    return { path: file.path, size: file.size, pieces, content: () => contentOf(image, squashfs, file) };
  });
}

/** Of each fragment, what each file with its tail in it takes; files with the same tail take it once. */
function tailWeights({ files, fragments }: Squashfs): Map<SquashfsFile, { length: number; bytes: number }> {
  const weights = new Map<SquashfsFile, { length: number; bytes: number }>();
  for (const [index, { size }] of fragments.entries()) {
    const sharers = files.filter((file) => file.tail?.fragment === index);
    const seen = new Set<number>();
    const lengths = sharers.map((file) => {
      const offset = file.tail?.offset ?? 0;
      if (seen.has(offset)) return 0;
      seen.add(offset);
      return file.tail?.length ?? 0;
    });
    const shares = distribute(size, lengths);
    for (const [place, file] of sharers.entries()) {
      weights.set(file, { length: file.tail?.length ?? 0, bytes: shares[place] ?? 0 });
    }
  }
  return weights;
}

/** `total` in whole numbers that relate to each other as `weights` do, and whose sum it is. */
export function distribute(total: number, weights: readonly number[]): number[] {
  const sum = weights.reduce((left, right) => left + right, 0);
  let [passed, given] = [0, 0];
  return weights.map((weight) => {
    passed += weight;
    const until = sum === 0 ? 0 : Math.round((total * passed) / sum);
    const share = until - given;
    given = until;
    return share;
  });
}

/** Throws BadInput where a block of it is damaged. */
function contentOf(image: Uint8Array, squashfs: Squashfs, file: SquashfsFile): Uint8Array {
  try {
    return unpackFile(image, squashfs, file);
  } catch (error) {
    if (error instanceof BadInput) throw error;
    throw new BadInput(`squashfs is damaged: ${file.path} cannot be unpacked (${reasonOf(error)}); build it again`);
  }
}

function unpackFile(image: Uint8Array, { compressor, blockSize, fragments }: Squashfs, file: SquashfsFile): Uint8Array {
  const content = new Uint8Array(file.size);
  const put = (at: number, length: number, { start, size, plain }: StoredBlock, offset: number): void => {
    const stored = image.subarray(start, start + size);
    const bytes = (plain ? stored : unpack(compressor, stored)).subarray(offset, offset + length);
    if (bytes.length < length) throw new Error(`the block at byte ${start} is too short`);
    content.set(bytes, at);
  };
  for (const [index, block] of file.blocks.entries()) {
    const at = index * blockSize;
    if (block.size > 0) put(at, Math.min(blockSize, file.size - at), block, 0);
  }
  const fragment = file.tail === null ? undefined : fragments[file.tail.fragment];
  if (file.tail !== null && fragment !== undefined)
    put(file.size - file.tail.length, file.tail.length, fragment, file.tail.offset);
  return content;
}
