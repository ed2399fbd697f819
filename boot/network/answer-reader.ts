import { joined } from "../joined.ts";
import { type AnswerHead, type Framing, framingOf, keepsAlive, LONGEST_HEAD, parseHead, quoted } from "./answer-head.ts";

/** What the bytes of an answer mean, in order: a head, any number of pieces of the body, its end. A fault is the last. */
export type AnswerEvent =
  | { is: "head"; head: AnswerHead; framing: Framing }
  /** A view into the bytes that were fed. */
  | { is: "body"; bytes: Uint8Array }
  /** `reusable`: the connection can take the next request. */
  | { is: "end"; reusable: boolean }
  | { is: "fault"; reason: string };

/** Answers with 1xx before the real one; more are refused. */
const MOST_INTERIM = 8;
/** Longest line of a chunk's size or of a trailer, and all trailers together, in bytes. */
const LONGEST_LINE = 4096;
const LONGEST_TRAILERS = 16 * 1024;

type Phase = "head" | "body" | "chunk-size" | "chunk-data" | "chunk-end" | "trailers" | "done";

/** Reads one answer to a GET out of what a connection delivers, however it is cut. It keeps at most a head, never body bytes. */
export class AnswerReader {
  #phase: Phase = "head";
  #head: { head: AnswerHead; framing: Framing } | null = null;
  #interim = 0;
  /** Bytes that end no line yet, and where the search for its end goes on. */
  #kept = new Uint8Array(0);
  /** Of the body or the chunk; Infinity where the connection's end is the body's. */
  #left = 0;
  #trailers = 0;

  /** What `bytes`, the next of the connection, bring. After "end" or "fault" nothing more may be fed. */
  feed(bytes: Uint8Array): AnswerEvent[] {
    const events: AnswerEvent[] = [];
    let rest = bytes;
    // a body of length 0 ends without another byte
    while (this.#phase !== "done" && (rest.length > 0 || (this.#phase === "body" && this.#left === 0))) {
      rest = this.#step(rest, events);
    }
    if (this.#phase === "done" && rest.length > 0) {
      const last = events.at(-1);
      // bytes that nobody asked for: what follows on this connection cannot be told apart from the next answer
      if (last?.is === "end") events[events.length - 1] = { is: "end", reusable: false };
    }
    return events;
  }

  /** What it means that the connection ends here. */
  close(): AnswerEvent {
    const whole = this.#phase === "body" && this.#left === Number.POSITIVE_INFINITY;
    this.#phase = "done";
    if (whole) return { is: "end", reusable: false };
    return { is: "fault", reason: this.#head ? "was cut off" : "ended before its header did" };
  }

  #step(bytes: Uint8Array, events: AnswerEvent[]): Uint8Array {
    switch (this.#phase) {
      case "head":
        return this.#readHead(bytes, events);
      case "body":
      case "chunk-data":
        return this.#readBody(bytes, events);
      case "chunk-size":
      case "chunk-end":
      case "trailers":
        return this.#readLine(bytes, events);
      case "done":
        return bytes;
    }
  }

  #readHead(bytes: Uint8Array, events: AnswerEvent[]): Uint8Array {
    const known = this.#kept.length;
    const all = joined([this.#kept, bytes.subarray(0, LONGEST_HEAD + 1 - known)]);
    const end = endOfHead(all, Math.max(0, known - 3));
    if (end === null) {
      if (all.length > LONGEST_HEAD) return this.#fail(events, `has a header of more than ${LONGEST_HEAD} bytes`);
      // what no answer begins with is told at once, not after a header's worth of it
      const start = new TextDecoder("latin1").decode(all.subarray(0, 7));
      if (!"HTTP/1.".startsWith(start)) return this.#fail(events, `begins with ${quoted(start)}, which is no HTTP/1 answer`);
      this.#kept = all.slice();
      return bytes.subarray(bytes.length);
    }
    this.#kept = new Uint8Array(0);
    const rest = bytes.subarray(end - known);
    const head = parseHead(all.subarray(0, end));
    if ("fault" in head) return this.#fail(events, head.fault);
    if (head.status < 200) {
      this.#interim += 1;
      if (head.status === 101) return this.#fail(events, "switches protocols, which was not asked for");
      return this.#interim > MOST_INTERIM ? this.#fail(events, "never comes: interim answers only") : rest;
    }
    const framing = framingOf(head);
    if ("fault" in framing) return this.#fail(events, framing.fault);
    this.#head = { head, framing };
    events.push({ is: "head", head, framing });
    this.#phase = framing.by === "chunks" ? "chunk-size" : "body";
    this.#left = framing.by === "length" ? framing.length : Number.POSITIVE_INFINITY;
    return rest;
  }

  #readBody(bytes: Uint8Array, events: AnswerEvent[]): Uint8Array {
    const piece = bytes.subarray(0, Math.min(bytes.length, this.#left));
    this.#left -= piece.length;
    if (piece.length > 0) events.push({ is: "body", bytes: piece });
    if (this.#left === 0) {
      if (this.#phase === "chunk-data") this.#phase = "chunk-end";
      else this.#end(events);
    }
    return bytes.subarray(piece.length);
  }

  #readLine(bytes: Uint8Array, events: AnswerEvent[]): Uint8Array {
    const newline = bytes.indexOf(0x0a);
    const part = newline < 0 ? bytes : bytes.subarray(0, newline + 1);
    if (this.#kept.length + part.length > LONGEST_LINE) return this.#fail(events, "has an endless line in its chunks");
    const all = joined([this.#kept, part]);
    this.#kept = newline < 0 ? all.slice() : new Uint8Array(0);
    if (newline < 0) return bytes.subarray(bytes.length);
    const line = new TextDecoder("latin1").decode(all).replace(/\r?\n$/, "");
    const rest = bytes.subarray(newline + 1);
    if (this.#phase === "trailers") {
      this.#trailers += all.length;
      if (this.#trailers > LONGEST_TRAILERS) return this.#fail(events, "has endless trailers");
      if (line === "") this.#end(events);
      return rest;
    }
    if (this.#phase === "chunk-end") {
      if (line !== "") return this.#fail(events, "has a chunk that is longer than it says");
      this.#phase = "chunk-size";
      return rest;
    }
    const size = /^([0-9A-Fa-f]{1,13})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?$/.exec(line)?.[1];
    if (size === undefined) return this.#fail(events, `has a chunk of size ${quoted(line)}`);
    this.#left = Number.parseInt(size, 16);
    this.#phase = this.#left === 0 ? "trailers" : "chunk-data";
    return rest;
  }

  #end(events: AnswerEvent[]): void {
    this.#phase = "done";
    events.push({ is: "end", reusable: this.#head !== null && keepsAlive(this.#head.head, this.#head.framing) });
  }

  #fail(events: AnswerEvent[], reason: string): Uint8Array {
    this.#phase = "done";
    events.push({ is: "fault", reason });
    return new Uint8Array(0);
  }
}

/** The offset behind the empty line that ends a head, looked for from `from`; null where it is not there yet. */
function endOfHead(bytes: Uint8Array, from: number): number | null {
  for (let at = bytes.indexOf(0x0a, from); at >= 0; at = bytes.indexOf(0x0a, at + 1)) {
    if (bytes[at + 1] === 0x0a) return at + 2;
    if (bytes[at + 1] === 0x0d && bytes[at + 2] === 0x0a) return at + 3;
  }
  return null;
}
