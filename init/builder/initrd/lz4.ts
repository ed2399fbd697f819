/**
 * The block format of LZ4, https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md: fast to unpack by a program without
 * libraries (init/interpreter/lz4.h).
 */

const MIN_MATCH = 4;
/** A match may reach no further back. */
const WINDOW = 65535;
/** The last sequence is literals only, at least so many, and no match begins in the last {@link LAST_MATCH} bytes. */
const LAST_LITERALS = 5;
const LAST_MATCH = 12;
/** Candidates that are looked at for each match: twice as many make it 0.3 % smaller. */
const DEPTH = 64;
const HASH_BITS = 16;

/** Bytes of a match at an earlier place; `length` 0 where there is none. */
interface Match {
  from: number;
  length: number;
}

/** Where the same four bytes stood before, from near to far. */
class Places {
  readonly #newest = new Int32Array(1 << HASH_BITS).fill(-1);
  readonly #before: Int32Array;
  #until = 0;
  constructor(
    readonly bytes: Uint8Array,
    readonly view: DataView,
  ) {
    this.#before = new Int32Array(bytes.length);
  }

  #hash(at: number): number {
    return Math.imul(this.view.getUint32(at, true), 2654435761) >>> (32 - HASH_BITS);
  }

  /** The longest match for what stands at `at`, no longer than up to `end`. Places are asked for in their order. */
  longest(at: number, end: number): Match {
    for (; this.#until <= at; this.#until++) {
      const hash = this.#hash(this.#until);
      this.#before[this.#until] = this.#newest[hash] ?? -1;
      this.#newest[hash] = this.#until;
    }
    const { bytes, view } = this;
    const first = view.getUint32(at, true);
    let best: Match = { from: 0, length: 0 };
    let from = this.#before[at] ?? -1;
    for (let left = DEPTH; left > 0 && from >= 0 && at - from <= WINDOW; left--, from = this.#before[from] ?? -1) {
      if (view.getUint32(from, true) !== first || bytes[from + best.length] !== bytes[at + best.length]) continue;
      let length = MIN_MATCH;
      while (at + length < end && bytes[from + length] === bytes[at + length]) length++;
      if (length > best.length) best = { from, length };
      if (at + length >= end) break;
    }
    return best;
  }
}

/** Compresses `bytes` to one block. */
export function packLz4(bytes: Uint8Array): Uint8Array {
  const packed = new Packed(bytes);
  const places = new Places(bytes, new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  const end = bytes.length - LAST_LITERALS;
  let [at, literals] = [0, 0];
  while (at <= bytes.length - LAST_MATCH) {
    let match = places.longest(at, end);
    if (match.length === 0) {
      at++;
      continue;
    }
    for (let next = at + 1; next <= bytes.length - LAST_MATCH; next++) {
      const later = places.longest(next, end); // one byte more as a literal may be worth it
      if (later.length <= match.length) break;
      [at, match] = [next, later];
    }
    packed.put(literals, at, match);
    at += match.length;
    literals = at;
  }
  packed.put(literals, bytes.length, null);
  return packed.done();
}

class Packed {
  readonly #out: Uint8Array;
  #length = 0;
  constructor(readonly bytes: Uint8Array) {
    this.#out = new Uint8Array(bytes.length + Math.ceil(bytes.length / 255) + 16);
  }

  /** Literals from `start` to before `end`, and a match behind them. */
  put(start: number, end: number, match: Match | null): void {
    const [literals, more] = [end - start, match === null ? 0 : match.length - MIN_MATCH];
    this.#byte((Math.min(literals, 15) << 4) | Math.min(more, 15));
    this.#rest(literals);
    this.#out.set(this.bytes.subarray(start, end), this.#length);
    this.#length += literals;
    if (match === null) return;
    const distance = end - match.from;
    this.#byte(distance & 255);
    this.#byte(distance >> 8);
    this.#rest(more);
  }

  #byte(value: number): void {
    this.#out[this.#length++] = value;
  }

  /** What of a length does not go into four bits. */
  #rest(length: number): void {
    if (length < 15) return;
    for (let left = length - 15; ; left -= 255) {
      this.#byte(Math.min(left, 255));
      if (left < 255) return;
    }
  }

  done(): Uint8Array {
    return this.#out.slice(0, this.#length);
  }
}
