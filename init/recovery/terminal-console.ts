import type { Outlet } from "./outlet.ts";

/** A line of text is drawn again after so long even where nothing says that it was written over, milliseconds. */
const ANEW_EVERY = 30_000;

export interface TerminalSize {
  columns: number;
  rows: number;
}

/** The control sequences are those of ECMA-48, which every terminal since the VT100 and the kernel's own console know. */
const HIDE_CURSOR = "\x1b[?25l";
const SHOW_CURSOR = "\x1b[?25h";
const TO_LINE_END = "\x1b[K";
const TO_SCREEN_END = "\x1b[J";
/** Ends a control sequence that was cut off. */
const CANCEL = "\x18";
const at = (row: number) => `\x1b[${row};1H`;

/** A terminal on which a screen is kept in place: only lines that are not as they should be are sent. */
export class TerminalConsole {
  readonly #outlet: Outlet;
  readonly size: TerminalSize;
  /** What each line holds; null: nobody knows. */
  #held: (string | null)[] = [];
  /** The rest of the screen is empty. */
  #cleared = false;
  #anewMs = Number.NEGATIVE_INFINITY;

  constructor(outlet: Outlet, size: TerminalSize) {
    this.#outlet = outlet;
    this.size = size;
  }

  /** Something else wrote to it. */
  garbled(): void {
    this.#held = [];
    this.#cleared = false;
  }

  /** Makes it show `lines`, as far as the line's rate goes; the rest follows with the next calls. */
  draw(lines: readonly string[], nowMs: number): void {
    if (this.#outlet.interrupted) this.garbled();
    if (nowMs - this.#anewMs >= ANEW_EVERY) {
      this.garbled();
      this.#anewMs = nowMs;
    }
    if (lines.length < this.#held.length) this.#cleared = false;
    const start = this.#held.length === 0 ? CANCEL + HIDE_CURSOR : "";
    const pieces: string[] = [];
    const held = Array.from({ length: lines.length }, (_, index) => this.#held[index] ?? null);
    let length = start.length + TO_SCREEN_END.length + 2 * at(99).length;
    for (const [index, line] of lines.entries()) {
      if (held[index] === line) continue;
      const piece = `${at(index + 1)}${line}${TO_LINE_END}`;
      if (!this.#outlet.hasRoom(length + piece.length, nowMs)) break;
      length += piece.length;
      pieces.push(piece);
      held[index] = line;
    }
    // Below the last line is where the kernel's own messages go meanwhile.
    const rest = at(Math.min(lines.length + 1, this.size.rows));
    const clears = !this.#cleared && lines.length < this.size.rows;
    if (pieces.length === 0 && !clears) return;
    const text = `${start}${pieces.join("")}${rest}${clears ? TO_SCREEN_END : ""}`;
    if (!this.#outlet.write(text, nowMs)) return;
    this.#held = held;
    this.#cleared = true;
  }

  /** The last screen stays to be read; what comes goes on below it. */
  end(nowMs: number): void {
    const row = Math.min(this.#held.length + 1, this.size.rows);
    const below = this.#held.length >= this.size.rows ? "\n" : TO_SCREEN_END;
    this.#outlet.end(`${CANCEL}${at(row)}${below}${SHOW_CURSOR}`, nowMs);
  }
}
