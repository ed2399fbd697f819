/**
 * Proves a hash tree from its root hash downwards, whatever order and place its blocks are read from. The levels above the
 * leaves are kept, which is a 16,000th of the data; blocks of leaves are only looked at.
 */
import { BLOCK, type BlockDigest, blockDigestOf, DIGEST, DIGESTS_PER_BLOCK, type TreeLevel, treeLevels } from "./verity.ts";

/** A block of the tree: `index` counts from the start of its level, `treeBlock` from the start of the tree. */
export interface TreePlace {
  level: number;
  index: number;
  treeBlock: number;
}

export class TreeProof {
  readonly levels: readonly TreeLevel[];
  readonly #digest: BlockDigest;
  readonly #rootHash: Uint8Array;
  /** By level, the proven bytes of levels above the leaves. */
  readonly #kept: Uint8Array[];

  /** `rootHash` and `salt` in hex, as a manifest has them. */
  constructor({ rootHash, salt }: { rootHash: string; salt: string }, dataBlocks: number) {
    this.levels = treeLevels(dataBlocks);
    this.#digest = blockDigestOf(Uint8Array.fromHex(salt));
    this.#rootHash = Uint8Array.fromHex(rootHash);
    this.#kept = this.levels.map(({ blocks }, level) => new Uint8Array(level === 0 ? 0 : blocks * BLOCK));
  }

  /** The blocks above the leaves, in the order in which {@link accept} has to be given them. */
  upperPlaces(): TreePlace[] {
    const places: TreePlace[] = [];
    for (let level = this.levels.length - 1; level > 0; level--) {
      const { start, blocks } = this.#levelAt(level);
      for (let index = 0; index < blocks; index++) places.push({ level, index, treeBlock: start + index });
    }
    return places;
  }

  /** How many blocks the leaves fill, and where in the tree the first of them is. */
  get leaves(): TreeLevel {
    return this.#levelAt(0);
  }

  /**
   * Whether `block` is the tree's block at that place. All blocks above it must have been accepted before. A right block above
   * the leaves is kept.
   */
  accept(level: number, index: number, block: Uint8Array): boolean {
    const right = block.length === BLOCK && Buffer.compare(this.#digest(block), this.#expected(level, index)) === 0;
    if (right && level > 0) this.#kept[level]?.set(block, index * BLOCK);
    return right;
  }

  /** A block above the leaves that was accepted. */
  upperBlock({ level, index }: TreePlace): Uint8Array {
    const kept = this.#kept[level];
    if (level === 0 || kept === undefined) throw new RangeError(`no block of level ${level} is kept`);
    return kept.subarray(index * BLOCK, (index + 1) * BLOCK);
  }

  #expected(level: number, index: number): Uint8Array {
    const above = this.#kept[level + 1];
    return above === undefined ? this.#rootHash : above.subarray(index * DIGEST, (index + 1) * DIGEST);
  }

  #levelAt(level: number): TreeLevel {
    const found = this.levels[level];
    if (found === undefined) throw new RangeError(`a tree of ${this.levels.length} levels has no level ${level}`);
    return found;
  }
}

/** Which block of the leaves holds the leaf of a data block, and where in it, in bytes. */
export function leafPlace(dataBlock: number): { index: number; offset: number } {
  return { index: Math.floor(dataBlock / DIGESTS_PER_BLOCK), offset: (dataBlock % DIGESTS_PER_BLOCK) * DIGEST };
}
