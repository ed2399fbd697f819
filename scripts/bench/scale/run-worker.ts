import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createInterface } from "node:readline";
import { cache, project } from "../../../qemu/places.ts";
import type { Collected, Sample } from "./growth.ts";

/** Runs `bun NAME.ts SCRATCH WORDS…` in a mount namespace of its own, with which its mounts end, and takes the samples that it tells. */
export async function runWorker(name: string, words: readonly string[], into: Collected): Promise<void> {
  mkdirSync(cache, { recursive: true });
  const scratch = mkdtempSync(`${cache}/bench-scale-`);
  const namespace = ["--pdeathsig", "KILL", "--", "unshare", "--mount", "--propagation", "private", "--"];
  const worker = [`${project}/node_modules/.bin/bun`, `${import.meta.dirname}/${name}.ts`, scratch, ...words];
  try {
    const child = spawn("setpriv", [...namespace, ...worker], { stdio: ["ignore", "pipe", "inherit"] });
    createInterface({ input: child.stdout }).on("line", (line) => {
      const sample: Sample = JSON.parse(line);
      into.add(sample);
    });
    const code = await new Promise((resolve, reject) => child.once("error", reject).once("close", resolve));
    if (code !== 0) throw new Error(`${name} ${words.join(" ")} failed; see above`);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
