/** A disk as it was at each of several crash points, one after the other: each is made of the one at the flush before it. */
import { execFileSync } from "node:child_process";
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { applyEntries, applyLater, type CrashPoint, type RebuiltDisk } from "../../../qemu/crash-points.ts";
import { readWriteLog } from "../../../qemu/write-log.ts";

/** An image of a disk, and the log of what was written to it. */
export interface RebuildJob {
  /** As it was before. */
  disk: string;
  /** Null: the disk is looked at as it is, and `points` has one that nothing is done for. */
  log: string | null;
  /** In the order of their `durable`. */
  points: CrashPoint[];
}

/** Calls `look` with a disk of its own for each point, which it may write to. All are made in the directory `scratch`. */
export async function eachPoint(
  { disk, log: logFile, points }: RebuildJob,
  scratch: string,
  look: (disk: string) => void | Promise<void>,
): Promise<void> {
  const log = logFile === null ? new Uint8Array() : new Uint8Array(readFileSync(logFile));
  const entries = logFile === null ? [] : readWriteLog(log);
  const current = `${scratch}/current`;
  const copy = `${scratch}/point`;
  copyDisk(disk, current);
  let done = 0;
  for (const point of points) {
    changeDisk(current, (onto) => applyEntries(onto, log, entries, done, point.durable));
    done = point.durable;
    copyDisk(current, copy);
    changeDisk(copy, (onto) => applyLater(onto, log, entries, point));
    await look(copy);
  }
}

function copyDisk(from: string, to: string): void {
  execFileSync("cp", ["--sparse=always", from, to]);
}

function changeDisk(file: string, work: (disk: RebuiltDisk) => void): void {
  const fd = openSync(file, "r+");
  try {
    work({
      write: (offset, bytes) => void writeSync(fd, bytes, 0, bytes.length, offset),
      discard: (offset, length) => {
        const piece = Buffer.alloc(1024 * 1024);
        for (let at = 0; at < length; at += piece.length) {
          const size = Math.min(piece.length, length - at);
          writeSync(fd, piece, 0, size, offset + at);
        }
      },
    });
  } finally {
    closeSync(fd);
  }
}
