/** A line that a machine wrote, and when it began: milliseconds since QEMU's start. */
export interface Line {
  ms: number;
  text: string;
}

interface Waiter {
  wanted: string | RegExp;
  found(match: RegExpExecArray): void;
  failed(error: Error): void;
}

function search(text: string, wanted: string | RegExp, from: number): RegExpExecArray | null {
  const pattern =
    typeof wanted === "string"
      ? new RegExp(wanted.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "g")
      : new RegExp(wanted.source, `${wanted.flags.replace(/[gy]/g, "")}g`);
  pattern.lastIndex = from;
  return pattern.exec(text);
}

/**
 * What came through one serial channel, with a time for each line. Carriage returns are dropped. Expectations are met in
 * order: each one searches behind the end of the one met before it, so that a text that comes at every boot can be awaited
 * boot by boot.
 */
export class Transcript {
  /** Everything so far. */
  text = "";
  readonly lines: Line[] = [];
  #consumed = 0;
  #waiters: Waiter[] = [];
  #failure: Error | null = null;
  #decoder = new TextDecoder();
  #begun = false;

  constructor(
    readonly name: string,
    private readonly now: () => number,
    private readonly onLine: (line: Line) => void = () => {},
  ) {}

  append(bytes: Uint8Array): void {
    const added = this.#decoder.decode(bytes, { stream: true }).replaceAll("\r", "");
    this.text += added;
    const pieces = added.split("\n");
    pieces.forEach((piece, index) => {
      if (index > 0) this.#endLine();
      if (piece === "") return;
      const last = this.lines.at(-1);
      if (this.#begun && last) last.text += piece;
      else this.lines.push({ ms: this.now(), text: piece });
      this.#begun = true;
    });
    this.#serve();
  }

  /** Nothing more will come. */
  end(): void {
    if (this.#begun) this.#endLine();
  }

  #endLine(): void {
    if (!this.#begun) this.lines.push({ ms: this.now(), text: "" });
    const last = this.lines.at(-1);
    if (last) this.onLine(last);
    this.#begun = false;
  }

  #serve(): void {
    while (this.#waiters[0]) {
      const match = search(this.text, this.#waiters[0].wanted, this.#consumed);
      if (!match) return;
      this.#consumed = match.index + match[0].length;
      this.#waiters.shift()?.found(match);
    }
  }

  /** Whether `wanted` was seen, anywhere; consumes nothing. */
  has(wanted: string | RegExp): boolean {
    return search(this.text, wanted, 0) !== null;
  }

  /** The last lines, for messages. */
  tail(count: number): string {
    return this.lines
      .slice(-count)
      .map((line) => `  ${(line.ms / 1000).toFixed(3).padStart(8)} ${line.text}`)
      .join("\n");
  }

  /** Every expectation, present and future, that what came so far does not meet throws `error`. */
  fail(error: Error): void {
    this.#failure ??= error;
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter.failed(this.#failure);
  }

  /**
   * Waits for `wanted` behind what was met before. Throws after `timeoutMs`, or when the channel failed.
   * @returns the match; for a text, `match[0]` is it
   */
  expect(wanted: string | RegExp, timeoutMs: number): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        wanted,
        found: (match) => {
          clearTimeout(alarm);
          resolve(match);
        },
        failed: (error) => {
          clearTimeout(alarm);
          reject(
            new Error(`${this.name}: ${wanted instanceof RegExp ? wanted : JSON.stringify(wanted)} not seen: ${error.message}`),
          );
        },
      };
      const alarm = setTimeout(() => {
        this.#waiters = this.#waiters.filter((entry) => entry !== waiter);
        waiter.failed(new Error(`nothing like it after ${timeoutMs} ms; the last lines were\n${this.tail(25)}`));
      }, timeoutMs);
      this.#waiters.push(waiter);
      this.#serve();
      if (this.#failure && this.#waiters.includes(waiter)) this.fail(this.#failure);
    });
  }
}
