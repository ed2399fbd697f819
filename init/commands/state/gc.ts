import { slotOf } from "../../../boot/selection/slots.ts";
import type { CollectionFacts, CollectionPlan } from "../../../state-ops/collection.ts";
import { planCollection } from "../../../state-ops/collection.ts";
import { generationName, generationPath, isTemporaryGeneration, LAYOUT, parseGenerationName } from "../../../state-ops/layout.ts";
import { BadInput, Refusal } from "../../../state-ops/outcome.ts";
import { sizeText } from "../../../state-ops/size-text.ts";
import type { Descriptor, Kernel } from "../../kernel/kernel.ts";
import { linuxKernel } from "../../kernel/linux.ts";
import { withDirectory } from "../../state/beneath.ts";
import { unpinGeneration } from "../../state/pins.ts";
import { emptyTrash, moveToTrash } from "../../state/remove-tree.ts";
import { changeRecord } from "../change-record.ts";
import { withDataFilesystem } from "../data-access.ts";
import { isUncommitted, PLACES, type Places, readMachine } from "../machine.ts";
import { flag, texts, type Verb } from "../verb.ts";
import { collection } from "./collection-facts.ts";
import { measureIfThere } from "./walk.ts";

export interface CollectOrder {
  dryRun: boolean;
  /** Also what is kept only until space is needed. */
  spare: boolean;
  /** Pinned generations to delete all the same. */
  pinned: readonly number[];
  /** Pinned generations that are to be treated as any other from now on. */
  unpin: readonly number[];
}

export interface Collected {
  number: string;
  why: string;
  /** What it takes on the disk; what it shares with others by reflink or snapshot stays. */
  bytes: number;
}

export interface CollectAnswer {
  dryRun: boolean;
  collected: Collected[];
  unpinned: string[];
  kept: { number: string; why: string }[];
  /** By how much the free space grew; 0 for a dry run. */
  freedBytes: number;
  warnings: string[];
}

/**
 * Deletes the generations that nobody needs, and what an interrupted boot or collection left. Each is renamed into trash/
 * first, so that there is never half a generation, and what is interrupted goes on at the next collection or boot. Throws
 * Refusal on trial, for a generation that is in use and where there is no data filesystem; BadInput for one that is not there.
 */
export function collectState(kernel: Kernel, places: Places, order: CollectOrder): CollectAnswer {
  const machine = readMachine(kernel, places);
  return withDataFilesystem(kernel, machine, (data) => {
    // Others wait for the boot record: the lock is not held while trees are deleted.
    const planned = changeRecord(kernel, places, "slipway state gc", ({ record }) => {
      if (isUncommitted(kernel, places) || slotOf(record, machine.report.slot).state !== "committed") {
        throw new Refusal(
          `slot ${machine.report.slot} is on trial, and what it is rolled back to must stay; collect once it is committed`,
        );
      }
      const found = collection(kernel, data, machine, record.lastCommitted);
      const facts = withoutPins(found.facts, order);
      const plan = planCollection(facts);
      const picked = pick(plan, order).map(({ number, why }) => ({
        ...{ number: generationName(number), why },
        bytes: measureIfThere(kernel, data, generationPath(number))?.bytes ?? 0,
      }));
      if (!order.dryRun) {
        const freeBefore = freeBytes(kernel, data);
        for (const number of order.unpin) unpinGeneration(kernel, data, number);
        toTrash(
          kernel,
          data,
          picked.map(({ number }) => number),
        );
        return { plan, picked, freeBefore };
      }
      return { plan, picked, freeBefore: null };
    });
    const { plan, picked, freeBefore } = planned;
    const warnings = freeBefore === null ? [] : emptyTrash(kernel, data, () => {});
    const gone = new Set(picked.map(({ number }) => number));
    const kept = [...plan.kept, ...plan.underPressure]
      .map(({ number, why }) => ({ number: generationName(number), why }))
      .filter(({ number }) => !gone.has(number))
      .sort((left, right) => (left.number < right.number ? -1 : 1));
    const freedBytes = freeBefore === null ? 0 : Math.max(0, freeBytes(kernel, data) - freeBefore);
    const unpinned = order.unpin.map(generationName);
    return { dryRun: order.dryRun, collected: picked, unpinned, kept, freedBytes, warnings };
  });
}

