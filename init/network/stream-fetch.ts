import type { FileVersion } from "../../boot/network/judge-answer.ts";
import type { ByteRange, Sink } from "../converge/source.ts";
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
 * Gives `sink` what of `ranges` is in the file, in one pass over it that ends with the last wanted byte. After a failure the
 * pass begins anew and passes over what was given already.
 *
 * @throws SourceError
 */
export async function fetchStreamed(
  attempts: Attempts,
  file: StreamedFile,
  ranges: readonly ByteRange[],
  sink: Sink,
  signal: AbortSignal,
): Promise<void> {
  const assembler = new BlockAssembler(ranges, sink);
  const { client } = attempts;
  let furthest = file.base;
  await attempts.run(file.name, signal, async (gained) => {
    if (assembler.done) return;
    const answer = client.answerIn(await client.ask(file.suffix, null, file.known));
    let at = file.base;
    try {
      for (let bytes = await answer.read(); bytes !== null; bytes = await answer.read()) {
        client.transferred += bytes.length;
        await assembler.take(at, bytes);
        at += bytes.length;
        gained(Math.max(0, at - furthest));
        furthest = Math.max(furthest, at);
        if (assembler.done) return;
        if (signal.aborted) throw new Trouble("again", "was given up");
      }
    } finally {
      client.release(answer);
    }
    throw new Trouble("again", `ended after ${at - file.base} bytes`);
  });
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

  get done(): boolean {
    return this.#range >= this.ranges.length;
  }

  async take(offset: number, bytes: Uint8Array): Promise<void> {
    const end = offset + bytes.length;
    for (let range = this.ranges[this.#range]; range !== undefined; range = this.ranges[this.#range]) {
      const wanted = range.offset + this.#given + this.#partLength;
      const rangeEnd = range.offset + range.length;
      if (wanted < rangeEnd && (wanted >= end || wanted < offset)) return; // not yet, or lost: a new pass brings it
      await this.#put(range, bytes.subarray(wanted - offset, Math.min(end, rangeEnd) - offset));
      if (this.#given < range.length) return;
      this.#range += 1;
      this.#given = 0;
    }
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
