export const usage = `npm run bench [-- [--runs N] [--json]]
  --runs N   boots of each peer, 1 to 100, default 5; the peers take turns
  --json     one JSON object on standard output and nothing else (npm run -s bench -- --json)
Times are those of the guest's own clock. What is slow here is the emulation: read the ratios.
Exit codes: 0 measured, 1 a boot failed, 2 wrong usage.`;

export class Usage extends Error {}

export interface BenchOptions {
  runs: number;
  json: boolean;
}

/** Throws {@link Usage}. */
export function parseOptions(words: readonly string[]): BenchOptions {
  const options = { runs: 5, json: false };
  const rest = [...words];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (word === "--json") options.json = true;
    else if (word === "--runs" || word.startsWith("--runs=")) {
      const value = word === "--runs" ? rest.shift() : word.slice("--runs=".length);
      if (value === undefined || !/^\d{1,3}$/.test(value) || Number(value) < 1 || Number(value) > 100)
        throw new Usage(`--runs takes a whole number from 1 to 100, got "${value ?? ""}"`);
      options.runs = Number(value);
    } else throw new Usage(`no such option: ${word}`);
  }
  return options;
}
