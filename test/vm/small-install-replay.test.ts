/**
 * Power failures at every place of an install and of a repair: what they wrote is recorded, the disk rebuilt as it was at each
 * flush and as a disk with a cache of its own may leave it between two, and what is in its slots checked. SLIPWAY_SEED repeats a
 * run's samples.
 */

import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type CrashPoint, describePoint, flushBoundaries, reorderings } from "../../qemu/crash-points.ts";
import { partition, startOf } from "../../qemu/disk-partitions.ts";
import type { LogEntry } from "../../qemu/write-log.ts";
import { randomNumbers } from "../samples/random.ts";
import { checkEach, diskAt, type Recording, recordBoot, removeScratch } from "./support/crash-replay.ts";
import type { InstallFacts, InstallJob } from "./support/install-job.ts";
import { commitBoth, type InstallSubject, makeInstallSubject, SPOILED, SPOILED_BLOCKS } from "./support/install-subject.ts";
import { validRecord } from "./support/record-on-disk.ts";
import { boot, part, type Told } from "./support/small-machine.ts";

const long = process.env.SLIPWAY_TIER === "long";
const samples = long ? 300 : 40;
const boots = long ? 6 : 1;
const seed = Number(process.env.SLIPWAY_SEED ?? Date.now() % 1_000_000);
console.log(`seed ${seed}; SLIPWAY_SEED=${seed} tries the same points`);
const random = randomNumbers(seed);

let subject: InstallSubject;
let recording: Recording;
/** Entries of the log up to which it is the install, and from which on it is the repair. */
let installEnds = 0;
let repairBegins = 0;
let whole: { point: CrashPoint; facts: InstallFacts }[] = [];

/** What the last line of a verb's --json says. */
function resultOf(told: Told, name: string): { changed: boolean; bytes: { source: number } } {
  const last = part(told, name).split("\n").at(-1) ?? "";
  const result = JSON.parse(last);
  assert.is(result.type, "result", part(told, name));
  return result;
}

/** Whether the entry writes what the script spoils blocks with. */
function spoils(entry: LogEntry, log: Buffer): boolean {
  return entry.kind === "write" && log.subarray(entry.dataAt, entry.dataAt + entry.length).includes(SPOILED);
}

test("an install and a repair of what was spoiled after it, recorded with their flushes", async () => {
  subject = await makeInstallSubject();
  commitBoth(subject);
  recording = await recordBoot(subject.machine, [{ file: subject.image, readOnly: true }]);
  const { told, entries } = recording;
  assert.is(told.root, "v1");
  assert.is(resultOf(told, "install").changed, true);
  assert.is(resultOf(told, "repair").changed, true);
  const log = readFileSync(recording.log);
  const spoiling = entries.flatMap((entry, index) => (spoils(entry, log) ? [index] : []));
  assert.ok(spoiling.length >= SPOILED_BLOCKS.length, `${spoiling.length} writes spoil the slot`);
  installEnds = (spoiling[0] ?? 0) - 1;
  repairBegins = (spoiling.at(-1) ?? 0) + 1;
  // The last flush before and the first one behind.
  while (installEnds > 0 && entries[installEnds]?.kind !== "flush") installEnds--;
  while (repairBegins < entries.length && entries[repairBegins]?.kind !== "flush") repairBegins++;
});

test("no write goes to the running slot, so that it is what it was whatever of them comes through", () => {
  const { before, entries } = recording;
  const { firstLba, lastLba } = partition(before, "root-a");
  const touched = entries.filter((entry) => {
    if (entry.kind === "flush") return false;
    const [first, last] = [BigInt(entry.offset) / 512n, BigInt(entry.offset + entry.length - 1) / 512n];
    return first <= lastLba && last >= firstLba;
  });
  assert.equal(touched, []);
});

/** Points of the entries from `from` up to `to`: every flush, and between two samples of what was written since the target was. */
function pointsBetween(from: number, to: number): CrashPoint[] {
  const { before, entries } = recording;
  const { firstLba, lastLba } = partition(before, "root-b");
  const begins = entries.findIndex((entry) => {
    return entry.kind !== "flush" && entry.offset >= Number(firstLba) * 512 && entry.offset <= Number(lastLba) * 512;
  });
  // The record that withdraws the target's image was written, and made durable, before.
  const first = Math.max(from, begins - 4);
  const flushes = flushBoundaries(entries).filter(({ durable }) => durable >= from && durable <= to);
  const between = reorderings(entries.slice(first, to), samples, random).map(({ durable, later, torn }) => {
    return { durable: durable + first, later: later.map((at) => at + first), torn };
  });
  return [...flushes, ...between].sort((left, right) => left.durable - right.durable);
}

async function factsAt(points: CrashPoint[]): Promise<{ point: CrashPoint; facts: InstallFacts }[]> {
  const { before: disk, log } = recording;
  const job: InstallJob = { disk, log, points, images: subject.images, wanted: "v2", key: subject.key };
  const facts = await checkEach<InstallJob, InstallFacts>("install-check.ts", job);
  assert.is(facts.length, points.length, "every point was looked at");
  return facts.flatMap((found, index) => (points[index] ? [{ point: points[index], facts: found }] : []));
}

