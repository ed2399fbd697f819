/**
 * Power failures at every place: what a boot wrote is recorded, the disk rebuilt as it was at each flush and as a disk with
 * a cache of its own may leave it between two, and what is on it checked. SLIPWAY_SEED repeats a run's samples.
 */

import { rmSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type CrashPoint, describePoint, flushBoundaries, reorderings } from "../../qemu/crash-points.ts";
import { partition, startOf } from "../../qemu/disk-partitions.ts";
import { runProgram } from "../../qemu/program.ts";
import type { DataFilesystem } from "../../state-ops/control.ts";
import { randomNumbers } from "../samples/random.ts";
import { differenceOf } from "../samples/tree-content.ts";
import type { Content, CrashFacts, NextBoot } from "./support/crash-job.ts";
import { diskAt, factsAt, type Recording, recordBoot, removeScratch } from "./support/crash-replay.ts";
import { makeSubject, nextBoot, type Subject, tryB, useV1 } from "./support/crash-subject.ts";
import { faultsOf, stateOfSlot } from "./support/crash-verdict.ts";
import { commitOn } from "./support/record-on-disk.ts";
import { boot } from "./support/small-machine.ts";

const long = process.env.SLIPWAY_TIER === "long";
const filesystems: DataFilesystem[] = long ? ["ext4", "xfs", "btrfs"] : ["ext4"];
/** Of each recorded boot. */
const samples = long ? 250 : 25;
const boots = long ? 5 : 2;
const seed = Number(process.env.SLIPWAY_SEED ?? Date.now() % 1_000_000);
console.log(`seed ${seed}; SLIPWAY_SEED=${seed} tries the same points`);
const random = randomNumbers(seed);

/** No write of the boot touches another partition than these two. */
function assertOwnPartitions({ before, entries }: Recording): void {
  const own = ["boot-record", "sys-data"].map((label) => partition(before, label));
  for (const entry of entries) {
    if (entry.kind === "flush") continue;
    const [first, last] = [BigInt(entry.offset) / 512n, BigInt(entry.offset + entry.length - 1) / 512n];
    assert.ok(
      own.some(({ firstLba, lastLba }) => first >= firstLba && last <= lastLba),
      `a ${entry.kind} of ${entry.length} bytes at ${entry.offset} lies outside of boot record and data`,
    );
  }
}

/** Bytes of the superblock that is written in place, with one checksum over several sectors; that of xfs is one sector. */
const superblocks = { ext4: { offset: 1024, length: 1024 }, xfs: null, btrfs: { offset: 65536, length: 4096 } };

/** A disk that tears the write of a superblock leaves one for the filesystem's checker, whoever wrote it and when. */
function tearsSuperblock({ filesystem }: Subject, { before, entries }: Recording, { later, torn }: CrashPoint): boolean {
  const entry = entries[later.at(-1) ?? -1];
  const superblock = superblocks[filesystem];
  if (torn === null || superblock === null || entry?.kind !== "write") return false;
  const first = (startOf(before, "sys-data") + superblock.offset - entry.offset) / 512;
  const written = torn.filter((sector) => sector >= first && sector < first + superblock.length / 512);
  return written.length > 0 && written.length < superblock.length / 512;
}

interface Tried {
  facts: { point: CrashPoint; facts: CrashFacts }[];
  before: CrashFacts;
  after: CrashFacts;
}

/** Checks the disk of `recording` at every flush and at samples between, and says how many points were tried. */
async function replay(subject: Subject, recording: Recording, next: NextBoot[]): Promise<Tried> {
  const { entries, before: disk, log } = recording;
  const flushes = flushBoundaries(entries);
  const between = reorderings(entries, samples, random);
  const points = [...flushes, ...between].sort((left, right) => left.durable - right.durable);
  const job = { disk, log, filesystem: subject.filesystem, points, slots: ["a", "b"], next };
  const [before] = await factsAt({ ...job, log: null, points: [{ durable: 0, later: [], torn: null }] });
  const found = await factsAt(job);
  assert.is(found.length, points.length, "every point was looked at");
  const after = found[points.findLastIndex((point) => point.durable === entries.length || point === flushes.at(-1))];
  if (before === undefined || after === undefined) throw new Error("the check told nothing");
  const faults = found.flatMap((facts, index) => {
    const point = points[index];
    return faultsOf(facts, before, after).map((fault) => `${point ? describePoint(point, entries) : ""}: ${fault}`);
  });
  const count = (kind: "flush" | "write" | "discard") => entries.filter((entry) => entry.kind === kind).length;
  const repaired = points.filter((_, index) => found[index]?.repaired !== null);
  console.log(
    `${subject.filesystem}: ${points.length} points tried (${flushes.length} flushes, ${between.length} reorderings, ` +
      `${between.filter((point) => point.torn !== null).length} of them torn) of ${count("write")} writes, ` +
      `${count("flush")} flushes, ${count("discard")} discards; ${repaired.length} needed fsck; ${faults.length} faults`,
  );
  const unexpected = repaired.filter((point) => !tearsSuperblock(subject, recording, point));
  assert.equal(
    unexpected.map((point) => describePoint(point, entries)),
    [],
    "a journal's replay is all that a filesystem needs whose superblock is whole",
  );
  assert.equal(faults.slice(0, 5), [], `${faults.length} faults; SLIPWAY_SEED=${seed}`);
  return { facts: found.flatMap((facts, index) => (points[index] ? [{ point: points[index], facts }] : [])), before, after };
}

