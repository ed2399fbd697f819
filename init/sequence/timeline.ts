import type { BootReport } from "../../boot/report.ts";
import type { Kernel } from "../kernel/kernel.ts";

type Part = BootReport["timeline"][number];

/** Of the time before the kernel's clocks could be asked: nanoseconds of Bun's clock, which counts from about the process's start. */
export interface Started {
  /** The executable's first line. */
  firstLineNs: number;
  /** All modules of PID 1 are evaluated. */
  evaluatedNs: number;
  /** The same clock now. */
  nowNs: () => number;
}

/** Microseconds: finer is noise. */
function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}

/** How long the parts of this boot took, on CLOCK_BOOTTIME: milliseconds since kernel start. */
export class Timeline {
  readonly #kernel: Kernel;
  readonly #parts: Part[] = [];
  /** Parts that go on, with their starts. */
  readonly #open = new Map<symbol, { name: string; startMs: number }>();

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  /**
   * Notes what came before: preinit and the start of the runtime, from preinit's two times, "STARTED EXECUTED" in nanoseconds
   * since kernel start; our modules, and what was done since. Where preinit told nothing that can be right, nothing is noted.
   *
   * @param started null where it is not known, as in tests
   */
  begin(preinit: string, started: Started | null): void {
    const [preinitMs, executedMs] = preinit.split(" ").map((time) => Number(time) / 1e6);
    if (preinitMs === undefined || executedMs === undefined || !(executedMs >= preinitMs)) return;
    const nowMs = this.#kernel.now().bootMs;
    // Both clocks run at one speed, and nothing suspends a machine that has only begun to boot.
    const zeroMs = nowMs - (started?.nowNs() ?? 0) / 1e6;
    const firstLineMs = started === null ? nowMs : zeroMs + started.firstLineNs / 1e6;
    const evaluatedMs = started === null ? nowMs : zeroMs + started.evaluatedNs / 1e6;
    this.#note("preinit", preinitMs, executedMs);
    this.#note("runtime", executedMs, firstLineMs);
    this.#note("evaluate", firstLineMs, evaluatedMs);
    this.#note("start", evaluatedMs, nowMs);
  }

  #note(name: string, startMs: number, endMs: number): void {
    const start = rounded(startMs);
    this.#parts.push({ name, startMs: start, lengthMs: rounded(Math.max(0, rounded(endMs) - start)) });
  }

  /** Notes how long `work` takes, and whether it fails or not. Parts may lie in each other. */
  async part<Result>(name: string, work: () => Result | Promise<Result>): Promise<Result> {
    const key = Symbol(name);
    const startMs = this.#kernel.now().bootMs;
    this.#open.set(key, { name, startMs });
    try {
      return await work();
    } finally {
      this.#open.delete(key);
      this.#note(name, startMs, this.#kernel.now().bootMs);
    }
  }

  /** All parts so far in the order of their starts; those that go on are `open`, with their length so far. */
  told(): Part[] {
    const now = this.#kernel.now().bootMs;
    const open = [...this.#open.values()].map(({ name, startMs }): Part => {
      const start = rounded(startMs);
      return { name, startMs: start, lengthMs: rounded(Math.max(0, rounded(now) - start)), open: true };
    });
    return [...this.#parts, ...open].toSorted((left, right) => left.startMs - right.startMs || right.lengthMs - left.lengthMs);
  }
}
