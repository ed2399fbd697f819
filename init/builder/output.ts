import {
  closeSync,
  fsyncSync,
  mkdtempSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  writeSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import { BadInput } from "../../state-ops/outcome.ts";
import { reasonOf } from "./input.ts";
import { stopHostPrograms } from "./program.ts";

/**
 * The path to write to: of a file that exists (behind links, so that a link stays one), or of a new one in a directory
 * that exists.
 *
 * @throws BadInput, also for a device: it would be replaced by a file of its name
 */
export function checkOutput(output: string): string {
  const status = statOrNull(output);
  if (status?.isBlockDevice()) {
    throw new BadInput(
      `--output ${output} is a device; write a file and copy it there: dd if=FILE of=${output} bs=4M conv=fsync`,
    );
  }
  if (status !== null && !status.isFile()) throw new BadInput(`--output ${output} is no regular file; name a file`);
  const path = status === null ? resolve(output) : realpathSync(output);
  if (!statOrNull(dirname(path))?.isDirectory()) {
    throw new BadInput(`--output ${output}: ${dirname(path)} is no directory; make it first`);
  }
  return path;
}

/**
 * Has `write` make a file in a scratch directory beside `output`, and renames it to there once it is whole and synced. Whatever
 * happens, `output` is the old or the new, and nothing else is left.
 *
 * @param output from {@link checkOutput}
 * @returns what `write` does
 * @throws Error that names `output` where it cannot be written
 */
export async function replaceFile<Result>(
  output: string,
  write: (file: string, scratch: string) => Promise<Result> | Result,
): Promise<Result> {
  return named(output, () =>
    withScratch(dirname(output), async (scratch) => {
      const file = join(scratch, "output");
      const result = await write(file, scratch);
      sync(file);
      renameSync(file, output);
      sync(dirname(output));
      return result;
    }),
  );
}

/** Writes the pieces one after the other into a new file. */
export function writePieces(file: string, pieces: Uint8Array[]): void {
  const fd = openSync(file, "wx");
  try {
    for (const piece of pieces) for (let at = 0; at < piece.length; ) at += writeSync(fd, piece, at);
  } finally {
    closeSync(fd);
  }
}

const fatalSignals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Runs `work` with a new directory in `parent`, which is removed afterwards, also when a signal ends us. */
export async function withScratch<Result>(parent: string, work: (scratch: string) => Promise<Result>): Promise<Result> {
  const scratch = mkdtempSync(join(parent, ".slipway-"));
  const remove = (): void => rmSync(scratch, { recursive: true, force: true });
  const end = (signal: NodeJS.Signals): void => {
    stopHostPrograms();
    remove();
    for (const name of fatalSignals) process.removeListener(name, end);
    process.kill(process.pid, signal);
  };
  for (const name of fatalSignals) process.on(name, end);
  try {
    return await work(scratch);
  } finally {
    for (const name of fatalSignals) process.removeListener(name, end);
    remove();
  }
}

async function named<Result>(output: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof BadInput ? error : new Error(`cannot write ${output}: ${reasonOf(error)}`);
  }
}

function sync(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function statOrNull(path: string): Stats | null {
  try {
    return statSync(path);
  } catch {
    return null;
  }
}
