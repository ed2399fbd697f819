/**
 * Where each block of a window of the image comes from. A window is as much of an image as is planned at once, so that the
 * memory for it stays the same however large the image is: 21 bytes a block.
 */
import { isSameDigest } from "../image/verity.ts";
import { HEAD_BLOCKS } from "./head.ts";
import { LeafIndex } from "./leaf-index.ts";
import { type Run, runsIn } from "./ranges.ts";

/** Blocks of a window: 4 GiB. */
export const WINDOW_BLOCKS = 2 ** 20;

/** What a block is, in one byte. A donor's number is added to {@link DONOR}. */
const SOURCE = 0;
const THERE = 1;
const ZERO = 2;
const MOVED = 3;
const TWIN = 4;
const DONOR = 5;
/** Only while hazards are looked for: the block that this one would be copied from is gone by then. */
const LOST = 255;

/** Blocks by where they come from. */
export interface Amounts {
  /** In the target already, where they belong. */
  there: number;
  /** Nothing but zeros. */
  zero: number;
  /** Elsewhere in the target. */
  target: number;
  /** In the donors, in their order. */
  donors: number[];
  /** To be fetched. */
  source: number;
}

/** Blocks to copy, `count` one after the other: from `from` on to `to` on. `donor` is null for the target itself. */
export interface Copy {
  donor: number | null;
  from: number;
  to: number;
  count: number;
}

/** No copy is longer: 1 MiB. */
const LONGEST_COPY = 256;

export class WindowPlan {
  readonly #index: LeafIndex;
  readonly #origin: Uint8Array;
  /** Number of the block that it is copied from: of the target's, counted from the window's start, or of a donor's. */
  readonly #from: Uint32Array;
  readonly #zeroLeaf: Uint8Array;
  #first = 0;
  #count = 0;
  #descending = false;

  /** For windows of up to `blocks` blocks; `zeroLeaf` is the digest of a block of zeros. */
  constructor(blocks: number, zeroLeaf: Uint8Array) {
    this.#index = new LeafIndex(blocks);
    this.#origin = new Uint8Array(blocks);
    this.#from = new Uint32Array(blocks);
    this.#zeroLeaf = zeroLeaf;
  }

  /** Number of the window's first block. */
  get first(): number {
    return this.#first;
  }
  get count(): number {
    return this.#count;
  }