/** Points to boot from, around the change of the slot's pointer: by turns with the old and with the new one. */
function chosen(tried: Tried, slot: string, count: number): Tried["facts"] {
  const isNew = (facts: CrashFacts) => facts.pointers[slot] === tried.after.pointers[slot];
  const usable = tried.facts.filter(({ facts }) => facts.repaired === null); // this initrd has no checker
  const old = usable.filter(({ facts }) => !isNew(facts));
  const lately = old.slice(old.length >> 1);
  const made = usable.filter(({ facts }) => isNew(facts));
  const soon = made.slice(0, (made.length + 1) >> 1);
  return Array.from({ length: count }, (_, index) => {
    const from = index % 2 === 0 ? lately : soon;
    return from[Math.floor(random() * from.length)];
  }).filter((point) => point !== undefined);
}

/** What this boot made itself has other times than what the recorded one made. */
function withoutTimes(content: Content): Content {
  return Object.fromEntries(Object.entries(content).map(([path, text]) => [path, text.replace(/^(\d+ \d+:\d+) \d+/, "$1")]));
}

/** Boots from a point, and checks the state of the slot that ran: it is what the recorded boot came to. */
async function bootFrom(subject: Subject, recording: Recording, tried: Tried, from: Tried["facts"][number], slot: "a" | "b") {
  const { point, facts } = from;
  const disk = diskAt(recording, point, "booted");
  const where = `${subject.filesystem}, ${describePoint(point, recording.entries)}`;
  const told = await boot({ ...subject.machine, disk });
  assert.is(told.report.slot, slot, where);
  assert.equal(told.report.degraded, [], where);
  const foretold = facts.plans.flatMap((plan) => (plan.slot === slot && plan.reason !== null ? [plan.reason] : []));
  assert.equal([...told.report.warnings].sort(), [...recording.told.report.warnings, ...foretold].sort(), where);
  const job = { disk, log: null, filesystem: subject.filesystem, slots: ["a", "b"], next: [] };
  const [now] = await factsAt({ ...job, points: [{ durable: 0, later: [], torn: null }] });
  if (now === undefined) throw new Error("the check told nothing");
  const [state, wanted] = [stateOfSlot(now, slot), stateOfSlot(tried.after, slot)];
  assert.equal(Object.keys(state).sort(), Object.keys(wanted).sort(), where);
  for (const [store, content] of Object.entries(state))
    assert.is(differenceOf(withoutTimes(content), withoutTimes(wanted[store] ?? {})), null, `${where}: ${store}`);
  rmSync(disk);
}

for (const filesystem of filesystems) {
  let subject: Subject;
  let first: Recording;
  let update: Recording;
  const tried: Record<string, Tried> = {};

  test(`${filesystem}: a first boot and a trial's first try are recorded, flushes too`, async () => {
    subject = await makeSubject(filesystem);
    const { disk } = subject.machine;
    first = await recordBoot(subject.machine);
    assert.is(first.told.root, "v1");
    assert.is(first.told.report.generation, "000001");
    await useV1(disk, filesystem);
    commitOn(disk, "a");
    tryB(disk);
    update = await recordBoot(subject.machine);
    assert.is(update.told.root, "v2");
    assert.is(update.told.report.generation, "000002");
    assert.match(update.told.report.stateNotes.join("; "), /state was merged: .*\/etc\/app\.conf/);
    for (const recording of [first, update]) {
      assert.equal(recording.told.report.degraded, []);
      assert.ok(flushBoundaries(recording.entries).length >= 10, "the guest's flushes are in the log");
      assertOwnPartitions(recording);
      const rebuilt = diskAt(recording, { durable: recording.entries.length, later: [], torn: null }, "rebuilt");
      await runProgram("cmp", [rebuilt, recording.after]); // nothing was written that is not in the log
      rmSync(rebuilt);
    }
  });

  test(`${filesystem}: a first boot leaves no state or all of it`, async () => {
    tried.a = await replay(subject, first, [{ ...nextBoot(subject, "a"), committed: null, trial: true }]);
  });

  test(`${filesystem}: a trial's first try leaves the old state whole, and the new one whole or not at all`, async () => {
    tried.b = await replay(subject, update, [nextBoot(subject, "a"), nextBoot(subject, "b")]);
  });

  for (const [slot, recording] of [
    ["a", () => first],
    ["b", () => update],
  ] as const) {
    for (let number = 0; number < boots; number++) {
      test(`${filesystem}: the machine boots slot ${slot} from a sampled point, ${number + 1} of ${boots}`, async () => {
        const all = tried[slot];
        const point = all ? chosen(all, slot, boots)[number] : undefined;
        if (all === undefined || point === undefined) throw new Error("no point was tried");
        console.log(`${filesystem}: boots ${describePoint(point.point, recording().entries)}`);
        await bootFrom(subject, recording(), all, point, slot);
      });
    }
  }
}

test.after(removeScratch);
test.run();
