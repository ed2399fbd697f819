import type { Run } from "../../boot/converge/ranges.ts";
import { type ImageLayout, layoutOf, type Manifest } from "../../boot/image/seal.ts";
import { leafPlace, TreeProof } from "../../boot/image/tree-proof.ts";
import {
  BLOCK,
  type BlockDigestInto,
  DIGEST,
  DIGESTS_PER_BLOCK,
  dataDigestInto,
  isSameDigest,
  ZERO_BLOCK,
} from "../../boot/image/verity.ts";
import { fetchBlocks } from "./fetch-blocks.ts";
import { type OpenSlot, PIECE } from "./open-slot.ts";
import { type ImageSource, SourceError } from "./source.ts";

/** Blocks of leaves that are kept in memory where there are no more: 16 MiB, those of an image of 2 GiB. */
export const MOST_KEPT = 4096;
/** Blocks of leaves that are remembered where not all are. */
const MOST_RECENT = 64;

/** Proven blocks of leaves, one after the other; `first` counts from the first of them. */
export interface LeafPiece {
  first: number;
  bytes: Uint8Array;
}

/** Nobody has the blocks of the tree that are needed. */
export class TreeMissing extends Error {
  override readonly name = "TreeMissing";
}

/**
 * The hash tree of an image that is wanted, wherever its blocks are had from: slots that (may) hold it already, the target
 * first, then the source. Each block is proven from the root hash down before it is used.
 */
export class ImageTree {
  readonly layout: ImageLayout;
  readonly zeroLeaf: Uint8Array;
  readonly #digest: BlockDigestInto;
  readonly #proof: TreeProof;
  readonly #slots: readonly OpenSlot[];
  readonly #source: ImageSource | null;
  readonly #mostKept: number;
  /** What a piece is put together in: the same for every one, since garbage of this size is not collected soon. */
  readonly #buffer = new Uint8Array(PIECE * BLOCK);
  #kept: Uint8Array | null = null;
  readonly #recent = new Map<number, Uint8Array<ArrayBuffer>>();
  /** Blocks of the tree that the source was asked for, a bit each. */
  readonly #asked: Uint8Array;

  /** `mostKept`: how many blocks of leaves are kept in memory. */
  constructor(manifest: Manifest, slots: readonly OpenSlot[], source: ImageSource | null, mostKept = MOST_KEPT) {
    this.layout = layoutOf(manifest);
    this.#digest = dataDigestInto(Uint8Array.fromHex(manifest.salt));
    this.zeroLeaf = this.#digest(ZERO_BLOCK).slice(0, DIGEST);
    this.#proof = new TreeProof(manifest, this.layout.dataBlocks);
    this.#slots = slots;
    this.#source = source;
    this.#mostKept = mostKept;
    this.#asked = new Uint8Array(Math.ceil(this.layout.treeBlocks / 8));
  }

  /** How many blocks of the tree none of the slots had. */
  get fetched(): number {
    return this.#asked.reduce((sum, byte) => sum + (byte.toString(2).match(/1/g)?.length ?? 0), 0);
  }

  /** Blocks that the leaves fill. */
  get leafBlocks(): number {
    return this.#proof.leaves.blocks;
  }

  /** Whether {@link proveLeaves} keeps the leaves in memory. */
  get fitsMemory(): boolean {
    return this.leafBlocks <= this.#mostKept;
  }

  /** Gets and proves the levels above the leaves, which the other methods need. Throws SourceError, TreeMissing. */
  async proveUpper(): Promise<void> {
    for (let level = this.#proof.levels.length - 1; level > 0; level--) {
      const blocks = this.#proof.levels[level]?.blocks ?? 0;
      for (let first = 0; first < blocks; first += PIECE) await this.#piece(level, first, Math.min(PIECE, blocks - first));
    }
  }

  /** Gets and proves all leaves, and keeps them where they are few enough. `told` is called with blocks as they come. */
  async proveLeaves(told: (blocks: number) => void): Promise<void> {
    const blocks = this.leafBlocks;
    const kept = this.fitsMemory ? new Uint8Array(blocks * BLOCK) : null;
    for await (const { first, bytes } of this.leafPieces(0, blocks)) {
      if (kept !== null) kept.set(bytes, first * BLOCK);
      // The blocks of a superblock are looked at before the tree lies in a slot.
      else if (first === 0) this.#recent.set(0, bytes.slice(0, BLOCK));
      told(bytes.length / BLOCK);
    }
    this.#kept = kept;
  }

