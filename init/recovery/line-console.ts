import type { Outlet } from "./outlet.ts";

/** What waits for a slow line: of more, the oldest are left out. */
const MOST_WAITING = 16;

/** A console that may be no terminal (a recorder, a printer): it gets plain lines, one after the other. */
export class LineConsole {
  readonly #outlet: Outlet;
  #waiting: string[] = [];
  #leftOut = 0;

  constructor(outlet: Outlet) {
    this.#outlet = outlet;
  }

  /** Whether the line keeps up with what is said. */
  get isIdle(): boolean {
    return this.#waiting.length === 0;
  }

  say(line: string, nowMs: number): void {
    this.#waiting.push(line);
    if (this.#waiting.length > MOST_WAITING) {
      this.#waiting.shift();
      this.#leftOut++;
    }
    this.flush(nowMs);
  }

  /** Sends what waits, as far as the line's rate goes. */
  flush(nowMs: number): void {
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      const start = this.#outlet.interrupted ? "\n" : "";
      if (!this.#outlet.write(`${start}${next}\n`, nowMs)) return;
      if (this.#leftOut > 0) this.#leftOut = 0;
      else this.#waiting.shift();
    }
  }

  #next(): string | undefined {
    return this.#leftOut > 0 ? `slipway: ${this.#leftOut} lines left out` : this.#waiting[0];
  }

  end(nowMs: number): void {
    this.#outlet.end(this.#waiting.map((line) => `${line}\n`).join(""), nowMs);
  }
}
