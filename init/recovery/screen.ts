import {
  changeLines,
  MOST_SAID,
  NOTHING_SHOWN,
  plainLine,
  type ScreenState,
  screenLines,
  statusLine,
} from "../../boot/recovery/screen-text.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { type Answers, type Consoles, openConsoles } from "./consoles.ts";
import { KernelMessages } from "./kernel-messages.ts";
import { ProgressFile } from "./progress-file.ts";

export type { ScreenState } from "../../boot/recovery/screen-text.ts";

/** What a console knows that was told nothing yet. */
const UNTOLD: ScreenState = { ...NOTHING_SHOWN, title: "" };

/** Milliseconds between two drawings, and between two plain lines of what goes on. */
const DRAW_EVERY = 200;
const STATUS_EVERY = 5000;
/** The same while bytes do not count: waiting is told of less often. */
const WAIT_EVERY = 30_000;

interface Open extends Consoles {
  messages: KernelMessages;
}

/**
 * What a person sees of a recovery, on every console of the machine, and what programs read of it. It never blocks: a console
 * that takes nothing is passed over. It never throws.
 */
export class RecoveryScreen {
  readonly #kernel: Kernel;
  readonly #file: ProgressFile;
  #state: ScreenState = NOTHING_SHOWN;
  /** When the next attempt is due, milliseconds since kernel start; null while one is under way. */
  #nextMs: number | null = null;
  #said: string[] = [];
  /** What the consoles that are no terminals were told of {@link #state}. */
  #told: ScreenState = UNTOLD;
  #open: Open | null = null;
  /** Lines are asked once a boot: what records them should not be full of questions. */
  readonly #answers: Answers = new Map();
  #drawnMs = Number.NEGATIVE_INFINITY;
  #statusMs = Number.NEGATIVE_INFINITY;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
    this.#file = new ProgressFile(kernel);
  }

  /** Something is not as before. Cheap to call often. */
  show(change: Partial<ScreenState>): void {
    this.#begin();
    const { bootMs } = this.#kernel.now();
    const seconds = change.nextAttemptSeconds;
    if (seconds !== undefined) this.#nextMs = seconds === null ? null : bootMs + seconds * 1000;
    this.#state = { ...this.#state, ...change };
    this.#tellChanges(bootMs);
    this.#draw(bootMs, DRAW_EVERY);
  }

  /** A line for people: what failed, what was found. */
  say(line: string): void {
    this.#begin();
    const { bootMs } = this.#kernel.now();
    this.#said = [...this.#said, line].slice(-MOST_SAID);
    this.#tellChanges(bootMs);
    this.#toLines(plainLine(line), bootMs);
    this.#draw(bootMs, DRAW_EVERY);
  }

  /** Draws what the clock changed. To be called about once a second, by whoever feeds the watchdog. */
  refresh(): void {
    if (this.#open === null) return;
    const { bootMs } = this.#kernel.now();
    if (this.#nextMs !== null) {
      const nextAttemptSeconds = Math.max(0, Math.ceil((this.#nextMs - bootMs) / 1000));
      this.#state = { ...this.#state, nextAttemptSeconds };
    }
    this.#tellStatus(bootMs);
    for (const line of this.#open.lines) line.flush(bootMs);
    this.#draw(bootMs, DRAW_EVERY);
  }

  /** Leaves the consoles as they were. What is shown afterwards begins a new screen. */
  end(): void {
    const open = this.#open;
    if (open === null) return;
    const { bootMs } = this.#kernel.now();
    this.#draw(bootMs, 0);
    this.#open = null;
    this.#told = UNTOLD;
    open.messages.close();
    for (const terminal of open.terminals) terminal.end(bootMs);
    for (const line of open.lines) line.end(bootMs);
    this.#file.write(this.#state, this.#said, false, bootMs);
  }

  #begin(): void {
    this.#open ??= { ...openConsoles(this.#kernel, this.#answers), messages: new KernelMessages(this.#kernel) };
  }

  #tellChanges(nowMs: number): void {
    const told = this.#told;
    this.#told = this.#state;
    if ((this.#open?.lines ?? []).length === 0) return;
    for (const line of changeLines(told, this.#state)) this.#toLines(line, nowMs);
  }

  #toLines(text: string, nowMs: number): void {
    // What was just told needs no status.
    this.#statusMs = nowMs;
    for (const line of this.#open?.lines ?? []) line.say(text, nowMs);
  }

  #tellStatus(nowMs: number): void {
    const every = this.#state.progress === null ? WAIT_EVERY : STATUS_EVERY;
    if (nowMs - this.#statusMs < every) return;
    const text = statusLine(this.#state);
    if (text === null) return;
    this.#statusMs = nowMs;
    for (const line of this.#open?.lines ?? []) if (line.isIdle) line.say(text, nowMs);
  }

  #draw(nowMs: number, every: number): void {
    if (this.#open === null || nowMs - this.#drawnMs < every) return;
    this.#drawnMs = nowMs;
    const { terminals, messages } = this.#open;
    if (messages.shown()) for (const terminal of terminals) terminal.garbled();
    for (const terminal of terminals) {
      const { columns, rows } = terminal.size;
      terminal.draw(screenLines(this.#state, this.#said, columns, rows), nowMs);
    }
    this.#file.write(this.#state, this.#said, true, nowMs);
  }
}
