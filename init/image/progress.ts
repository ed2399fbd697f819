import { sizeText } from "../../state-ops/size-text.ts";

/** Told how many bytes are done. */
export type OnBytes = (done: number) => void;

/** Milliseconds between two lines: people read no faster. */
const PAUSE = 200;

/**
 * Tells on a terminal how far work of `total` bytes is, on one line that is wiped when `work` ends; says nothing where standard
 * error is none.
 */
export async function withProgress<Result>(
  what: string,
  total: number,
  work: (onBytes: OnBytes) => Result | Promise<Result>,
): Promise<Result> {
  if (!process.stderr.isTTY) return work(() => {});
  const start = performance.now();
  let told = start;
  try {
    return await work((done) => {
      const now = performance.now();
      if (now - told < PAUSE) return;
      told = now;
      process.stderr.write(`\r\u001b[K${byteLine(what, done, total, (now - start) / 1000)}`);
    });
  } finally {
    if (told !== start) process.stderr.write("\r\u001b[K");
  }
}

/** "hash tree: 512 MiB of 4.0 GiB, 12 %, 800 MiB/s, 4 s left" */
export function byteLine(what: string, done: number, total: number, seconds: number): string {
  const rate = seconds > 0 ? done / seconds : 0;
  const left = rate > 0 ? `, ${sizeText(rate)}/s, ${Math.ceil((total - done) / rate)} s left` : "";
  const share = total > 0 ? Math.floor((100 * done) / total) : 100;
  return `${what}: ${sizeText(done)} of ${sizeText(total)}, ${share} %${left}`;
}
