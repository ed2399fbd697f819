import { CompileError } from "../../state-ops/problems.ts";

/** Runs `work`; sources that do not compile are printed line by line, as editors read them. Returns the exit code. */
export async function reportProblems(work: () => Promise<void>): Promise<number> {
  try {
    await work();
    return 0;
  } catch (error) {
    if (!(error instanceof CompileError)) throw error;
    console.error(error.lines.join("\n"));
    return 2;
  }
}
