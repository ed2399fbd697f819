/**
 * Reads an image whole and past the page cache, and compares every block with its hash tree: what commit, repair and, after too
 * many unclean ends, PID 1 do. Never through dm-verity, which restarts the machine at the first bad block.
 *
 * In steps, so that the caller can feed a watchdog, tell of progress, or stop. Memory stays at two pieces and the tree's upper
 * levels (a 16,000th of the data), however large the image is.
 */
import { layoutOf, type Manifest } from "../../boot/image/seal.ts";
import { TreeProof } from "../../boot/image/tree-proof.ts";
import { BLOCK, DIGEST, DIGESTS_PER_BLOCK, dataDigestInto, isSameDigest } from "../../boot/image/verity.ts";
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
  const tree = new Piece(kernel, fd, treeOffset);
  const data = new Piece(kernel, fd, 0);
  const isRight = dataCheck(image.salt);

  const places = proof.upperPlaces();
  for (let first = 0; first < places.length; first += PIECE_BLOCKS) {
    yield* waited(tree.read(first, Math.min(PIECE_BLOCKS, places.length - first)), () => step(0, []));
    const accept = (bytes: Uint8Array, index: number) => {
      const place = places[first + index];
      return place !== undefined && proof.accept(place.level, place.index, bytes);
    };
    yield step(tree.count, damagedIn(tree, "tree", accept));
  }
  for (let first = 0; first < blocks; first += PIECE_BLOCKS) {
    yield* waited(tree.read(start + first, Math.min(PIECE_BLOCKS, blocks - first)), () => step(0, []));
    const proven: boolean[] = new Array(tree.count).fill(false);
    const accept = (bytes: Uint8Array, index: number) => {
      proven[index] = proof.accept(0, first + index, bytes);
      return proven[index] === true;
    };
    yield step(tree.count, damagedIn(tree, "tree", accept));
    const end = Math.min(dataBlocks, (first + tree.count) * DIGESTS_PER_BLOCK);
    for (let at = first * DIGESTS_PER_BLOCK; at < end; at += PIECE_BLOCKS) {
      yield* waited(data.read(at, Math.min(PIECE_BLOCKS, end - at)), () => step(0, []));
      const hasLeaf = (bytes: Uint8Array, index: number) => {
        const leaf = at + index - first * DIGESTS_PER_BLOCK;
        const leaves = Math.floor(leaf / DIGESTS_PER_BLOCK);
        const block = proven[leaves] === true ? tree.block(leaves) : null;
        return block !== null && isRight(bytes, block, (leaf % DIGESTS_PER_BLOCK) * DIGEST);
      };
      yield step(data.count, damagedIn(data, "data", hasLeaf));
    }
  }
}

/** Those of a piece's blocks that cannot be read, or that `isRight` does not take. */
function damagedIn(
  piece: Piece,
  part: DamagedBlock["part"],
  isRight: (bytes: Uint8Array, index: number) => boolean,
): DamagedBlock[] {
  const damaged: DamagedBlock[] = [];
  for (let index = 0; index < piece.count; index++) {
    const bytes = piece.block(index);
    if (bytes === null || !isRight(bytes, index)) damaged.push({ part, block: piece.first + index, error: piece.error(index) });
  }
  return damaged;
}

/** Compares a data block with its leaf, at an offset of a block of leaves. */
function dataCheck(salt: string): (bytes: Uint8Array, leaves: Uint8Array, offset: number) => boolean {
  const digest = dataDigestInto(Uint8Array.fromHex(salt));
  return (bytes, leaves, offset) => isSameDigest(digest(bytes), 0, leaves, offset);
}

/**
 * Errors that are about what was asked for: the medium, or what carries it (block/blk-core.c, blk_errors). Others are about the
 * device as a whole, or about us.
 */
const UNREADABLE = new Set(["EIO", "ENODATA", "EILSEQ", "EREMOTEIO", "ETIMEDOUT"]);

/**
 * Blocks that are read together, behind `base`, into memory that the next ones take over: nothing is made for each block or each
 * piece, since the runtime lets tens of MiB of garbage lie before it collects any.
 */
class Piece {
  first = 0;
  count = 0;
  readonly #bytes = new Uint8Array(new ArrayBuffer(PIECE_BLOCKS * BLOCK));
  readonly #blocks = Array.from({ length: PIECE_BLOCKS }, (_, index) => this.#part(index, 1));
  readonly #isThere: boolean[] = new Array(PIECE_BLOCKS).fill(false);
  readonly #errors: (string | null)[] = new Array(PIECE_BLOCKS).fill(null);

  constructor(
    readonly kernel: Kernel,
    readonly fd: Descriptor,
    readonly base: number,
  ) {}

  /** A block of those that were read; null where the device did not give it, or ends before. */
  block(index: number): Uint8Array | null {
    return this.#isThere[index] === true ? (this.#blocks[index] ?? null) : null;
  }

  /** Why the device did not give it: "EIO"; null where it did, or ends before. */
  error(index: number): string | null {
    return this.#errors[index] ?? null;
  }

  /**
   * Reads `count` blocks from block `first` on. Where the device refuses them together they are asked for one by one; a failing
   * disk may take long over each, so that the caller gets a turn in between.
   */
  *read(first: number, count: number): Generator<null, void> {
    this.first = first;
    this.count = count;
    if (this.#readPart(0, count) === null) return;
    for (let index = 0; index < count; index++) {
      yield null;
      const error = this.#readPart(index, 1);
      if (error === null) continue;
      this.#isThere[index] = false;
      this.#errors[index] = error;
    }
  }

  /** Null once they are read, else the error that is about them. */
  #readPart(index: number, count: number): string | null {
    const offset = BigInt(this.base) + BigInt(this.first + index) * BigInt(BLOCK);
    try {
      const got = this.kernel.readInto(this.fd, this.#part(index, count), offset);
      for (let at = 0; at < count; at++) this.#isThere[index + at] = (at + 1) * BLOCK <= got;
      this.#errors.fill(null, index, index + count);
      return null;
    } catch (error) {
      if (error instanceof KernelError && UNREADABLE.has(error.code)) return error.code;
      throw error;
    }
  }

  #part(index: number, count: number): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(index * BLOCK, (index + count) * BLOCK);
  }
}

/** Goes on with `reading` to its end; `step` is what its turns are to the caller. */
function* waited<Step>(reading: Generator<null, void>, step: () => Step): Generator<Step, void> {
  for (const _ of reading) yield step();
}

/** A damaged block for people: "block 7 of the data (byte 28672) is not the image's". */
export function damageText({ part, block, error }: DamagedBlock): string {
  const what = part === "data" ? `block ${block} of the data (byte ${block * BLOCK})` : `block ${block} of the hash tree`;
  return error === null ? `${what} is not the image's` : `${what} cannot be read (${error})`;
}
