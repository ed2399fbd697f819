import type { FileVersion } from "../../boot/network/judge-answer.ts";
import { LARGEST_PIECE, type Piece, splitRanges } from "../../boot/network/split-ranges.ts";
import { type ByteRange, type Sink, SourceError } from "../converge/source.ts";
import type { Attempts } from "./attempts.ts";
import { Trouble } from "./trouble.ts";

/** What is given to the sink is cut at multiples of this. */
const BLOCK = 4096;

/**
 * Fetches ranges from a server that answers range requests, several requests at a time. Each keeps what came of its piece,
 * so that only the rest is asked for after a failure, and gives it on as soon as all before it in its range was given.
 */
export class RangeFetch {
  readonly #pieces: Generator<Piece, void>;
  readonly #abort = new AbortController();
  /** The sink takes one call at a time. */
  #giving: Promise<void> = Promise.resolve();
  /** Done when the piece that was handed out last is given whole. */
  #last: Promise<void> = Promise.resolve();

  constructor(
    readonly attempts: Attempts,
    readonly known: FileVersion,
    ranges: readonly ByteRange[],
    readonly sink: Sink,
  ) {
    this.#pieces = splitRanges(ranges);
  }

  /** @param signal gives up: whatever is under way ends with a SourceError, and the sink is called no more */
  async run(signal: AbortSignal): Promise<void> {
    const stop = (): void => {
      this.#abort.abort();
      this.attempts.client.interrupt();
    };
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop);
    const failures: unknown[] = [];
    const lane = async (): Promise<void> => {
      try {
        await this.#lane();
      } catch (error) {
        failures.push(error);
        stop();
      }
    };
    try {
      await Promise.all(Array.from({ length: this.attempts.limits.connections }, lane));
    } finally {
      signal.removeEventListener("abort", stop);
    }
    if (failures.length > 0) throw failures[0]; // the others were given up because of it
    if (signal.aborted) throw this.#givenUp();
  }

  async #lane(): Promise<void> {
    let memory = new Uint8Array(0);
    while (!this.#abort.signal.aborted) {
      const next = this.#pieces.next();
      if (next.done) return;
      const piece = next.value;
      const turn = piece.continues ? this.#last : Promise.resolve();
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#last = promise;
      if (memory.length < piece.length) memory = new Uint8Array(piece.length > LARGEST_PIECE / 4 ? LARGEST_PIECE : piece.length);
      try {
        await this.#piece(piece, memory, turn);
      } catch (error) {
        this.#abort.abort(); // before those are woken that wait for their turn
        throw error;
      } finally {
        resolve();
      }
    }
  }

  async #piece({ offset, length }: Piece, memory: Uint8Array, turn: Promise<void>): Promise<void> {
    const { client } = this.attempts;
    const { signal } = this.#abort;
    let [got, given] = [0, 0];
    let isTurn = false;
    turn.then(() => {
      isTurn = true;
    });
    const give = async (end: number): Promise<void> => {
      if (end === given) return;
      const [at, bytes] = [offset + given, memory.subarray(given, end)];
      given = end;
      await this.#give(at, bytes);
    };
    await this.attempts.run(client.url.name, signal, async (gained) => {
      if (got === length) return;
      const reply = await client.ask("", { first: offset + got, last: offset + length - 1 }, this.known);
      if (reply.is === "beyond") await this.#checkSize(reply.reason);
      const answer = client.answerIn(reply);
      try {
        for (let bytes = await answer.read(); bytes !== null; bytes = await answer.read()) {
          client.transferred += bytes.length;
          if (bytes.length > length - got) throw new Trouble("again", "sends more than was asked for");
          memory.set(bytes, got);
          got += bytes.length;
          gained(bytes.length);
          if (isTurn) await give(got - (got % BLOCK));
        }
      } finally {
        client.release(answer);
      }
      if (got < length) throw new Trouble("again", `ended after ${got} of ${length} bytes`);
    });
    await turn;
    await give(length);
  }

  /** The file was long enough and is not any more: asks once how long it is now. Throws Trouble. */
  async #checkSize(reason: string): Promise<never> {
    const { client } = this.attempts;
    client.release(client.answerIn(await client.ask("", { first: 0, last: 0 }, this.known)));
    throw new Trouble("again", reason);
  }

  /** Gives bytes to the sink when it has taken all earlier ones. */
  async #give(offset: number, bytes: Uint8Array): Promise<void> {
    const before = this.#giving;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#giving = promise;
    try {
      await before;
      if (this.#abort.signal.aborted) throw this.#givenUp();
      await this.sink(offset, bytes);
    } finally {
      resolve();
    }
  }

  #givenUp(): SourceError {
    return new SourceError(`${this.attempts.client.url.name} was given up`);
  }
}
