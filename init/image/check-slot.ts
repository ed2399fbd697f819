/**
 * Reads an image whole and past the page cache, and compares every block with its hash tree: what commit, repair and, after too
 * many unclean ends, PID 1 do. Never through dm-verity, which restarts the machine at the first bad block.
 *
 * In steps, so that the caller can feed a watchdog, tell of progress, or stop. Memory stays at two pieces and the tree's upper
 * levels (a 16,000th of the data), however large the image is.
 */
import { layoutOf, type Manifest } from "../../boot/image/seal.ts";
import { leafPlace, TreeProof } from "../../boot/image/tree-proof.ts";
import { BLOCK, blockDigestOf, DIGEST, DIGESTS_PER_BLOCK } from "../../boot/image/verity.ts";
import { O } from "../kernel/constants.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";

/** Blocks that are read at once: 1 MiB. */
export const PIECE_BLOCKS = 256;

/**
 * A block that is not the image's. `block` counts from the start of the filesystem or of the tree. What lies below a damaged
 * block of the tree counts as damaged: nothing can prove it.
 */
export interface DamagedBlock {
  part: "data" | "tree";
  block: number;
  /** The error with which the device refused to give it: "EIO"; null where it gave other bytes. */
  error: string | null;
}

/** A step of the reading: the damaged ones of the blocks that it looked at, at most {@link PIECE_BLOCKS}, or none. */
export interface CheckStep {
  /** Bytes that were read until now, of `total`. */
  done: number;
  total: number;
  damaged: DamagedBlock[];
}

/** What is to be read. */
export type Checked = Pick<Manifest, "filesystemSize" | "rootHash" | "salt">;

/** Opens a slot or an image file for {@link checkSlot}: past the page cache, where what lies there can do that. Throws KernelError. */
export function openRaw(kernel: Kernel, path: string): Descriptor {
  try {
    return kernel.open(path, O.RDONLY | O.DIRECT);
  } catch (error) {
    if (!(error instanceof KernelError) || error.code !== "EINVAL") throw error;
    return kernel.open(path, O.RDONLY);
  }
}

/**
 * Reads tree and data of the image on `fd`, whose seal says `image`. Steps without a damaged block say that all is well so far.
 * Throws KernelError where the device is gone.
 */
export function* checkSlot(kernel: Kernel, fd: Descriptor, image: Checked): Generator<CheckStep, void> {
  const { dataBlocks, treeOffset, treeBlocks } = layoutOf(image);
  const proof = new TreeProof(image, dataBlocks);
  const { start, blocks } = proof.leaves;
  const total = (dataBlocks + treeBlocks) * BLOCK;
  let done = 0;
  const step = (count: number, damaged: DamagedBlock[]): CheckStep => {
    done += count * BLOCK;
    return { done, total, damaged };
  };

  const places = proof.upperPlaces();
  for (let first = 0; first < places.length; first += PIECE_BLOCKS) {
    const count = Math.min(PIECE_BLOCKS, places.length - first);
    const piece = yield* waited(readPiece(kernel, fd, treeOffset, first, count), () => step(0, []));
    const damaged: DamagedBlock[] = [];
    for (const { block, bytes, error } of piece) {
      const place = places[block];
      const right = place !== undefined && bytes !== null && proof.accept(place.level, place.index, bytes);
      if (!right) damaged.push({ part: "tree", block, error });
    }
    yield step(piece.length, damaged);
  }
  for (let first = 0; first < blocks; first += PIECE_BLOCKS) {
    const count = Math.min(PIECE_BLOCKS, blocks - first);
    const piece = yield* waited(readPiece(kernel, fd, treeOffset, start + first, count), () => step(0, []));
    const damaged: DamagedBlock[] = [];
    const leaves = piece.map(({ block, bytes, error }) => {
      if (bytes !== null && proof.accept(0, block - start, bytes)) return bytes;
      damaged.push({ part: "tree", block, error });
      return null;
    });
    yield step(piece.length, damaged);
    const range = { first: first * DIGESTS_PER_BLOCK, end: Math.min(dataBlocks, (first + piece.length) * DIGESTS_PER_BLOCK) };
    const leafOf = (dataBlock: number) => {
      const { index, offset } = leafPlace(dataBlock);
      return leaves[index - first]?.subarray(offset, offset + DIGEST) ?? null;
    };
    for (const checked of checkData(kernel, fd, image.salt, range, leafOf)) yield step(checked.blocks, checked.damaged);
  }
}

