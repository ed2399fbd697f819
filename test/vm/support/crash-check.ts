/**
 * A program of its own, for a mount namespace of its own: rebuilds a disk at every point of a job, lets its filesystem replay
 * its journal, and says what is on it. `bun crash-check.ts JOB` writes one line of JSON for each point. The job's directory
 * is for it alone.
 */

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import { readSuperblock, SUPERBLOCK_BYTES } from "../../../boot/devices/superblock.ts";
import { O } from "../../../init/kernel/constants.ts";
import { linuxKernel } from "../../../init/kernel/linux.ts";
import { layOut, readGenerations } from "../../../init/state/data-filesystem.ts";
import { partition, readAt } from "../../../qemu/disk-partitions.ts";
import { NO_ORDERS } from "../../../state-ops/generation-facts.ts";
import { planGeneration } from "../../../state-ops/generation-plan.ts";
import { formatComplete, GENERATION, LAYOUT } from "../../../state-ops/layout.ts";
import { parseRequests, REQUESTS } from "../../../state-ops/requests.ts";
import { treeContent } from "../../samples/tree-content.ts";
import type { Content, CrashFacts, CrashJob, GenerationFacts } from "./crash-job.ts";
import { recordOn } from "./disk-file.ts";
import { eachPoint } from "./rebuild-disk.ts";

const kernel = linuxKernel();
/** What no boot before and no request changes. */
const asNextBoot = { previousEnd: "unclean", left: null, attempt: 99, orders: NO_ORDERS, wish: "ordinary" } as const;

function program(name: string, ...words: string[]): string | null {
  const { status, stderr, error } = spawnSync(name, words, { encoding: "utf8" });
  return status === 0 ? null : `${name}: ${error?.message ?? stderr.trim()}`;
}

function must(name: string, ...words: string[]): void {
  const failure = program(name, ...words);
  if (failure !== null) throw new Error(failure);
}

const [jobFile = ""] = process.argv.slice(2);
/** In memory: a disk is rebuilt for each point. */
const scratch = `${dirname(jobFile)}/memory`;
mkdirSync(scratch);
must("mount", "-t", "tmpfs", "-o", "size=6G", "tmpfs", scratch);
const place = `${scratch}/data`;
mkdirSync(place);

/** What repairs a torn superblock: its exit code tells what it did; whether that was enough, the mount tells. */
const checkers: Record<string, string[]> = { ext4: ["e2fsck", "-f", "-y"], btrfs: ["btrfs", "rescue", "super-recover", "-y"] };

/** Mounts the data filesystem, which replays its journal. Returns why it could not before its checker had been at it. */
function mountData(job: CrashJob, disk: string): string | null {
  const { firstLba, lastLba } = partition(disk, "sys-data");
  const [start, length] = [`${firstLba * 512n}`, `${(lastLba - firstLba + 1n) * 512n}`];
  const options = `loop,nodev,nosuid,noatime,offset=${start},sizelimit=${length}${job.filesystem === "xfs" ? ",nouuid" : ""}`;
  const mount = () => program("mount", "-t", job.filesystem, "-o", options, disk, place);
  const failure = mount();
  if (failure === null) return null;
  const [checker, ...words] = checkers[job.filesystem] ?? [];
  if (checker === undefined) throw new Error(failure);
  const attached = spawnSync("losetup", ["--find", "--show", "--offset", start, "--sizelimit", length, disk], {
    encoding: "utf8",
  });
  const device = attached.stdout.trim();
  program(checker, ...words, device);
  must("losetup", "--detach", device);
  const second = mount();
  if (second !== null) throw new Error(`${second}, and before its checker: ${failure}`);
  return failure;
}

function factsOf(job: CrashJob, disk: string): CrashFacts {
  const complaints: string[] = [];
  const { reading } = recordOn(disk);
  const superblock = readSuperblock(readAt(disk, Number(partition(disk, "sys-data").firstLba) * 512, SUPERBLOCK_BYTES));
  const repaired = mountData(job, disk);
  try {
    const data = kernel.open(place, O.RDONLY | O.DIRECTORY);
    try {
      // As the next boot begins.
      complaints.push(...layOut(kernel, data, superblock?.uuid ?? "unknown"));
      const found = readGenerations(kernel, data, job.slots);
      const requests = `${place}/${REQUESTS.directory}/${REQUESTS.file}`;
      if (existsSync(requests)) parseRequests(readFileSync(requests, "utf8"));
      return {
        ...{ repaired, complaints, record: reading.condition },
        pointers: { ...found.pointers },
        generations: found.generations.map(({ number, complete }) => ({ number, complete, whole: isWhole(number) })),
        stores: storesOf(found.generations.map(({ number }) => number)),
        plans: job.next.map((next) => planOf({ ...next, ...found, ...asNextBoot })),
      };
    } finally {
      kernel.close(data);
    }
  } finally {
    must("umount", place);
  }
}

function planOf(facts: GenerationFacts): CrashFacts["plans"][number] {
  const plan = planGeneration(facts);
  const from = plan.do === "clone" ? plan.from : plan.do === "continue" ? plan.generation : null;
  return { slot: facts.slot, do: plan.do, from, reason: plan.reason };
}

const generationPlace = (number: number) => `${LAYOUT.generations}/${String(number).padStart(6, "0")}`;

/** Whether COMPLETE is the very text that vouches for the files beside it, read without slipway's reader. */
function isWhole(number: number): boolean {
  const directory = `${place}/${generationPlace(number)}`;
  try {
    const complete = readFileSync(`${directory}/${GENERATION.complete}`, "utf8");
    const { files }: { files: Record<string, string> } = JSON.parse(complete);
    const texts = Object.fromEntries(Object.keys(files).map((name) => [name, readFileSync(`${directory}/${name}`, "utf8")]));
    const digests = Object.entries(texts).map(([name, text]) =>
      files[name]?.includes(createHash("sha256").update(text).digest("hex")),
    );
    return digests.length > 0 && digests.every((same) => same === true) && formatComplete(texts) === complete;
  } catch {
    return false;
  }
}

/** The finished stores: what is being made has a name that begins with a dot. */
function storesOf(numbers: number[]): Record<string, Content> {
  const below = (path: string): string[] => {
    if (!existsSync(`${place}/${path}`) || !lstatSync(`${place}/${path}`).isDirectory()) return [];
    const names = readdirSync(`${place}/${path}`).filter((name) => !name.startsWith("."));
    return names.map((name) => `${path}/${name}`);
  };
  const stores = numbers
    .map(generationPlace)
    .flatMap((generation) => [
      ...below(`${generation}/${GENERATION.tree}`),
      ...below(`${generation}/${GENERATION.overlays}`).flatMap(below),
    ]);
  return Object.fromEntries([...stores, ...below(LAYOUT.shared)].map((path) => [path, treeContent(kernel, `${place}/${path}`)]));
}

const job: CrashJob = JSON.parse(readFileSync(jobFile, "utf8"));
await eachPoint(job, scratch, (disk) => console.log(JSON.stringify(factsOf(job, disk))));
must("umount", "--lazy", scratch);