/** The facts as if the generations that were named had no pin. Throws BadInput for one that is not there or not pinned. */
function withoutPins(facts: CollectionFacts, { pinned, unpin: unpinned }: CollectOrder): CollectionFacts {
  const named = new Set([...pinned, ...unpinned]);
  for (const number of named) {
    const found = facts.generations.find((generation) => generation.number === number);
    const known = facts.generations
      .filter((generation) => generation.pinned !== null)
      .map((other) => generationName(other.number));
    if (found?.pinned == null) {
      const what = found === undefined ? "there is no generation" : "nothing pins generation";
      throw new BadInput(`${what} ${generationName(number)}; pinned are: ${known.join(", ") || "none"}`);
    }
  }
  const generations = facts.generations.map((generation) =>
    named.has(generation.number) ? { ...generation, pinned: null } : generation,
  );
  return { ...facts, generations };
}

function pick(plan: CollectionPlan, { spare, pinned }: CollectOrder): CollectionPlan["collect"] {
  const named = pinned.map((number) => {
    const inUse = plan.kept.find((verdict) => verdict.number === number);
    if (inUse !== undefined) {
      throw new Refusal(`generation ${generationName(number)} cannot be deleted, pinned or not: ${inUse.why}`);
    }
    return { number, why: "pinned, and named to be deleted" };
  });
  const listed = [...plan.collect, ...(spare ? plan.underPressure : [])];
  return [...named, ...listed.filter(({ number }) => !pinned.includes(number))];
}

/** These and what an interrupted boot left: the names are gone from gens/, durably, before the first file is deleted. */
function toTrash(kernel: Kernel, data: Descriptor, names: readonly string[]): void {
  withDirectory(kernel, data, LAYOUT.generations, (generations) => {
    const found = kernel.readDirectory(generations).map(({ name }) => new TextDecoder().decode(name));
    for (const name of [...names, ...found.filter(isTemporaryGeneration)]) moveToTrash(kernel, data, generations, name);
    kernel.sync(generations);
  });
  withDirectory(kernel, data, LAYOUT.trash, (trash) => kernel.sync(trash));
}

function freeBytes(kernel: Kernel, data: Descriptor): number {
  kernel.syncFilesystem(data);
  const { available, blockSize } = kernel.filesystemStatus(data);
  return Number(available) * blockSize;
}

/** The answer as people read it. */
function collectText(answer: CollectAnswer): string {
  const { dryRun, collected, kept, freedBytes, unpinned } = answer;
  const will = dryRun ? "would be deleted" : "deleted";
  return [
    ...unpinned.map((number) => `Generation ${number} ${dryRun ? "would be" : "is"} pinned no more.`),
    ...collected.map(({ number, why, bytes }) => `Generation ${number} ${will}: ${why} (${sizeText(bytes)}).`),
    ...(collected.length === 0 ? ["No generation is there to be deleted."] : []),
    ...kept.map(({ number, why }) => `Generation ${number} stays: ${why}.`),
    ...(dryRun ? [] : [`${freedBytes} bytes freed (${sizeText(freedBytes)}).`]),
  ].join("\n");
}

function numbers(words: string[]): number[] {
  return [...new Set(words)].map((word) => {
    const number = parseGenerationName(word.padStart(6, "0"));
    if (number === null) throw new BadInput(`"${word}" is no generation; "slipway state list" shows them`);
    return number;
  });
}

export const verb: Verb = {
  help: `
Usage: slipway state gc [--dry-run] [--spare] [--pinned N]… [--unpin N]… [--json]

Deletes generations that nobody needs: tries that were not committed, but for the newest, and older committed ones, but for
the newest. Never deleted are what a slot points at, what is committed, and what is pinned. The unit slipway-collect.service
does it after every commit, at idle priority. It may be interrupted at any time. Refused while the running slot is on trial.

Options:
  --dry-run   only tell what would be deleted
  --spare     also what is kept only until space is needed: "spare" in "slipway state list"
  --pinned N  delete generation N although it is pinned
  --unpin N   take the pin of generation N away, so that it is treated as any other
  --json      print one JSON object: dryRun, collected (number, why, bytes), unpinned, kept (number, why), freedBytes, warnings`,
  options: {
    "dry-run": { type: "boolean" },
    spare: { type: "boolean" },
    pinned: { type: "string", multiple: true },
    unpin: { type: "string", multiple: true },
    json: { type: "boolean" },
  },
  positionals: [],
  async run(values) {
    const order = { dryRun: flag(values, "dry-run"), spare: flag(values, "spare") };
    const named = { pinned: numbers(texts(values, "pinned")), unpin: numbers(texts(values, "unpin")) };
    const answer = collectState(linuxKernel(), PLACES, { ...order, ...named });
    if (flag(values, "json")) {
      console.log(JSON.stringify({ schema: 1, ...answer }));
      return 0;
    }
    console.log(collectText(answer));
    for (const warning of answer.warnings) console.error(`Warning: ${warning}`);
    return 0;
  },
};