/** What is wrong at any point, whatever was under way. */
function faultsOf({ record, next, target, again }: InstallFacts): string[] {
  const faults: string[] = [];
  if (record !== "valid") faults.push(`the boot record is ${record}`);
  if (next !== "a" && next !== "b") faults.push("no slot boots");
  if (next === "b" && target.seal !== "v2") faults.push(`slot b boots next, and its seal is ${target.seal} (${target.fault})`);
  if (again.target.seal !== "v2" || again.target.holds !== "v2" || again.target.damaged.length > 0)
    faults.push(`the install did not complete when it was run again: ${JSON.stringify(again.target)}`);
  return faults;
}

function report(name: string, found: { point: CrashPoint; facts: InstallFacts }[], faults: string[]): void {
  const { entries } = recording;
  const flushes = found.filter(({ point }) => point.later.length === 0).length;
  console.log(`${name}: ${found.length} points tried (${flushes} flushes) of ${entries.length} entries; ${faults.length} faults`);
  assert.equal(faults.slice(0, 5), [], `${faults.length} faults; SLIPWAY_SEED=${seed}`);
}

test("install: at every point the target is the old image, the new one, or nothing to boot, and the install is completed", async () => {
  const [start] = await factsAt([{ durable: 0, later: [], torn: null }]);
  if (start === undefined) throw new Error("the check told nothing");
  assert.equal([start.facts.target.seal, start.facts.target.holds, start.facts.next], ["v0", "v0", "a"]);
  whole = await factsAt(pointsBetween(0, installEnds));
  const seen = { old: 0, none: 0, new: 0 };
  const faults = whole.flatMap(({ point, facts }) => {
    const { target } = facts;
    const found = faultsOf(facts);
    const isWhole = target.damaged.length === 0 && target.holds !== null && (target.seal ?? target.holds) === target.holds;
    if ((target.seal !== null || target.filesystem !== null) && !isWhole)
      found.push(`somebody would boot what is not whole: ${JSON.stringify(target)}`);
    seen[target.seal === "v0" ? "old" : target.seal === "v2" ? "new" : "none"]++;
    return found.map((fault) => `${describePoint(point, recording.entries)}: ${fault}`);
  });
  report("install", whole, faults);
  console.log(`install: the target is the old image at ${seen.old} points, none at ${seen.none}, the new one at ${seen.new}`);
  assert.ok(seen.old > 0 && seen.none > 0 && seen.new > 0, JSON.stringify(seen));
  const end = whole.findLast(({ point }) => point.later.length === 0)?.facts;
  assert.equal([end?.next, end?.target.seal, end?.again.fetched], ["b", "v2", 0]);
});

test("install: the further it came, the less another run fetches", () => {
  const flushes = whole.filter(({ point, facts }) => point.later.length === 0 && facts.target.seal !== "v0");
  // Withdrawing takes blocks from the target that may be right: what is there at its last flush, when seal, magic number and the
  // rest of the superblocks are gone, is where it begins.
  const fetched = flushes.slice(2).map(({ facts }) => facts.again.fetched);
  assert.ok(fetched.length > 3, `${fetched.length} flushes`);
  const grown = fetched.filter((blocks, index) => index > 0 && blocks > (fetched[index - 1] ?? 0));
  assert.equal(grown, [], `blocks that another run fetches, flush by flush: ${fetched.join(" ")}`);
  assert.is(fetched.at(-1), 0);
});

test("repair: seal and footer stay, and at every point fewer or as many blocks are wrong, never others", async () => {
  const points = pointsBetween(repairBegins, recording.entries.length);
  const found = await factsAt(points);
  const [first] = found;
  if (first === undefined) throw new Error("nothing was recorded of the repair");
  const spoiled = SPOILED_BLOCKS.map((block) => `data ${block}`).sort();
  const faults = found.flatMap(({ point, facts }) => {
    const faults = faultsOf(facts);
    const { seal, damaged, fault } = facts.target;
    if (seal !== "v2") faults.push(`the seal is ${seal} (${fault})`);
    const others = damaged.filter((block) => !spoiled.includes(block));
    if (others.length > 0) faults.push(`blocks were damaged: ${others.join(", ")}`);
    return faults.map((text) => `${describePoint(point, recording.entries)}: ${text}`);
  });
  report("repair", found, faults);
  assert.equal([...first.facts.target.damaged].sort(), spoiled);
  const end = found.findLast(({ point }) => point.later.length === 0)?.facts.target;
  assert.equal(end?.damaged, []);
});

for (let number = 1; number <= boots; number++) {
  test(`the machine boots from a sampled point of the install and completes it, ${number} of ${boots}`, async () => {
    const usable = whole.filter(({ facts }) => facts.next === "a" && facts.target.seal === null);
    const from = usable[Math.floor(random() * usable.length)];
    if (from === undefined) throw new Error("no point is left");
    const where = describePoint(from.point, recording.entries);
    console.log(`boots ${where}`);
    const disk = diskAt(recording, from.point, "booted");
    const told = await boot({ ...subject.machine, disk }, { disks: [{ file: disk }, { file: subject.image, readOnly: true }] });
    assert.is(told.root, "v1", where);
    assert.is(told.report.slot, "a", where);
    assert.is(resultOf(told, "install").changed, true, where);
    assert.is(validRecord(disk).slots.b?.state, "trial", where);
    const copy = readFileSync(disk).subarray(startOf(disk, "root-b"));
    const image = readFileSync(subject.image);
    assert.ok(copy.subarray(0, image.length - 4096).equals(image.subarray(0, -4096)), where);
  });
}

test.after(removeScratch);
test.run();
