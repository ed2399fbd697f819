/**
 * `npm run bench`: how long until the next init starts, and how big the initrd is, side by side with what people use; what a
 * clone of state costs; what operators add to a boot, and proofs; what an update costs in bytes and time, and a recovery.
 */
import { statSync } from "node:fs";
import { accelerator } from "../qemu/accelerator.ts";
import { bootOnce, checkMounts, memoryMiB } from "./bench/boot.ts";
import { measureClones } from "./bench/clone.ts";
import { clonesTable } from "./bench/clone-table.ts";
import { makeGround } from "./bench/ground.ts";
import { measureOperators } from "./bench/operators.ts";
import { operatorsTable } from "./bench/operators-table.ts";
import { type BenchOptions, parseOptions, Usage, usage } from "./bench/options.ts";
import { peers } from "./bench/peers.ts";
import { measureProof } from "./bench/proof.ts";
import { proofTable } from "./bench/proof-table.ts";
import { measureRecovery } from "./bench/recovery.ts";
import { recoveryTable } from "./bench/recovery-table.ts";
import { jsonOf, type Measured, tableOf } from "./bench/table.ts";
import { measureUpdates } from "./bench/update.ts";
import { hashing, wholeImage } from "./bench/update-contestants.ts";
import { updatesTable } from "./bench/update-table.ts";

const reference = "busybox";

const say = (text: string): void => console.error(text);

/** Boots the peers in turn, `runs` times each. */
async function measure(runs: number): Promise<{ measured: Measured[]; machine: string }> {
  say("making the image, the disk and the initrds; kept for the next time");
  const ground = await makeGround();
  const contestants = [];
  for (const peer of peers) {
    const initrd = await peer.makeInitrd(ground);
    const measured: Measured = { name: peer.name, note: peer.note, initrdBytes: statSync(initrd).size, runs: [] };
    contestants.push({ peer, initrd, measured });
  }
  for (let run = 1; run <= runs; run++) {
    const mounts = [];
    for (const { peer, initrd, measured } of contestants) {
      const facts = await bootOnce(ground, peer, initrd);
      const { kernelToInitMs, initToExecMs, kernelToExecMs } = facts;
      const times = { kernelToInitMs, initToExecMs, kernelToExecMs };
      measured.runs.push(peer.timeline ? { ...times, timeline: peer.timeline(facts) } : times);
      mounts.push({ name: peer.name, mounts: facts.mounts });
      say(`run ${run} of ${runs}: ${peer.name} ${initToExecMs.toFixed(0)} ms, ${kernelToExecMs.toFixed(0)} ms from kernel start`);
    }
    checkMounts(mounts);
  }
  const emulation = (await accelerator(ground.kernel.kernel)).join(" ");
  const machine = [
    `Kernel ${ground.kernel.version}, ${memoryMiB} MiB, 1 processor, QEMU ${emulation}; ${runs} boots each, in turn.`,
    `Debian in ${ground.rootType}, committed; all leave the same mounts and load ${ground.modules.join(", ")}, with what these need.`,
  ].join("\n");
  return { measured: contestants.map(({ measured }) => measured), machine };
}

/** What each subject prints, as text or as JSON. */
const answers: Record<BenchOptions["subject"], (runs: number, json: boolean) => Promise<string>> = {
  boot: async (runs, json) => {
    const { measured, machine } = await measure(runs);
    return json ? JSON.stringify(jsonOf(measured)) : `${machine}\n\n${tableOf(measured, reference)}`;
  },
  clone: async (runs, json) => {
    const measured = await measureClones(runs, say);
    return json ? JSON.stringify({ clones: measured }) : clonesTable(measured);
  },
  operators: async (runs, json) => {
    const measured = await measureOperators(runs, say);
    return json ? JSON.stringify({ operators: measured }) : operatorsTable(measured);
  },
  proof: async (runs, json) => {
    const measured = await measureProof(runs, say);
    return json ? JSON.stringify({ proof: measured }) : proofTable(measured);
  },
  update: async (runs, json) => {
    const measured = await measureUpdates(runs, say);
    return json ? JSON.stringify({ update: measured }) : updatesTable(measured, { whole: wholeImage, hashing });
  },
  recovery: async (runs, json) => {
    const measured = await measureRecovery(runs, say);
    return json ? JSON.stringify({ recovery: measured }) : recoveryTable(measured);
  },
};

async function main(words: string[]): Promise<number> {
  try {
    if (words.includes("--help")) {
      console.log(usage);
      return 0;
    }
    const { subject, runs, json } = parseOptions(words);
    console.log(await answers[subject](runs, json));
    return 0;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    say(`npm run bench: ${message}${error instanceof Usage ? `\n${usage}` : ""}`);
    return error instanceof Usage ? 2 : 1;
  }
}

process.exit(await main(process.argv.slice(2)));
