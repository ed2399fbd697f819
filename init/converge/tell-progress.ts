import {
  type Phase,
  type Progress,
  phaseText,
  progressJson,
  progressLine,
  Rate,
  type Step,
} from "../../boot/converge/progress-text.ts";
import { BLOCK } from "../../boot/image/verity.ts";
import type { Kernel } from "../kernel/kernel.ts";
import type { ImageSource } from "./source.ts";

/** How progress is told: one line that is written over, an object a line, or a line for each phase, as in a unit's log. */
export type Telling = "bar" | "json" | "lines";

/** Milliseconds between two tellings. */
const PAUSE: Record<Telling, number> = { bar: 200, json: 1000, lines: Number.POSITIVE_INFINITY };

/** Where tellings go: whole lines, or a terminal. */
export interface Output {
  /** Of a terminal. */
  columns: number;
  line(text: string): void;
  /** Writes over the terminal's last line. */
  over(text: string): void;
}

/** Tells how far an install or a repair came, not too often. */
export class ProgressTeller {
  #phase: Phase | null = null;
  #told = Number.NEGATIVE_INFINITY;
  #rate = new Rate();
  #isOver = false;

  constructor(
    readonly kernel: Kernel,
    readonly telling: Telling,
    readonly output: Output,
    readonly slot: string,
    readonly source: ImageSource | null,
  ) {}

  tell(step: Step): void {
    const { bootMs } = this.kernel.now();
    const begins = step.phase !== this.#phase;
    if (begins) {
      this.#phase = step.phase;
      this.#rate = new Rate();
      if (this.telling === "lines") this.output.line(phaseText(step.phase, this.slot));
    }
    this.#rate.add(bootMs, step.done * BLOCK);
    const ends = step.done === step.total;
    if (!begins && !ends && bootMs - this.#told < PAUSE[this.telling]) return;
    this.#told = bootMs;
    const progress: Progress = { ...step, network: this.source?.transferred ?? 0, rate: this.#rate.perSecond };
    if (this.telling === "json") this.output.line(JSON.stringify(progressJson(progress)));
    if (this.telling === "bar") {
      this.output.over(progressLine(progress, this.output.columns));
      this.#isOver = true;
    }
  }

  /** The terminal's line is free again. */
  end(): void {
    if (this.#isOver) this.output.over("");
    this.#isOver = false;
  }
}

/** Standard error of this process, so that standard output has the answer alone; JSON goes to standard output. */
export function outputOf(telling: Telling): Output {
  const { stdout, stderr } = process;
  return {
    columns: stderr.columns ?? 80,
    line: (text) => void (telling === "json" ? stdout : stderr).write(`${text}\n`),
    over: (text) => void stderr.write(`\r\x1b[K${text}`),
  };
}

/** Tells of trouble that may pass, on a line of its own: a bar is drawn anew below it. */
export function tellTrouble(line: string): void {
  process.stderr.write(`${process.stderr.isTTY ? "\r\x1b[K" : ""}${line}\n`);
}