  /** The blocks of leaves from `first` up to `end`, proven; a piece is good until the next one. */
  async *leafPieces(first: number, end: number): AsyncGenerator<LeafPiece> {
    for (let at = first; at < end; at += PIECE) {
      const count = Math.min(PIECE, end - at);
      const kept = this.#kept?.subarray(at * BLOCK, (at + count) * BLOCK);
      yield { first: at, bytes: kept ?? (await this.#piece(0, at, count)) };
    }
  }

  /** Those of `count` blocks of leaves that the first slot holds undamaged, by their number; good until the next call. */
  *provenLeaves(first: number, count: number): Generator<[number, Uint8Array]> {
    const base = this.layout.treeOffset / BLOCK + this.#proof.leaves.start;
    for (const [index, block] of (this.#slots[0]?.read(base + first, count) ?? []).entries())
      if (block !== null && this.#proof.accept(0, first + index, block)) yield [first + index, block];
  }

  /** `count` proven blocks of a level. */
  async #piece(level: number, first: number, count: number): Promise<Uint8Array> {
    const { start } = this.#proof.levels[level] ?? { start: 0 };
    const base = this.layout.treeOffset / BLOCK + start;
    const bytes = this.#buffer.subarray(0, count * BLOCK);
    const missing = new Set(Array.from({ length: count }, (_, index) => index));
    const accept = (index: number, block: Uint8Array): boolean => {
      if (!this.#proof.accept(level, first + index, block)) return false;
      bytes.set(block, index * BLOCK);
      missing.delete(index);
      return true;
    };
    for (const slot of this.#slots) {
      if (missing.size === 0) break;
      if ((base + first + count) * BLOCK > slot.size) continue;
      for (const [index, block] of slot.read(base + first, count).entries())
        if (block !== null && missing.has(index)) accept(index, block);
    }
    if (missing.size === 0) return bytes;
    if (this.#source === null)
      throw new TreeMissing(`of the hash tree ${missing.size === 1 ? "a block is" : `${missing.size} blocks are`} damaged`);
    for (const index of missing) {
      const block = start + first + index;
      this.#asked[block >> 3] = (this.#asked[block >> 3] ?? 0) | (1 << (block & 7));
    }
    const at = base + first;
    const isWanted = (block: number) => missing.has(block - at);
    await fetchBlocks(this.#source, runsOf(missing, at), isWanted, (block, piece) => accept(block - at, piece));
    return bytes;
  }

  /**
   * Whether `bytes` are the data block `block`. Works once all leaves are in memory or the tree lies in one of the slots, as it
   * does after {@link writeTo}; for the image's first blocks from {@link proveLeaves} on.
   */
  isRight(block: number, bytes: Uint8Array): boolean {
    const { index, offset } = leafPlace(block);
    const kept = this.#kept;
    const leaves = kept ?? this.#recentLeaves(index);
    return isSameDigest(this.digestOf(bytes), 0, leaves, kept === null ? offset : index * BLOCK + offset);
  }

  /** Begins with the digest of a block, until the next call. */
  digestOf(block: Uint8Array): Uint8Array {
    return this.#digest(block);
  }

  #recentLeaves(index: number): Uint8Array {
    const known = this.#recent.get(index);
    if (known !== undefined) return known;
    const place = this.layout.treeOffset / BLOCK + this.#proof.leaves.start + index;
    const into = this.#forgetOldest() ?? new Uint8Array(new ArrayBuffer(BLOCK));
    for (const slot of this.#slots) {
      const block = slot.readBlock(place, into);
      if (block === null || !this.#proof.accept(0, index, block)) continue;
      this.#recent.set(index, block);
      return block;
    }
    const [target] = this.#slots;
    throw new SourceError(`${target?.path}: the hash tree that was just written reads back otherwise; the disk is failing`);
  }

  /** The memory of the block of leaves that was read first, where there are many; null where not. */
  #forgetOldest(): Uint8Array<ArrayBuffer> | null {
    const oldest = this.#recent.size < MOST_RECENT ? undefined : this.#recent.keys().next().value;
    if (oldest === undefined) return null;
    const memory = this.#recent.get(oldest) ?? null;
    this.#recent.delete(oldest);
    return memory;
  }

  /** Makes the target's blocks of the tree what they should be. `target` is one of the slots. Throws WriteFailed. */
  async writeTo(target: OpenSlot): Promise<void> {
    const base = this.layout.treeOffset / BLOCK;
    for (const place of this.#proof.upperPlaces()) put(target, base + place.treeBlock, this.#proof.upperBlock(place));
    const { start } = this.#proof.leaves;
    for await (const { first, bytes } of this.leafPieces(0, this.leafBlocks)) put(target, base + start + first, bytes);
  }
}

/** Writes those of the blocks that the slot does not hold. */
function put(target: OpenSlot, first: number, bytes: Uint8Array): void {
  const there = target.read(first, bytes.length / BLOCK);
  const wanted = (index: number) => bytes.subarray(index * BLOCK, (index + 1) * BLOCK);
  const differing = new Set<number>();
  for (const [index, block] of there.entries()) {
    if (block === null || Buffer.compare(block, wanted(index)) !== 0) differing.add(index);
  }
  for (const run of runsOf(differing, 0)) {
    target.write((first + run.first) * BLOCK, bytes.subarray(run.first * BLOCK, (run.first + run.count) * BLOCK));
  }
}

/** Runs of the numbers in `indexes`, `base` added. */
function runsOf(indexes: ReadonlySet<number>, base: number): Run[] {
  const runs: Run[] = [];
  for (const index of [...indexes].sort((left, right) => left - right)) {
    const last = runs.at(-1);
    if (last !== undefined && last.first + last.count === base + index) last.count++;
    else runs.push({ first: base + index, count: 1 });
  }
  return runs;
}

/** The block of leaves in which those of `dataBlock` are. */
export function leafBlockOf(dataBlock: number): number {
  return Math.floor(dataBlock / DIGESTS_PER_BLOCK);
}
