import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createInterface } from "node:readline";
import { cache, project } from "../../qemu/places.ts";
import type { MeasuredClone } from "./clone-table.ts";

const filesystems = ["ext4", "xfs", "btrfs"];

/** Clones the same tree in each way, in turn, on filesystems of its own. Throws Error with what a program said. */
export async function measureClones(runs: number, say: (text: string) => void): Promise<MeasuredClone[]> {
  const measured: MeasuredClone[] = [];
  for (const filesystem of filesystems) {
    say(`${filesystem}: writing 1 GiB in 20,000 files, which takes half a minute`);
    for (const clone of await measureOn(filesystem, runs, say)) measured.push(clone);
  }
  return measured;
}

/** In a mount namespace of its own: whatever happens, mounts and loop devices end with it. */
async function measureOn(filesystem: string, runs: number, say: (text: string) => void): Promise<MeasuredClone[]> {
  mkdirSync(cache, { recursive: true });
  const scratch = mkdtempSync(`${cache}/bench-clone-`);
  const namespace = ["--pdeathsig", "KILL", "--", "unshare", "--mount", "--propagation", "private", "--"];
  const worker = [`${project}/node_modules/.bin/bun`, `${import.meta.dirname}/clone-worker.ts`];
  try {
    const child = spawn("setpriv", [...namespace, ...worker, scratch, filesystem, String(runs)], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const measured: MeasuredClone[] = [];
    createInterface({ input: child.stdout }).on("line", (line) => {
      const { name, ms }: { name: string; ms: number } = JSON.parse(line);
      say(`${filesystem}: ${name} ${ms.toFixed(0)} ms`);
      const known = measured.find((clone) => clone.name === name);
      if (known) known.ms.push(ms);
      else measured.push({ filesystem, name, ms: [ms] });
    });
    const code = await new Promise((resolve, reject) => child.once("error", reject).once("close", resolve));
    if (code !== 0) throw new Error(`cloning on ${filesystem} failed; see above`);
    return measured;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
