import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { BadInput } from "../../../state-ops/outcome.ts";

/** Writes the file aside, syncs it, and renames it: whatever happens, `file` is the old or the new. */
export function writeFileWhole(file: string, text: string): void {
  const directory = dirname(file);
  const aside = join(directory, `.${basename(file)}.${process.pid}`);
  try {
    const fd = openSync(aside, "w", 0o644);
    try {
      const bytes = Buffer.from(text);
      for (let done = 0; done < bytes.length; ) {
        done += writeSync(fd, bytes, done);
      }
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(aside, file);
    const parent = openSync(directory, "r");
    try {
      fsyncSync(parent);
    } finally {
      closeSync(parent);
    }
  } catch (error) {
    rmSync(aside, { force: true });
    throw new BadInput(`cannot write ${file}: ${error instanceof Error ? error.message : error}`);
  }
}
