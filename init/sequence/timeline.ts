import { type Part, rounded } from "../../boot/timeline/parts.ts";
import type { Kernel } from "../kernel/kernel.ts";

/** Of the time before the kernel's clocks could be asked: nanoseconds of Bun's clock, which counts from about the process's start. */
export interface Started {
  /** The executable's first line. */
  firstLineNs: number;
  /** All modules of PID 1 are evaluated. */
  evaluatedNs: number;
  /** The same clock now. */
  nowNs: () => number;
}

/** To the microsecond: finer is noise. */
function partFrom(name: string, startMs: number, endMs: number): Part {
  const start = rounded(startMs);
  return { name, startMs: start, lengthMs: rounded(Math.max(0, rounded(endMs) - start)) };
}

/** How long the parts of this boot took, on CLOCK_BOOTTIME: milliseconds since kernel start. */
export class Timeline {
  readonly #kernel: Kernel;
  readonly #parts: Part[] = [];
  /** Parts that go on. */
  readonly #open = new Set<{ name: string; startMs: number }>();

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
    this.#parts.push(partFrom(name, startMs, endMs));
  }

  /** Notes how long `work` takes, and whether it fails or not. Parts may lie in each other. */
  async part<Result>(name: string, work: () => Result | Promise<Result>): Promise<Result> {
    const begun = { name, startMs: this.#kernel.now().bootMs };
    this.#open.add(begun);
    try {
      return await work();
    } finally {
      this.#open.delete(begun);
      this.#note(name, begun.startMs, this.#kernel.now().bootMs);
    }
  }

  /** All parts so far in the order of their starts; those that go on are `open`, with their length so far. */
  told(): Part[] {
    const now = this.#kernel.now().bootMs;
    const open = [...this.#open].map(({ name, startMs }): Part => ({ ...partFrom(name, startMs, now), open: true }));
    return [...this.#parts, ...open].toSorted((left, right) => left.startMs - right.startMs || right.lengthMs - left.lengthMs);
  }
}
