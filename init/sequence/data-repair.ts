import type { DataFilesystem } from "../../state-ops/control.ts";
import { CHECKERS, type CheckVerdict, missingChecker } from "../../state-ops/data-check.ts";
import { exists } from "../kernel/files.ts";
import { KernelError } from "../kernel/kernel.ts";
import { LONGEST_MINUTES, runFilesystemProgram } from "./filesystem-program.ts";
import type { Launch } from "./launch.ts";

/** What the checker writes, for the system to read. */
const CHECK_LOG = "/run/slipway/data-check.log";

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
  launch.recordOnData?.letGo();
  try {
    const ended = await runFilesystemProgram(launch, program, [checker.name, ...checker.words(device)], CHECK_LOG);
    const verdict = ended === null ? tooLong : checker.judge(ended);
    return { result: verdict.result, text: `${checker.name}: ${verdict.text}` };
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    return { result: "left", text: `${checker.name} cannot be run: ${error.message}` };
  } finally {
    launch.recordOnData?.takeUp();
  }
}

const tooLong: CheckVerdict = { result: "left", text: `it was killed, since it ran for more than ${LONGEST_MINUTES} minutes` };
