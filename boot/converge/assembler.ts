import { BLOCK } from "../image/verity.ts";

/**
 * Whole blocks out of pieces of any length. Pieces of one range come in order, those of several ranges may come mixed: what a
 * piece leaves of a block waits for the piece that begins where it ends.
 */
export class BlockAssembler {
  /** What came of a block so far, by the offset at which it goes on. */
  readonly #begun = new Map<number, Uint8Array>();

  /**
   * Takes bytes that belong at `offset` and gives whole blocks to `take`, by their number; they are its only until it returns.
   * Throws RangeError for bytes that neither begin a block nor go on with one.
   */
  add(offset: number, bytes: Uint8Array, take: (block: number, bytes: Uint8Array) => void): void {
    let at = 0;
    if (offset % BLOCK !== 0) at = this.#goOn(offset, bytes, take);
    for (; at + BLOCK <= bytes.length; at += BLOCK) take((offset + at) / BLOCK, bytes.subarray(at, at + BLOCK));
    if (at < bytes.length) this.#begun.set(offset + bytes.length, bytes.slice(at));
  }

  #goOn(offset: number, bytes: Uint8Array, take: (block: number, bytes: Uint8Array) => void): number {
    const begun = this.#begun.get(offset);
    if (begun === undefined) throw new RangeError(`bytes at ${offset} go on with no block`);
    if (bytes.length === 0) return 0;
    this.#begun.delete(offset);
    const missing = BLOCK - begun.length;
    const whole = new Uint8Array(Math.min(BLOCK, begun.length + bytes.length));
    whole.set(begun);
    whole.set(bytes.subarray(0, missing), begun.length);
    if (whole.length < BLOCK) {
      this.#begun.set(offset + bytes.length, whole);
      return bytes.length;
    }
    take((offset - begun.length) / BLOCK, whole);
    return missing;
  }
}
