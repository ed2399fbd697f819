export const usage = `npm run bench [-- [clone | operators | proof | update | recovery] [--runs N] [--json]]
  (nothing)  boots slipway and what people use instead, side by side
  clone      clones 1 GiB in 20,000 files on ext4, xfs and btrfs, beside cp -a and a btrfs snapshot; needs root and 6 GiB
  operators  boots with 0, 1 and 100 operators
  proof      boots one filesystem with and without seal, signature and dm-verity
  update     a Debian's security updates into a slot, from nginx: bytes and time beside curl, casync and rauc; needs root
  recovery   an image into destroyed slots: time beside curl and dd in the same machine, bytes for damage, least memory
  --runs N   of each contestant, 1 to 100, default 5 (clone, update, recovery: 3); they take turns
  --json     one JSON object on standard output and nothing else (npm run -s bench -- --json)
Times of boots are those of the guest's own clock. What is slow there is the emulation: read the ratios.
Exit codes: 0 measured, 1 something failed, 2 wrong usage.`;

export class Usage extends Error {}

export const subjects = ["boot", "clone", "operators", "proof", "update", "recovery"] as const;

export interface BenchOptions {
  subject: (typeof subjects)[number];
  runs: number;
  json: boolean;
}

/** Throws {@link Usage}. */
export function parseOptions(words: readonly string[]): BenchOptions {
  const options: Omit<BenchOptions, "runs"> & { runs: number | null } = { subject: "boot", runs: null, json: false };
  const rest = [...words];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    const subject = subjects.find((name) => name === word && name !== "boot");
    if (word === "--json") options.json = true;
    else if (subject !== undefined && options.subject === "boot") options.subject = subject;
    else if (word === "--runs" || word.startsWith("--runs=")) {
      const value = word === "--runs" ? rest.shift() : word.slice("--runs=".length);
      if (value === undefined || !/^\d{1,3}$/.test(value) || Number(value) < 1 || Number(value) > 100)
        throw new Usage(`--runs takes a whole number from 1 to 100, got "${value ?? ""}"`);
      options.runs = Number(value);
    } else throw new Usage(`no such option: ${word}`);
  }
  return { ...options, runs: options.runs ?? (["clone", "update", "recovery"].includes(options.subject) ? 3 : 5) };
}
