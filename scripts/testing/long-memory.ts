import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { z } from "zod";
import { guestArchitecture } from "../../qemu/architecture.ts";
import { cache } from "../../qemu/places.ts";
import type { TestFile } from "./files.ts";

const Finished = z.object({ passed: z.number(), seconds: z.number(), boots: z.number() });
const Memory = z.object({ inputs: z.string(), finished: z.record(z.string(), Finished) });

/** What the long run remembers of a file that passed. Seconds. */
export type Finished = z.infer<typeof Finished>;

const path = `${cache}/test-long-${guestArchitecture}.json`;

/** Files that passed in an earlier long run over the same inputs, so that a long run can be resumed. */
export class LongMemory {
  #memory: z.infer<typeof Memory>;

  /** @param inputs hash of everything the outcome depends on; memories of other inputs are dropped */
  constructor(inputs: string) {
    const empty = { inputs, finished: {} };
    const stored = existsSync(path) ? Memory.safeParse(JSON.parse(readFileSync(path, "utf8"))) : null;
    this.#memory = stored?.success && stored.data.inputs === inputs ? stored.data : empty;
  }

  static forget(): void {
    rmSync(path, { force: true });
  }

  get(file: TestFile): Finished | null {
    return this.#memory.finished[`${file.kind}/${file.name}`] ?? null;
  }

  add(file: TestFile, finished: Finished): void {
    this.#memory.finished[`${file.kind}/${file.name}`] = finished;
    mkdirSync(cache, { recursive: true });
    writeFileSync(`${path}.new`, JSON.stringify(this.#memory, null, 1));
    renameSync(`${path}.new`, path);
  }
}
