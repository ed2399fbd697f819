/** What an update costs: a Debian with a point release's security updates, in bytes and time, beside what people use. */
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createInterface } from "node:readline";
import { compareLeaves, readSealedFile } from "../../qemu/missing-blocks.ts";
import { cache, project } from "../../qemu/places.ts";
import { updatePair } from "../../qemu/update-pair.ts";
import { contestants } from "./update-contestants.ts";
import type { MeasuredUpdate, MeasuredUpdates, UpdateFacts } from "./update-table.ts";

/** Updates in each way, in turn, natively. Throws Error with what a program said. */
export async function measureUpdates(runs: number, say: (text: string) => void): Promise<MeasuredUpdates> {
  say("making two Debian images, which takes minutes the first time; kept for the next time");
  const facts = await factsOfPair();
  const updates = contestants().map(({ name, note, from = "server" }) => {
    const update: MeasuredUpdate = { name, note, from, bytes: [], requests: [], ms: [] };
    return update;
  });
  mkdirSync(cache, { recursive: true });
  const directory = mkdtempSync(`${cache}/bench-update-`);
  // In a mount namespace of its own: whatever happens, mounts end with it.
  const namespace = ["--pdeathsig", "KILL", "--", "unshare", "--mount", "--propagation", "private", "--"];
  const worker = [`${project}/node_modules/.bin/bun`, `${import.meta.dirname}/update-worker.ts`];
  try {
    const child = spawn("setpriv", [...namespace, ...worker, directory, String(runs)], { stdio: ["ignore", "pipe", "inherit"] });
    createInterface({ input: child.stdout }).on("line", (line) => {
      const { name, bytes, requests, ms }: { name: string; bytes: number; requests: number; ms: number } = JSON.parse(line);
      const update = updates.find((candidate) => candidate.name === name);
      update?.bytes.push(bytes);
      update?.requests.push(requests);
      update?.ms.push(ms);
      say(`run ${update?.ms.length} of ${runs}: ${name}: ${bytes} bytes, ${ms.toFixed(0)} ms`);
    });
    const code = await new Promise((resolve, reject) => child.once("error", reject).once("close", resolve));
    if (code !== 0) throw new Error("updating failed; see above");
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  return { facts, updates };
}

/** The pair that is measured, and what its images have in common. */
export async function factsOfPair(): Promise<UpdateFacts> {
  const { older, newer, changes, synthetic } = await updatePair();
  const [before, after] = [readSealedFile(older), readSealedFile(newer)];
  const compared = compareLeaves(before.leaves, after.leaves);
  return { changes, synthetic, imageBytes: after.size, overheadBytes: after.overhead, ...compared };
}
