/** What a test file's run came to. */
export interface Verdict {
  passed: number;
  failed: number;
  skipped: number;
  /** Why it failed, where the tests themselves do not say it. */
  complaint: string | null;
}

/** How a test file's process ended. */
export interface Ending {
  /** Everything it wrote. */
  output: string;
  /** Exit code; null after a signal. */
  code: number | null;
  timedOut: boolean;
}

function lastNumber(output: string, word: string): number | null {
  const all = [...output.matchAll(new RegExp(`^ {2}${word}: +(\\d+)$`, "gm"))];
  const number = all.at(-1)?.[1];
  return number === undefined ? null : Number(number);
}

/**
 * Reads what uvu printed ("  Total:     3", "  Passed:    3", "  Skipped:   0"). A file that executed no test is a failure,
 * and so is one that ended badly though all its tests passed.
 */
export function verdict({ output, code, timedOut }: Ending, limitSeconds: number): Verdict {
  const total = lastNumber(output, "Total");
  const passed = lastNumber(output, "Passed") ?? 0;
  const skipped = lastNumber(output, "Skipped") ?? 0;
  if (timedOut) return { passed, failed: 1, skipped, complaint: `did not end within ${limitSeconds} s` };
  if (total === null) {
    const complaint =
      code === 0
        ? "executed no test; is test.run() missing?"
        : `crashed with exit code ${code ?? "of a signal"} before its tests ended`;
    return { passed: 0, failed: 1, skipped, complaint };
  }
  const failed = total - passed; // uvu counts skipped tests apart
  if (failed === 0 && code !== 0)
    return { passed, failed: 1, skipped, complaint: `ended with exit code ${code ?? "of a signal"} though its tests passed` };
  if (failed === 0 && passed === 0) return { passed, failed: 1, skipped, complaint: `executed no test (${skipped} skipped)` };
  return { passed, failed, skipped, complaint: null };
}
