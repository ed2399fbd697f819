import { HEAD_BLOCKS, SECTOR } from "../../boot/converge/head.ts";
import { BLOCK } from "../../boot/image/verity.ts";
import type { ImageTree } from "./image-tree.ts";
import { type OpenSlot, PIECE } from "./open-slot.ts";

/**
 * Writes data blocks of the image to the target: only those that are right by the image's tree, wherever they come from. Blocks
 * that follow each other are written together.
 */
export class BlockWriter {
  readonly #target: OpenSlot;
  readonly #tree: ImageTree;
  readonly #buffer = new Uint8Array(new ArrayBuffer(PIECE * BLOCK));
  /** What waits in the buffer: the blocks from `#first` on. */
  #first = 0;
  #count = 0;
  /** Blocks that are written last of all; null where they are written as they come. */
  readonly #held: Map<number, Uint8Array> | null;

  /** `holdsHead`: the blocks of a superblock are kept until {@link finish}, so that until then there is nothing to mount. */
  constructor(target: OpenSlot, tree: ImageTree, holdsHead: boolean) {
    this.#target = target;
    this.#tree = tree;
    this.#held = holdsHead ? new Map() : null;
  }

  /** Takes a copy of `bytes` to write where they are what `block` should be; else false. Throws WriteFailed. */
  offer(block: number, bytes: Uint8Array): boolean {
    if (!this.#tree.isRight(block, bytes)) return false;
    if (this.#held !== null && HEAD_BLOCKS.includes(block)) {
      this.#held.set(block, new Uint8Array(bytes)); // slice() of a Buffer would be no copy
      return true;
    }
    if (block !== this.#first + this.#count || this.#count === PIECE) {
      this.flush();
      this.#first = block;
    }
    this.#buffer.set(bytes, this.#count * BLOCK);
    this.#count++;
    return true;
  }

  /** A block that is held back; null for one that is not. */
  heldBlock(block: number): Uint8Array | null {
    return this.#held?.get(block) ?? null;
  }

  /** Writes what waits. */
  flush(): void {
    if (this.#count > 0) this.#target.write(this.#first * BLOCK, this.#buffer.subarray(0, this.#count * BLOCK));
    this.#count = 0;
  }

  /** All data is on the medium afterwards: last what was held back, and of that the sector at `lastSector` by itself. */
  finish(lastSector: number): void {
    this.flush();
    this.#target.sync();
    if (this.#held === null) return;
    const within = lastSector % BLOCK;
    const magic = this.#held.get((lastSector - within) / BLOCK);
    const sector = magic?.slice(within, within + SECTOR);
    magic?.fill(0, within, within + SECTOR);
    for (const [block, bytes] of this.#held) this.#target.write(block * BLOCK, bytes);
    this.#target.sync();
    // Whole or not at all: a torn write of the block would leave a superblock without what lies beside it.
    if (sector !== undefined) this.#target.write(lastSector, sector);
    this.#target.sync();
    this.#held.clear();
  }
}
