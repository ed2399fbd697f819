import type { FileVersion } from "../../boot/network/judge-answer.ts";
import type { ByteRange, Sink } from "../converge/source.ts";
import type { Answer } from "./answer.ts";
import type { Attempts } from "./attempts.ts";
import type { Suffix } from "./client.ts";
import { Trouble } from "./trouble.ts";

const BLOCK = 4096;

/** A file that is read from its start, since its server has no ranges. */
export interface StreamedFile {
  suffix: Suffix;
  name: string;
  /** Where the file's first byte belongs in the image. */
  base: number;
  known: FileVersion;
}

/**
 * Reads ranges out of passes over the file. A pass stays open between two calls, since whoever wants a whole image asks for it
 * part by part; only what lies before it, and a failure, make it begin anew.
 */
export class StreamFetch {
  /** The piece that was read last, and the answer that it came with. */
  #pass: { answer: Answer; at: number; piece: Uint8Array } | null = null;
  /** Up to where a pass ever came. */
  #furthest: number;

  constructor(
    readonly attempts: Attempts,
    readonly file: StreamedFile,
  ) {
    this.#furthest = file.base;
  }

  /** Gives `sink` all bytes of `ranges`, in order. Throws SourceError. */
  async fetch(ranges: readonly ByteRange[], sink: Sink, signal: AbortSignal): Promise<void> {
    const [first] = ranges;
    if (first === undefined) return;
    if (this.#pass !== null && first.offset < this.#pass.at) this.#end();
    const assembler = new BlockAssembler(ranges, sink);
    await this.attempts.run(this.file.name, signal, async (gained) => {
      try {
        let pass = this.#pass ?? (await this.#begin());
        while (!(await assembler.take(pass.at, pass.piece))) {
          pass = await this.#next(pass);
          const furthest = pass.at + pass.piece.length;
          gained(Math.max(0, furthest - this.#furthest));
          this.#furthest = Math.max(this.#furthest, furthest);
        }
      } catch (error) {
        this.#end();
        throw error;
      }
    });
  }

  async #begin() {
    const { client } = this.attempts;
    const { suffix, known, base } = this.file;
    const answer = client.answerIn(await client.ask(suffix, null, known));
    this.#pass = { answer, at: base, piece: new Uint8Array(0) };
    return this.#pass;
  }

  async #next({ answer, at, piece }: { answer: Answer; at: number; piece: Uint8Array }) {
    const next = await answer.read();
    const end = at + piece.length;
    if (next === null) throw new Trouble("again", `ended after ${end - this.file.base} bytes`);
    this.attempts.client.transferred += next.length;
    this.#pass = { answer, at: end, piece: next };
    return this.#pass;
  }

  #end(): void {
    if (this.#pass !== null) this.attempts.client.release(this.#pass.answer);
    this.#pass = null;
  }
}

/** Picks ranges out of a stream that may begin anew, and gives them on in whole blocks, each byte once. */
class BlockAssembler {
  #range = 0;
  /** Bytes of the current range that were given. */
  #given = 0;
  /** The beginning of a block whose end did not come yet. */
  readonly #part = new Uint8Array(BLOCK);
  #partLength = 0;

  constructor(
    readonly ranges: readonly ByteRange[],
    readonly sink: Sink,
  ) {}

  /** Takes what it wants of `bytes`; true when it has everything. */
  async take(offset: number, bytes: Uint8Array): Promise<boolean> {
    const end = offset + bytes.length;
    for (let range = this.ranges[this.#range]; range !== undefined; range = this.ranges[this.#range]) {
      const wanted = range.offset + this.#given + this.#partLength;
      const rangeEnd = range.offset + range.length;
      if (wanted < rangeEnd && (wanted >= end || wanted < offset)) return false; // not yet, or passed by: a new pass brings it
      await this.#put(range, bytes.subarray(wanted - offset, Math.min(end, rangeEnd) - offset));
      if (this.#given < range.length) return false;
      this.#range += 1;
      this.#given = 0;
    }
    return true;
  }

  async #put({ offset, length }: ByteRange, bytes: Uint8Array): Promise<void> {
    let rest = bytes;
    if (this.#partLength > 0) {
      const need = Math.min(BLOCK, length - this.#given) - this.#partLength;
      const head = rest.subarray(0, need);
      this.#part.set(head, this.#partLength);
      this.#partLength += head.length;
      rest = rest.subarray(head.length);
      if (head.length < need) return;
      const part = this.#part.subarray(0, this.#partLength);
      this.#partLength = 0;
      await this.#give(offset, part);
    }
    const whole = rest.length === length - this.#given ? rest.length : rest.length - (rest.length % BLOCK);
    if (whole > 0) await this.#give(offset, rest.subarray(0, whole));
    this.#part.set(rest.subarray(whole));
    this.#partLength = rest.length - whole;
  }

  async #give(base: number, bytes: Uint8Array): Promise<void> {
    const at = base + this.#given;
    this.#given += bytes.length;
    await this.sink(at, bytes);
  }
}
