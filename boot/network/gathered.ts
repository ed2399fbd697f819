import { joined } from "../joined.ts";

/** Bytes that are held in one piece of memory. */
const CHUNK = 256 * 1024;

/**
 * Bytes as they come, held in few pieces of memory: a server may send a byte at a time, and to remember a piece takes more than
 * a hundred.
 */
export class Gathered {
  readonly #full: Uint8Array[] = [];
  #last = new Uint8Array(CHUNK);
  #filled = 0;

  /** Takes a copy of `bytes`. */
  add(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      if (this.#filled === CHUNK) {
        this.#full.push(this.#last);
        this.#last = new Uint8Array(CHUNK);
        this.#filled = 0;
      }
      const part = bytes.subarray(at, at + CHUNK - this.#filled);
      this.#last.set(part, this.#filled);
      this.#filled += part.length;
      at += part.length;
    }
  }

  /** Forgets what came first, where more than `least` bytes are left without it. */
  keepLast(least: number): void {
    while ((this.#full.length - 1) * CHUNK + this.#filled >= least && this.#full.length > 0) this.#full.shift();
  }

  /** What is held. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return joined([...this.#full, this.#last.subarray(0, this.#filled)]);
  }
}
