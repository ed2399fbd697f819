/** Boots whose writes are recorded, disks rebuilt from the records, and the check of what is on them. */
import { execFileSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { applyEntries, applyLater, type CrashPoint } from "../../../qemu/crash-points.ts";
import type { MachineDisk } from "../../../qemu/disks.ts";
import { project } from "../../../qemu/places.ts";
import { runProgram } from "../../../qemu/program.ts";
import { type LogEntry, readWriteLog } from "../../../qemu/write-log.ts";
import type { CrashFacts, CrashJob } from "./crash-job.ts";
import type { RebuildJob } from "./rebuild-disk.ts";
import { type SmallMachine, startSmall, type Told, toEnd } from "./small-machine.ts";

/** A directory that is gone when `remove` is called or the tests end. */
export const scratch = mkdtempSync(`${tmpdir()}/slipway-crash-`);

export function removeScratch(): void {
  rmSync(scratch, { recursive: true, force: true });
}

/** A boot, and what it wrote. */
export interface Recording {
  /** The disk as it was before. */
  before: string;
  /** The disk as it was afterwards. */
  after: string;
  log: string;
  entries: LogEntry[];
  told: Told;
}

let recordings = 0;

function copy(file: string, name: string): string {
  execFileSync("cp", ["--reflink=auto", "--sparse=always", file, `${scratch}/${name}`]);
  return `${scratch}/${name}`;
}

/** Boots `machine` to its orderly end, `others` as further disks, and records each write and flush of its own. */
export async function recordBoot(machine: SmallMachine, others: MachineDisk[] = []): Promise<Recording> {
  recordings += 1;
  const log = `${scratch}/${recordings}.log`;
  writeFileSync(log, "");
  const before = copy(machine.disk, `${recordings}.before`);
  const told = await toEnd(await startSmall(machine, { disks: [{ file: machine.disk, blklogwrites: log }, ...others] }));
  const after = copy(machine.disk, `${recordings}.after`);
  return { before, after, log, entries: readWriteLog(readFileSync(log)), told };
}

/** A disk of its own with the state of `point`. */
export function diskAt({ before, log, entries }: Recording, point: CrashPoint, name: string): string {
  const disk = copy(before, name);
  const bytes = readFileSync(log);
  const fd = openSync(disk, "r+");
  try {
    const onto = {
      write: (offset: number, data: Uint8Array) => void writeSync(fd, data, 0, data.length, offset),
      discard: (offset: number, length: number) => void writeSync(fd, Buffer.alloc(length), 0, length, offset),
    };
    applyEntries(onto, bytes, entries, 0, point.durable);
    applyLater(onto, bytes, entries, point);
  } finally {
    closeSync(fd);
  }
  return disk;
}

/** What is on the disk at each point of the job, in their order. */
export function factsAt(job: CrashJob): Promise<CrashFacts[]> {
  return checkEach("crash-check.ts", job);
}

/** What the program `check` of this directory says of each point: it writes a line of JSON for each. It has mounts of its own. */
export async function checkEach<Job extends RebuildJob, Facts>(check: string, job: Job): Promise<Facts[]> {
  const directory = mkdtempSync(`${scratch}/check-`);
  writeFileSync(`${directory}/job`, JSON.stringify(job));
  const program = [`${project}/node_modules/.bin/bun`, `${import.meta.dirname}/${check}`, `${directory}/job`];
  const output = await runProgram("unshare", ["--mount", "--propagation", "private", "--", ...program]);
  return output
    .trim()
    .split("\n")
    .map((line): Facts => JSON.parse(line));
}
