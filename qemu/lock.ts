import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { dirname } from "node:path";

/** A lock that is held until `release` is called or this process ends, however it ends. */
export interface Lock {
  release(): void;
}

/**
 * flock(1) in a child holds the lock: its input is a pipe from us, so that the kernel lets go of the lock when we die.
 * A file with a process number in it would survive a SIGKILL.
 */
function flock(path: string): { child: ChildProcess; locked: Promise<boolean> } {
  mkdirSync(dirname(path), { recursive: true });
  const words = ["--no-fork", path, "sh", "-c", "echo locked; exec cat >/dev/null"];
  const child = spawn("flock", words, { stdio: ["pipe", "pipe", "inherit"] });
  child.stdin?.on("error", () => {});
  const locked = new Promise<boolean>((resolve, reject) => {
    child.stdout?.once("data", () => resolve(true));
    child.once("close", () => resolve(false));
    child.once("error", (error) => reject(new Error(`flock cannot be started: ${error.message}`)));
  });
  return { child, locked };
}

function release(child: ChildProcess): void {
  child.removeAllListeners("close");
  child.kill("SIGKILL");
}

/** Waits for the exclusive lock on `path`, which is created when missing. */
export async function lock(path: string): Promise<Lock> {
  const { child, locked } = flock(path);
  if (!(await locked)) throw new Error(`no lock on ${path}: flock ended`);
  return { release: () => release(child) };
}

/** Locks the first of `paths` that can be locked, and says which; waits until there is one. */
export async function lockOneOf(paths: string[]): Promise<{ path: string; lock: Lock }> {
  const tries = paths.map((path) => ({ path, ...flock(path) }));
  const first = await Promise.race(
    tries.map(async (entry) => {
      if (!(await entry.locked)) throw new Error(`no lock on any of ${paths.join(", ")}: flock ended`);
      return entry;
    }),
  );
  for (const other of tries) if (other !== first) release(other.child);
  return { path: first.path, lock: { release: () => release(first.child) } };
}

/** Runs `work` while the lock on `path` is held. */
export async function withLock<Result>(path: string, work: () => Promise<Result>): Promise<Result> {
  const held = await lock(path);
  try {
    return await work();
  } finally {
    held.release();
  }
}

/**
 * Returns `path` and makes it first where it does not exist: `make` fills a fresh directory, and the entry `result` of it
 * (by default the directory itself) is renamed to `path`. So there is never a half-made `path`, and two that ask at the
 * same time make it once.
 */
export async function makeOnce(path: string, make: (aside: string) => Promise<void>, result = ""): Promise<string> {
  if (existsSync(path)) return path;
  return withLock(`${path}.lock`, async () => {
    if (existsSync(path)) return path;
    const aside = mkdtempSync(`${path}.making-`);
    try {
      await make(aside);
      renameSync(result === "" ? aside : `${aside}/${result}`, path);
    } finally {
      rmSync(aside, { recursive: true, force: true });
    }
    return path;
  });
}
