import type { AnswerEvent, AnswerReader } from "../../boot/network/answer-reader.ts";
import type { Limits } from "./limits.ts";
import { Trouble } from "./trouble.ts";

/** What brings an answer, piece by piece: a connection. */
export interface ByteStream {
  send(bytes: Uint8Array): Promise<void>;
  /** The next bytes; null when the other side ended it. Throws Trouble where none came within `ms`. */
  next(ms: number): Promise<Uint8Array | null>;
}

/**
 * Reads what `connection` brings up to the head of an answer: its event, or the fault that came in its place, and the events behind
 * it. Throws Trouble where it does not come in time.
 */
export async function readHead(
  connection: ByteStream,
  reader: AnswerReader,
  limits: Limits,
): Promise<{ first: Extract<AnswerEvent, { is: "head" | "fault" }>; rest: AnswerEvent[] }> {
  const deadline = performance.now() + limits.headMs;
  for (;;) {
    const left = deadline - performance.now();
    const late = (): Trouble => new Trouble("again", `sent no whole header in ${Math.round(limits.headMs / 1000)} s`);
    if (left <= 0) throw late();
    const bytes = await connection.next(Math.min(left, limits.stallMs)).catch((error: unknown) => {
      // A timer may end a little early.
      throw left < limits.stallMs && performance.now() >= deadline - 5 ? late() : error;
    });
    const [first, ...rest] = eventsOf(reader, bytes);
    if (first?.is === "fault" || first?.is === "head") return { first, rest };
  }
}

/** What the next bytes of a connection mean; null: its end. */
export function eventsOf(reader: AnswerReader, bytes: Uint8Array | null): AnswerEvent[] {
  return bytes === null ? [reader.close()] : reader.feed(bytes);
}
