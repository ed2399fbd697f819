/** How the executable is compiled, and what of it a boot evaluates. */
import { resolve } from "node:path";
import { ARCHITECTURE, type Architecture } from "../../boot/architecture.ts";

/** Options that the executable's own runtime starts with: no code from text, no native addons, no C compiler. */
export const runtimeOptions = ["--disallow-code-generation-from-strings=strict", "--no-addons", "--no-ffi-cc"];

export interface CompileInput {
  entry: string;
  /** The executable. Its name is part of its bytes. */
  output: string;
  /** Files that are embedded; see {@link https://bun.com/docs/bundler/executables}. */
  assets: string[];
  version: string;
  /** Milliseconds since the epoch; the clock is never set before it. */
  buildUnixMs: number;
  /** The machine it is for and its runtime (runtime.ts), where that is not the one that compiles. */
  other?: { architecture: Architecture; runtime: string };
}

/** Compiles `entry` and all it imports to one executable. Same sources, same `output` name, same bytes. Throws on errors. */
export async function compile(input: CompileInput): Promise<void> {
  const other = input.other && {
    target: `bun-linux-${ARCHITECTURE[input.other.architecture].runtime}` as const,
    executablePath: input.other.runtime,
  };
  const built = await Bun.build({
    entrypoints: [input.entry],
    target: "bun",
    minify: true,
    bytecode: true,
    define: {
      SLIPWAY_VERSION: JSON.stringify(input.version),
      SLIPWAY_BUILD_UNIX_MS: String(input.buildUnixMs),
    },
    compile: {
      ...other,
      outfile: input.output,
      assets: input.assets,
      execArgv: runtimeOptions,
      jitPolicy: 100, // a boot runs everything once: compiling it costs more than interpreting it
      autoloadDotenv: false,
      autoloadBunfig: false,
      autoloadTsconfig: false,
      autoloadPackageJson: false,
    },
    throw: false,
  });
  if (!built.success) throw new Error(`bun build of ${input.entry}:\n${built.logs.map(String).join("\n")}`);
}

/** A file that is evaluated. */
export interface EvaluatedModule {
  /** Relative to the working directory. */
  path: string;
  /** What it comes to in the executable, bytes of minified JavaScript. */
  bytes: number;
}

/** Files that evaluating `entry` evaluates, without those that wait behind import(), by their paths. */
export async function evaluatedModules(entry: string): Promise<EvaluatedModule[]> {
  const options = { target: "bun", minify: true, splitting: true, metafile: true, throw: false } as const;
  const built = await Bun.build({ entrypoints: [entry], ...options });
  if (!built.success || !built.metafile) throw new Error(`bun build of ${entry}:\n${built.logs.map(String).join("\n")}`);
  const { inputs, outputs } = built.metafile;
  const first = Object.keys(inputs).find((path) => resolve(path) === resolve(entry));
  if (first === undefined) throw new Error(`bun build of ${entry} does not name it among its inputs`);
  const seen = new Set<string>();
  const queue = [first];
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    if (seen.has(path)) continue;
    seen.add(path);
    for (const found of inputs[path]?.imports ?? []) {
      if (found.kind !== "dynamic-import" && inputs[found.path]) queue.push(found.path);
    }
  }
  const bytes = new Map<string, number>();
  for (const [path, { bytesInOutput }] of Object.values(outputs).flatMap((output) => Object.entries(output.inputs))) {
    bytes.set(path, (bytes.get(path) ?? 0) + bytesInOutput);
  }
  return [...seen].sort().map((path) => ({ path, bytes: bytes.get(path) ?? 0 }));
}
