/**
 * `npm run bench`: how long until the next init starts, and how big the initrd is, side by side with what people use; what a
 * clone of state costs; what operators add to a boot, and proofs; what an update costs in bytes and time, and a recovery; and
 * whether any of it grows worse than its input.
 */
import { writeFileSync } from "node:fs";
import { measureClones } from "./bench/clone.ts";
import { clonesTable } from "./bench/clone-table.ts";
import { measurePeers } from "./bench/measure.ts";
import { measureOperators } from "./bench/operators.ts";
import { operatorsTable } from "./bench/operators-table.ts";
import { type BenchOptions, type BootOptions, parseOptions, Usage, usage } from "./bench/options.ts";
import { measureProof } from "./bench/proof.ts";
import { proofTable } from "./bench/proof-table.ts";
import { measureRecovery } from "./bench/recovery.ts";
import { recoveryTable } from "./bench/recovery-table.ts";
import { growthJson, growthTable } from "./bench/scale/growth-table.ts";
import { measureScale } from "./bench/scale/scale.ts";
import { chartOf, instructionsJsonOf, jsonOf, tableOf } from "./bench/table.ts";
import { measureUpdates } from "./bench/update.ts";
import { hashing, wholeImage } from "./bench/update-contestants.ts";
import { updatesTable } from "./bench/update-table.ts";

const say = (text: string): void => console.error(text);

/** The peers' boots: a table, or what it is made of; the chart, where asked for. */
async function boots(runs: number, json: boolean, options: BootOptions): Promise<string> {
  const { measured, machine } = await measurePeers(runs, options, say);
  if (options.chart !== null) writeFileSync(options.chart, chartOf(measured));
  if (options.instructions)
    return json ? JSON.stringify(instructionsJsonOf(measured)) : `${machine}\n\n${tableOf(measured, "million instructions")}`;
  return json ? JSON.stringify(jsonOf(measured)) : `${machine}\n\n${tableOf(measured)}`;
}

/** What each subject prints, as text or as JSON. */
const answers: Record<BenchOptions["subject"], (runs: number, json: boolean, options: BenchOptions) => Promise<string>> = {
  boot: (runs, json, { boot }) => boots(runs, json, boot),
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
  scale: async (runs, json, { parts }) => {
    const measured = await measureScale(runs, parts, say);
    return json ? JSON.stringify(growthJson(measured)) : growthTable(measured);
  },
};

async function main(words: string[]): Promise<number> {
  try {
    if (words.includes("--help")) {
      console.log(usage);
      return 0;
    }
    const options = parseOptions(words);
    console.log(await answers[options.subject](options.runs, options.json, options));
    return 0;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    say(`npm run bench: ${message}${error instanceof Usage ? `\n${usage}` : ""}`);
    return error instanceof Usage ? 2 : 1;
  }
}

process.exit(await main(process.argv.slice(2)));