/**
 * Reads the data blocks from `first` up to `end` and compares them with their leaves, which the caller has proven; null for a
 * leaf that he has not.
 */
export function* checkData(
  kernel: Kernel,
  fd: Descriptor,
  salt: string,
  { first, end }: { first: number; end: number },
  leafOf: (dataBlock: number) => Uint8Array | null,
): Generator<{ blocks: number; damaged: DamagedBlock[] }, void> {
  const digest = blockDigestOf(Uint8Array.fromHex(salt));
  for (let at = first; at < end; at += PIECE_BLOCKS) {
    const count = Math.min(PIECE_BLOCKS, end - at);
    const piece = yield* waited(readPiece(kernel, fd, 0, at, count), () => ({ blocks: 0, damaged: [] }));
    const damaged = piece.flatMap(({ block, bytes, error }): DamagedBlock[] => {
      const leaf = leafOf(block);
      const right = bytes !== null && leaf !== null && Buffer.compare(digest(bytes), leaf) === 0;
      return right ? [] : [{ part: "data", block, error }];
    });
    yield { blocks: piece.length, damaged };
  }
}

interface ReadBlock {
  block: number;
  /** Null where the device did not give it, or ends before. */
  bytes: Uint8Array | null;
  error: string | null;
}

/**
 * Errors that are about what was asked for: the medium, or what carries it (block/blk-core.c, blk_errors). Others are about the
 * device as a whole, or about us.
 */
const UNREADABLE = new Set(["EIO", "ENODATA", "EILSEQ", "EREMOTEIO", "ETIMEDOUT"]);

/**
 * `count` blocks from block `first` on, behind `base`. Where the device refuses them together they are asked for one by one; a
 * failing disk may take long over each, so that the caller gets a turn in between.
 */
function* readPiece(kernel: Kernel, fd: Descriptor, base: number, first: number, count: number): Generator<null, ReadBlock[]> {
  const offset = BigInt(base) + BigInt(first) * BigInt(BLOCK);
  try {
    const bytes = kernel.read(fd, count * BLOCK, offset);
    return Array.from({ length: count }, (_, index) => {
      const block = bytes.subarray(index * BLOCK, (index + 1) * BLOCK);
      return { block: first + index, bytes: block.length === BLOCK ? block : null, error: null };
    });
  } catch (error) {
    if (!(error instanceof KernelError) || !UNREADABLE.has(error.code)) throw error;
    if (count === 1) return [{ block: first, bytes: null, error: error.code }];
  }
  const blocks: ReadBlock[] = [];
  for (let index = 0; index < count; index++) {
    yield null;
    blocks.push(...(yield* readPiece(kernel, fd, base, first + index, 1)));
  }
  return blocks;
}

/** What `reading` returns; `step` is what its turns are to the caller. */
function* waited<Step>(reading: Generator<null, ReadBlock[]>, step: () => Step): Generator<Step, ReadBlock[]> {
  for (;;) {
    const next = reading.next();
    if (next.done) return next.value;
    yield step();
  }
}

/** A damaged block for people: "block 7 of the data (byte 28672) is not the image's". */
export function damageText({ part, block, error }: DamagedBlock): string {
  const what = part === "data" ? `block ${block} of the data (byte ${block * BLOCK})` : `block ${block} of the hash tree`;
  return error === null ? `${what} is not the image's` : `${what} cannot be read (${error})`;
}
