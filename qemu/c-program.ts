import { runProgram } from "./program.ts";

export interface CompileOptions {
  /** Default the host's. */
  compiler?: string;
  /** Beside those that every program gets. Default "-O2". */
  words?: readonly string[];
}

/** Compiles the C file `source` to the program `output`, which needs no libraries. Warnings are errors. */
export async function compileProgram(
  source: string,
  output: string,
  { compiler = "gcc", words = ["-O2"] }: CompileOptions = {},
): Promise<void> {
  await runProgram(compiler, ["-static", ...words, "-Wall", "-Wextra", "-Werror", "-s", "-o", output, source]);
}
