/** Which blocks of a window have which digest, by the digest's first 8 bytes: 16 bytes a block, and no object. */

const NONE = -1;

/** The same digest for another's purpose: what matches here is still compared in full before anything is written. */
export class LeafIndex {
  /** First and second four bytes of each block's digest. */
  readonly #high: Uint32Array;
  readonly #low: Uint32Array;
  /** Open addressing: a block's number plus one, 0 for an empty place. */
  readonly #places: Uint32Array;
  readonly #mask: number;

  /** For up to `blocks` blocks, numbered from 0. */
  constructor(blocks: number) {
    let places = 16;
    while (places < blocks * 2) places *= 2;
    this.#high = new Uint32Array(blocks);
    this.#low = new Uint32Array(blocks);
    this.#places = new Uint32Array(places);
    this.#mask = places - 1;
  }

  /** Adds a block, whose digest begins at `offset` of `bytes`. Returns the block that had this digest before; null without one. */
  add(block: number, bytes: Uint8Array, offset: number): number | null {
    const high = word(bytes, offset);
    const low = word(bytes, offset + 4);
    this.#high[block] = high;
    this.#low[block] = low;
    const place = this.#place(high, low);
    const before = (this.#places[place] ?? 0) - 1;
    if (before !== NONE) return before;
    this.#places[place] = block + 1;
    return null;
  }

  /** The first block that was added with the digest at `offset` of `bytes`; null without one. */
  find(bytes: Uint8Array, offset: number): number | null {
    const found = (this.#places[this.#place(word(bytes, offset), word(bytes, offset + 4))] ?? 0) - 1;
    return found === NONE ? null : found;
  }

  /** Forgets all blocks. */
  clear(): void {
    this.#places.fill(0);
  }

  /** Where the digest is, or would be. */
  #place(high: number, low: number): number {
    // The digest is as good as random: its own bits spread well.
    for (let place = low & this.#mask; ; place = (place + 1) & this.#mask) {
      const block = (this.#places[place] ?? 0) - 1;
      if (block === NONE || (this.#high[block] === high && this.#low[block] === low)) return place;
    }
  }
}

/** Four bytes as a number. It is called for each block: nothing in it may make garbage. */
function word(bytes: Uint8Array, offset: number): number {
  const high = ((bytes[offset] ?? 0) << 24) | ((bytes[offset + 1] ?? 0) << 16);
  return (high | ((bytes[offset + 2] ?? 0) << 8) | (bytes[offset + 3] ?? 0)) >>> 0;
}
