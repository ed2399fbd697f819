import type { AnswerHead, Framing } from "../../boot/network/answer-head.ts";
import { type AnswerEvent, AnswerReader } from "../../boot/network/answer-reader.ts";
import type { Connection } from "./connection.ts";
import type { Limits } from "./limits.ts";
import { eventsOf, readHead } from "./read-head.ts";
import { Trouble } from "./trouble.ts";

/** The answer to one request: its head, and its body piece by piece. */
export class Answer {
  readonly #reader: AnswerReader;
  readonly #limits: Limits;
  #events: AnswerEvent[];
  #reusable = false;

  private constructor(
    readonly connection: Connection,
    readonly head: AnswerHead,
    readonly framing: Framing,
    reader: AnswerReader,
    events: AnswerEvent[],
    limits: Limits,
  ) {
    this.#reader = reader;
    this.#limits = limits;
    this.#events = events;
  }

  /** Sends `request` and reads the head of its answer. Throws Trouble. */
  static async to(request: Uint8Array, connection: Connection, limits: Limits): Promise<Answer> {
    const reader = new AnswerReader();
    await connection.send(request);
    const { first, rest } = await readHead(connection, reader, limits);
    if (first.is === "fault") throw new Trouble("again", `answers with what ${first.reason}`);
    return new Answer(connection, first.head, first.framing, reader, rest, limits);
  }

  /** The next piece of the body; null at its end. Throws Trouble where it does not come as the head promised. */
  async read(): Promise<Uint8Array | null> {
    for (;;) {
      const event = this.#events.shift();
      if (event === undefined) {
        this.#events = eventsOf(this.#reader, await this.connection.next(this.#limits.stallMs));
      } else if (event.is === "body") {
        return event.bytes;
      } else if (event.is === "fault") {
        throw new Trouble("again", `sent what ${event.reason}`);
      } else if (event.is === "end") {
        this.#reusable = event.reusable;
        this.#events = [event]; // the end stays the end, however often it is asked for
        return null;
      }
    }
  }

  /** Whether the body was read to its end and the connection takes another request. */
  get reusable(): boolean {
    return this.#reusable && this.connection.idle;
  }
}
