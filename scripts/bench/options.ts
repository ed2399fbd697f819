import { type PeerName, peerNames } from "./peers.ts";
import { type ScalePart, scaleParts } from "./scale/parts.ts";

export const usage = `npm run bench [-- [clone | operators | proof | update | recovery] [--runs N] [--json]]
  (nothing)  boots slipway and what people use instead, side by side; finds the least memory of each; needs root
             ${peerNames.join(", ")}
  clone      clones 1 GiB in 20,000 files on ext4, xfs and btrfs, beside cp -a and a btrfs snapshot; needs root and 6 GiB
  operators  boots with 0, 1 and 100 operators
  proof      boots one filesystem with and without seal, signature and dm-verity
  update     a Debian's security updates into a slot, from nginx: bytes and time beside curl, casync and rauc; needs root
  recovery   an image into destroyed slots: time beside curl and dd in the same machine, bytes for damage, least memory
  --scale    10 to 1,000 operators, 1 to 32 disks, installs of 0.1 to 4 GiB, state of 1,000 to 100,000 files: whether any cost
             grows worse than its input; needs root and 24 GiB; --parts ${scaleParts.join(",")} for some of them
  --runs N   of each contestant, 1 to 100, default 7 (operators, proof: 5; clone, update, recovery: 3; --scale: 2); they take turns
  --json     one JSON object on standard output and nothing else (npm run -s bench -- --json)
With nothing else, of the boots beside each other:
  --peers NAME,…   only these
  --cpus N         processors of the machine, 1 to 64, default 1
  --no-memory      leaves out the least memory, which takes a dozen boots of each
  --instructions   counts the guest's instructions instead of its time, without waits: one boot each, the same on every host
  --chart FILE     also draws the times into this SVG
Times of boots are those of the guest's own clock. What is slow there is the emulation: read the ratios.
Exit codes: 0 measured, 1 something failed, 2 wrong usage.`;

export class Usage extends Error {}

export const subjects = ["boot", "clone", "operators", "proof", "update", "recovery", "scale"] as const;

/** What of the boots of peers may be chosen. */
export interface BootOptions {
  peers: readonly PeerName[];
  cpus: number;
  /** Find the least memory, too. */
  memory: boolean;
  instructions: boolean;
  /** File for the chart; null for none. */
  chart: string | null;
}

export interface BenchOptions {
  subject: (typeof subjects)[number];
  runs: number;
  json: boolean;
  boot: BootOptions;
  /** What of the subject `scale`. */
  parts: readonly ScalePart[];
}

const usualRuns: Record<BenchOptions["subject"], number> = {
  ...{ boot: 7, clone: 3, operators: 5, proof: 5, update: 3, recovery: 3 },
  scale: 2,
};

function whole(name: string, value: string | undefined, most: number): number {
  if (value === undefined || !/^\d{1,3}$/.test(value) || Number(value) < 1 || Number(value) > most)
    throw new Usage(`${name} takes a whole number from 1 to ${most}, got "${value ?? ""}"`);
  return Number(value);
}

function partsIn(value: string | undefined): ScalePart[] {
  return (value ?? "").split(",").map((word) => {
    const part = scaleParts.find((name) => name === word);
    if (part === undefined) throw new Usage(`--parts takes some of ${scaleParts.join(",")}, got "${word}"`);
    return part;
  });
}

function peersIn(value: string | undefined): PeerName[] {
  return (value ?? "").split(",").map((word) => {
    const peer = peerNames.find((name) => name === word);
    if (peer === undefined) throw new Usage(`--peers takes some of ${peerNames.join(",")}, got "${word}"`);
    return peer;
  });
}

/** Throws {@link Usage}. */
export function parseOptions(words: readonly string[]): BenchOptions {
  let subject: BenchOptions["subject"] = "boot";
  let runs: number | null = null;
  let json = false;
  const boot: BootOptions = { peers: peerNames, cpus: 1, memory: true, instructions: false, chart: null };
  let parts: readonly ScalePart[] | null = null;
  const ofBoot: string[] = [];
  const rest = words.flatMap((word) =>
    /^--[a-z]+=/.test(word) ? [word.replace(/=.*/s, ""), word.replace(/^[^=]*=/, "")] : [word],
  );
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    const named = subjects.find((name) => (name === "scale" ? word === "--scale" : name === word && name !== "boot"));
    if (["--peers", "--cpus", "--no-memory", "--instructions", "--chart"].includes(word)) ofBoot.push(word);
    if (word === "--json") json = true;
    else if (named !== undefined && subject === "boot") subject = named;
    else if (word === "--runs") runs = whole(word, rest.shift(), 100);
    else if (word === "--parts") parts = partsIn(rest.shift());
    else if (word === "--peers") boot.peers = peersIn(rest.shift());
    else if (word === "--cpus") boot.cpus = whole(word, rest.shift(), 64);
    else if (word === "--no-memory") boot.memory = false;
    else if (word === "--instructions") boot.instructions = true;
    else if (word === "--chart") boot.chart = fileIn(rest.shift());
    else throw new Usage(`no such option: ${word}`);
  }
  if (boot.instructions && boot.cpus > 1)
    throw new Usage("--instructions counts those of one processor: --cpus does not go with it");
  if (subject !== "boot" && ofBoot.length > 0) throw new Usage(`${ofBoot[0]} is not for "${subject}"`);
  if (parts !== null && subject !== "scale") throw new Usage("--parts goes with --scale");
  return { subject, parts: parts ?? scaleParts, runs: runs ?? (boot.instructions ? 1 : usualRuns[subject]), json, boot };
}

function fileIn(value: string | undefined): string {
  if (value === undefined || value === "" || value.startsWith("--"))
    throw new Usage(`--chart takes a file, got "${value ?? ""}"`);
  return value;
}
