/** Bytes that can be read and written by offset: a file's contents, a disk, a partition of a disk. Offsets are in bytes. */
export interface Storage {
  readonly size: number;
  read(offset: number, length: number): Uint8Array<ArrayBuffer>;
  write(offset: number, bytes: Uint8Array): void;
}

const CHUNK = 4096;

/** Sparse bytes in memory, 4 KiB at a time. What was never written reads as zero and is a hole. */
export class Bytes implements Storage {
  #size = 0;
  /** Never changed in place, so that a snapshot may share them. */
  #chunks = new Map<number, Uint8Array>();

  static of(contents: Uint8Array | string): Bytes {
    const bytes = new Bytes();
    bytes.write(0, typeof contents === "string" ? new TextEncoder().encode(contents) : contents);
    return bytes;
  }

  static ofSize(size: number): Bytes {
    const bytes = new Bytes();
    bytes.truncate(size);
    return bytes;
  }

  get size(): number {
    return this.#size;
  }

  /** Up to `length` bytes; fewer only at the end. */
  read(offset: number, length: number): Uint8Array<ArrayBuffer> {
    const end = Math.min(offset + length, this.#size);
    const result = new Uint8Array(Math.max(0, end - offset));
    for (let at = offset; at < end; ) {
      const chunk = this.#chunks.get(Math.floor(at / CHUNK));
      const within = at % CHUNK;
      const count = Math.min(CHUNK - within, end - at);
      if (chunk) result.set(chunk.subarray(within, within + count), at - offset);
      at += count;
    }
    return result;
  }

  /** Writes all of `bytes`; grows where they reach past the end. */
  write(offset: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) {
      const at = offset + done;
      const within = at % CHUNK;
      const count = Math.min(CHUNK - within, bytes.length - done);
      const chunk = new Uint8Array(CHUNK);
      const former = this.#chunks.get(Math.floor(at / CHUNK));
      if (former) chunk.set(former);
      chunk.set(bytes.subarray(done, done + count), within);
      this.#chunks.set(Math.floor(at / CHUNK), chunk);
      done += count;
    }
    if (bytes.length > 0) this.#size = Math.max(this.#size, offset + bytes.length);
  }

  truncate(size: number): void {
    if (size < this.#size) {
      const last = Math.floor(size / CHUNK);
      for (const index of [...this.#chunks.keys()]) {
        if (index * CHUNK >= size) this.#chunks.delete(index);
      }
      const chunk = this.#chunks.get(last);
      if (chunk) {
        const kept = new Uint8Array(CHUNK);
        kept.set(chunk.subarray(0, size % CHUNK));
        this.#chunks.set(last, kept);
      }
    }
    this.#size = size;
  }

  /** Start of the next data at or after `offset`; null when there is none. */
  nextData(offset: number): number | null {
    if (offset >= this.#size) return null;
    const first = Math.floor(offset / CHUNK);
    const chunks = [...this.#chunks.keys()].filter((index) => index >= first).sort((a, b) => a - b);
    const next = chunks[0];
    return next === undefined ? null : Math.max(offset, next * CHUNK);
  }

  /** Start of the next hole at or after `offset`, the end of the file being one; null past the end. */
  nextHole(offset: number): number | null {
    if (offset >= this.#size) return null;
    let index = Math.floor(offset / CHUNK);
    if (!this.#chunks.has(index)) return offset;
    while (this.#chunks.has(index)) index++;
    return Math.min(index * CHUNK, this.#size);
  }

  /** Bytes that are really held, in whole chunks. */
  get allocated(): number {
    return this.#chunks.size * CHUNK;
  }

  /** A copy that later writes to either do not change. */
  snapshot(): Bytes {
    const copy = new Bytes();
    copy.restore(this);
    return copy;
  }

  /** Makes these bytes equal to `from`. */
  restore(from: Bytes): void {
    this.#chunks = new Map(from.#chunks);
    this.#size = from.#size;
  }
}

/** A part of some storage, as a partition is of its disk. */
export class Part implements Storage {
  constructor(
    readonly whole: Storage,
    readonly start: number,
    public size: number,
  ) {}

  read(offset: number, length: number): Uint8Array<ArrayBuffer> {
    return this.whole.read(this.start + offset, Math.max(0, Math.min(length, this.size - offset)));
  }

  write(offset: number, bytes: Uint8Array): void {
    this.whole.write(this.start + offset, bytes);
  }
}
