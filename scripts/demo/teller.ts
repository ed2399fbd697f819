/** What the demo saw to be true, step by step. */

export class Untrue extends Error {}

export function check(condition: boolean, what: string): void {
  if (!condition) throw new Untrue(what);
}

interface Told {
  step: string;
  ok: boolean;
  seconds: number;
}

/** Tells of each step with the time it took, for people or as JSON. */
export class Teller {
  readonly told: Told[] = [];
  constructor(readonly json: boolean) {}

  /** Where `work` returns a text, it is told behind the title. */
  async step<Result>(name: string, title: string, work: () => Promise<Result>): Promise<Result> {
    const began = performance.now();
    const tell = (ok: boolean, why = ""): void => {
      const seconds = Math.round((performance.now() - began) / 100) / 10;
      this.told.push({ step: name, ok, seconds });
      if (this.json) console.log(JSON.stringify({ step: name, ok, seconds }));
      else console.log(`${ok ? "ok  " : "FAIL"} ${seconds.toFixed(1).padStart(6)} s  ${title}${why === "" ? "" : `: ${why}`}`);
    };
    try {
      const result = await work();
      tell(true, typeof result === "string" ? result : "");
      return result;
    } catch (error) {
      tell(false, error instanceof Error ? error.message : String(error));
      throw error;
    }
  }
}
