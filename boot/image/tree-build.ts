/**
 * Makes a hash tree from data blocks that come one after the other. Of each level one block is held, so that memory does not
 * grow with the data.
 */
import { BLOCK, type BlockDigest, blockDigestOf, DIGEST, DIGESTS_PER_BLOCK, treeLevels, ZERO_BLOCK } from "./verity.ts";

/** Takes a block of the tree, which counts from the start of the tree. The bytes are the taker's only until it returns. */
export type TakeTreeBlock = (treeBlock: number, block: Uint8Array) => void;

/** A block of a level that is being filled. */
interface Filling {
  treeBlock: number;
  bytes: Uint8Array;
  digests: number;
}

export class TreeBuilder {
  readonly #dataBlocks: number;
  readonly #take: TakeTreeBlock;
  readonly #digest: BlockDigest;
  readonly #zeroDigest: Uint8Array;
  readonly #levels: Filling[];
  #added = 0;
  #rootHash: Uint8Array | null = null;

  /** `salt` in hex, as a manifest has it. */
  constructor(salt: string, dataBlocks: number, take: TakeTreeBlock) {
    this.#dataBlocks = dataBlocks;
    this.#take = take;
    this.#digest = blockDigestOf(Uint8Array.fromHex(salt));
    this.#zeroDigest = this.#digest(ZERO_BLOCK);
    this.#levels = treeLevels(dataBlocks).map(({ start }) => ({ treeBlock: start, bytes: new Uint8Array(BLOCK), digests: 0 }));
  }

  /** The next data blocks, whole ones. */
  add(blocks: Uint8Array): void {
    for (let at = 0; at < blocks.length; at += BLOCK) {
      const block = blocks.subarray(at, at + BLOCK);
      // Much of an image with a writable filesystem is empty.
      this.#put(0, Buffer.compare(block, ZERO_BLOCK) === 0 ? this.#zeroDigest : this.#digest(block));
      this.#added++;
    }
  }

  /** The root hash in hex. All data blocks must have been added. */
  rootHash(): string {
    if (this.#added !== this.#dataBlocks) throw new RangeError(`${this.#added} of ${this.#dataBlocks} data blocks were added`);
    for (let level = 0; level < this.#levels.length; level++) this.#finishBlock(level);
    if (this.#rootHash === null) throw new RangeError("a tree without blocks");
    return this.#rootHash.toHex();
  }

  #put(level: number, digest: Uint8Array): void {
    const filling = this.#levels[level];
    if (filling === undefined) {
      this.#rootHash = digest;
      return;
    }
    filling.bytes.set(digest, filling.digests * DIGEST);
    filling.digests++;
    if (filling.digests === DIGESTS_PER_BLOCK) this.#finishBlock(level);
  }

  #finishBlock(level: number): void {
    const filling = this.#levels[level];
    if (filling === undefined || filling.digests === 0) return;
    this.#take(filling.treeBlock, filling.bytes);
    const digest = this.#digest(filling.bytes);
    filling.treeBlock++;
    filling.bytes.fill(0);
    filling.digests = 0;
    this.#put(level + 1, digest);
  }
}
