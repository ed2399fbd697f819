import type { DataFilesystem } from "../../state-ops/control.ts";
import { CHECKERS, type CheckVerdict, missingChecker } from "../../state-ops/data-check.ts";
import { O, SIGNAL } from "../kernel/constants.ts";
import { exists, makeDirectories } from "../kernel/files.ts";
import { type Descriptor, type EndedChild, KernelError } from "../kernel/kernel.ts";
import type { Launch } from "./launch.ts";

/** A checker that takes longer is killed, milliseconds: a large filesystem takes minutes, one that never ends must not hold the machine. */
const LONGEST = 15 * 60_000;

/** Waited for the end of one that was killed, milliseconds: a disk that does not answer keeps even a killed program. */
const LONGEST_END = 30_000;

/** Somebody at the console sees that it still runs, milliseconds. */
const TELL_EVERY = 30_000;

/** What the checker writes, for the system to read; at most this much of it goes into the log. */
const CHECK_LOG = {
  directory: "/run/slipway",
  path: "/run/slipway/data-check.log",
  lines: 60,
  bytes: 256 * 1024,
} as const;

const environment = { PATH: "/usr/sbin:/usr/bin", HOME: "/", LC_ALL: "C" };

/** What came of asking the data filesystem's own checker: its verdict, or that the initrd has none. */
export interface CheckOutcome {
  result: CheckVerdict["result"] | "absent";
  /** "e2fsck: it put right what it found" */
  text: string;
}

/**
 * Lets the filesystem's own checker repair what it can unattended on `device`, which is not mounted, with the watchdog fed. What
 * it says goes into the log and to {@link CHECK_LOG}. Throws nothing of its own.
 */
export async function checkData(launch: Launch, filesystem: DataFilesystem, device: string, why: string): Promise<CheckOutcome> {
  const checker = CHECKERS[filesystem];
  const program = checker.programs.find((path) => exists(launch.kernel, path));
  if (program === undefined) return { result: "absent", text: missingChecker(checker) };
  launch.log.notice(`${checker.name} looks at ${device}: ${why}`);
  try {
    const verdict = await withLog(launch, async (output) => {
      const ended = await runBounded(launch, program, [checker.name, ...checker.words(device)], output);
      logOutput(launch, checker.name, output);
      return ended === null ? tooLong : checker.judge(ended);
    });
    return { result: verdict.result, text: `${checker.name}: ${verdict.text}` };
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    return { result: "left", text: `${checker.name} cannot be run: ${error.message}` };
  }
}

const tooLong: CheckVerdict = { result: "left", text: `it was killed, since it ran for more than ${LONGEST / 60_000} minutes` };

async function withLog<Result>(launch: Launch, use: (output: Descriptor) => Promise<Result>): Promise<Result> {
  const { kernel } = launch;
  makeDirectories(kernel, CHECK_LOG.directory);
  const output = kernel.open(CHECK_LOG.path, O.RDWR | O.CREAT | O.TRUNC | O.APPEND, { mode: 0o600 });
  try {
    return await use(output);
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

function logOutput(launch: Launch, name: string, output: Descriptor): void {
  const text = new TextDecoder().decode(launch.kernel.read(output, CHECK_LOG.bytes, 0n));
  const lines = text.split(/[\r\n]+/).filter((line) => line.trim() !== "");
  for (const line of lines.slice(0, CHECK_LOG.lines)) launch.log.notice(`${name}: ${line}`);
  if (lines.length > CHECK_LOG.lines) {
    launch.log.notice(`${name}: and ${lines.length - CHECK_LOG.lines} more lines, in ${CHECK_LOG.path}`);
  }
}
