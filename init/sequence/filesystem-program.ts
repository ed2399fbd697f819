import { O, SIGNAL } from "../kernel/constants.ts";
import { makeDirectories } from "../kernel/files.ts";
import type { Descriptor, EndedChild } from "../kernel/kernel.ts";
import type { Launch } from "./launch.ts";

/** A program that takes longer is killed: a large filesystem takes minutes, one that never ends must not hold the machine. */
export const LONGEST_MINUTES = 15;
const LONGEST = LONGEST_MINUTES * 60_000;

/** Waited for the end of one that was killed, milliseconds: a disk that does not answer keeps even a killed program. */
const LONGEST_END = 30_000;

/** Somebody at the console sees that it still runs, milliseconds. */
const TELL_EVERY = 30_000;

/** At most this much of what it writes goes into the log. */
const LOGGED = { lines: 60, bytes: 256 * 1024 } as const;

const environment = { PATH: "/usr/sbin:/usr/bin", HOME: "/", LC_ALL: "C" };

/**
 * Runs a program that checks or makes a filesystem, with the watchdog fed. What it writes goes into the log and to `logPath`, for
 * the system to read.
 *
 * @param words with the program's name first
 * @returns null where it had to be killed. Throws KernelError where it cannot be started
 */
export async function runFilesystemProgram(
  launch: Launch,
  program: string,
  words: string[],
  logPath: string,
): Promise<EndedChild | null> {
  const { kernel } = launch;
  makeDirectories(kernel, logPath.slice(0, logPath.lastIndexOf("/")));
  const output = kernel.open(logPath, O.RDWR | O.CREAT | O.TRUNC | O.APPEND, { mode: 0o600 });
  try {
    const ended = await runBounded(launch, program, words, output);
    logOutput(launch, words[0] ?? program, output, logPath);
    return ended;
  } finally {
    kernel.close(output);
  }
}

class Unkillable extends Error {}

/** Null where it had to be killed. */
async function runBounded(launch: Launch, program: string, words: string[], output: Descriptor): Promise<EndedChild | null> {
  const started = launch.kernel.now().bootMs;
  let told = started;
  let killed = false;
  const watch = async (pid: number): Promise<void> => {
    await launch.pause(100);
    const now = launch.kernel.now().bootMs;
    if (now - started > LONGEST + LONGEST_END) throw new Unkillable();
    if (now - started > LONGEST && !killed) {
      killed = true;
      launch.kernel.kill(pid, SIGNAL.KILL);
    }
    if (now - told < TELL_EVERY) return;
    told = now;
    launch.log.notice(`${words[0]} has been running for ${Math.round((now - started) / 1000)} s`);
  };
  try {
    const ended = await launch.children.run(program, words, environment, output, watch);
    return killed ? null : ended;
  } catch (error) {
    if (error instanceof Unkillable) return null;
    throw error;
  }
}

function logOutput(launch: Launch, name: string, output: Descriptor, logPath: string): void {
  const text = new TextDecoder().decode(launch.kernel.read(output, LOGGED.bytes, 0n));
  const lines = text.split(/[\r\n]+/).filter((line) => line.trim() !== "");
  for (const line of lines.slice(0, LOGGED.lines)) launch.log.notice(`${name}: ${line}`);
  if (lines.length > LOGGED.lines) {
    launch.log.notice(`${name}: and ${lines.length - LOGGED.lines} more lines, in ${logPath}`);
  }
}