  /** Begins a window of `count` blocks from the block `first` on. Its leaves have to be set next, then the target looked at. */
  begin(first: number, count: number): void {
    if (count > this.#origin.length) throw new RangeError(`a window of ${count} blocks, made for ${this.#origin.length}`);
    this.#first = first;
    this.#count = count;
    this.#index.clear();
    this.#origin.fill(SOURCE);
  }

  /** The leaf of `block` is at `offset` of `bytes`. */
  setLeaf(block: number, bytes: Uint8Array, offset: number): void {
    const index = block - this.#first;
    if (isSameDigest(bytes, offset, this.#zeroLeaf, 0)) {
      this.#origin[index] = ZERO;
      return;
    }
    const before = this.#index.add(index, bytes, offset);
    if (before === null) return;
    this.#origin[index] = TWIN;
    this.#from[index] = before;
  }

  /** In the target `block` is what it should be. */
  isThere(block: number): void {
    const index = block - this.#first;
    const other = this.#from[index] ?? 0;
    // Nothing will be written here: a safe place to copy the block from that has the same content.
    const safe = this.#origin[index] === TWIN && !HEAD_BLOCKS.includes(block);
    if (safe && this.#origin[other] !== THERE) this.#set(other, MOVED, index);
    this.#origin[index] = THERE;
  }

  /** In the target `block` is something else, with the digest at `offset` of `bytes`, which may belong elsewhere. */
  isElse(block: number, bytes: Uint8Array, offset: number): void {
    if (HEAD_BLOCKS.includes(block)) return;
    const wanted = this.#index.find(bytes, offset);
    if (wanted !== null && this.#origin[wanted] === SOURCE) this.#set(wanted, MOVED, block - this.#first);
  }

  /** The block `donorBlock` of the donor has the digest at `offset` of `bytes`. A donor's copy, which nothing overwrites, is preferred. */
  hasDonor(donor: number, donorBlock: number, bytes: Uint8Array, offset: number): void {
    const wanted = this.#index.find(bytes, offset);
    if (wanted === null) return;
    const origin = this.#origin[wanted];
    if (origin === SOURCE || origin === MOVED) this.#set(wanted, DONOR + donor, donorBlock);
  }

  #set(index: number, origin: number, from: number): void {
    this.#origin[index] = origin;
    this.#from[index] = from;
  }

  /**
   * Decides in which order blocks are moved within the target: the one in which fewer are overwritten before they were copied.
   * Those are fetched.
   */
  settle(): void {
    const ascending = this.#lose(false);
    this.#restore(MOVED);
    const descending = this.#lose(true);
    this.#descending = descending < ascending;
    if (!this.#descending) {
      this.#restore(MOVED);
      this.#lose(false);
    }
    this.#restore(SOURCE);
  }

  /** Marks the blocks that are lost when all are moved in this order. Returns how many. */
  #lose(descending: boolean): number {
    let lost = 0;
    for (let step = 0; step < this.#count; step++) {
      const index = descending ? this.#count - 1 - step : step;
      if (this.#origin[index] !== MOVED) continue;
      const from = this.#from[index] ?? 0;
      const before = descending ? from > index : from < index;
      if (!before || this.#origin[from] !== MOVED) continue;
      this.#origin[index] = LOST;
      lost++;
    }
    return lost;
  }

  #restore(origin: number): void {
    for (let index = 0; index < this.#count; index++) if (this.#origin[index] === LOST) this.#origin[index] = origin;
  }

  /** Whether `block` still has to be fetched. */
  isMissing(block: number): boolean {
    const index = block - this.#first;
    return index >= 0 && index < this.#count && this.#origin[index] === SOURCE;
  }

  /** `block` is in the target now. */
  arrived(block: number): void {
    this.#origin[block - this.#first] = THERE;
  }

  /** `block` cannot be copied after all, and has to be fetched. */
  failed(block: number): void {
    this.#origin[block - this.#first] = SOURCE;
  }

  /** Copies within the target, in the order in which they have to be made; each is read whole before it is written. */
  *moves(): Generator<Copy> {
    yield* this.#copies((origin) => origin === MOVED, this.#descending);
  }

  /** Copies from donors, donor by donor. */
  *donations(donors: number): Generator<Copy> {
    for (let donor = 0; donor < donors; donor++) yield* this.#copies((origin) => origin === DONOR + donor, false);
  }

  /** Copies of blocks of the window that have arrived. */
  *twins(): Generator<Copy> {
    yield* this.#copies((origin) => origin === TWIN, false);
  }

  *#copies(wanted: (origin: number) => boolean, descending: boolean): Generator<Copy> {
    const isWanted = (index: number) => wanted(this.#origin[index] ?? SOURCE);
    const follows = (begin: number, index: number) => (this.#from[index] ?? 0) - (this.#from[begin] ?? 0) === index - begin;
    for (const { first, count } of runsIn(this.#count, LONGEST_COPY, descending, isWanted, follows)) {
      const origin = this.#origin[first] ?? SOURCE;
      const from = this.#from[first] ?? 0;
      const donor = origin >= DONOR ? origin - DONOR : null;
      yield { donor, from: donor === null ? from + this.#first : from, to: first + this.#first, count };
    }
  }

  /** Runs of zeros that have to be written. */
  *zeros(): Generator<Run> {
    const isZero = (index: number) => this.#origin[index] === ZERO;
    for (const { first, count } of runsIn(this.#count, LONGEST_COPY, false, isZero)) yield { first: first + this.#first, count };
  }

  /** Runs of missing blocks, at most `most`, none before the block `from`. */
  missing(from: number, most: number): Run[] {
    const found: Run[] = [];
    for (let index = Math.max(0, from - this.#first); index < this.#count && found.length < most; index++) {
      if (this.#origin[index] !== SOURCE) continue;
      const first = index;
      while (index < this.#count && this.#origin[index] === SOURCE) index++;
      found.push({ first: first + this.#first, count: index - first });
    }
    return found;
  }

  /** Whether donors can give anything. */
  get isWanting(): boolean {
    for (let index = 0; index < this.#count; index++) {
      const origin = this.#origin[index];
      if (origin === SOURCE || origin === MOVED) return true;
    }
    return false;
  }

  /** Blocks by where they come from, as planned so far; `donors` is how many there are. */
  amounts(donors: number): Amounts {
    const byOrigin = new Uint32Array(256);
    for (let index = 0; index < this.#count; index++) {
      const origin = this.#origin[index] ?? SOURCE;
      byOrigin[origin] = (byOrigin[origin] ?? 0) + 1;
    }
    const of = (origin: number) => byOrigin[origin] ?? 0;
    return {
      there: of(THERE),
      zero: of(ZERO),
      target: of(MOVED) + of(TWIN),
      donors: Array.from({ length: donors }, (_, donor) => of(DONOR + donor)),
      source: of(SOURCE),
    };
  }
}
