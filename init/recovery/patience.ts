import type { Launch } from "../sequence/launch.ts";

/** Time between two looks at a step that is waited for, milliseconds. */
const LOOK_EVERY = 500;

/** How long a step that was given up may take to let go of what it holds, milliseconds. */
const LET_GO = 30_000;

/** Nothing moved for as long as anybody waits. */
export class GivenUp extends Error {
  override readonly name = "GivenUp";
}

/** A step that was given up does not end: what it holds it may still write to, so that nothing else may. */
export class Stuck extends Error {
  override readonly name = "Stuck";
}

/** What the work is told with. */
export interface Watched {
  signal: AbortSignal;
  advanced(): void;
}

/**
 * Does `work` for as long as it gets on. The watchdog is fed meanwhile, however long the work waits; once nothing moved for
 * `seconds` the work's signal is aborted, and what becomes of it is a {@link GivenUp}.
 *
 * @throws what the work throws, GivenUp, or Stuck where it does not end then either
 */
export async function whilePatient<Result>(
  boot: Launch,
  seconds: number,
  work: (watched: Watched) => Promise<Result>,
): Promise<Result> {
  const controller = new AbortController();
  const now = () => boot.kernel.now().bootMs;
  let moved = now();
  let givenUp: number | null = null;
  const advanced = () => {
    if (givenUp === null) moved = now();
    boot.chores();
  };
  let look: ReturnType<typeof setInterval> | undefined;
  const stuck = new Promise<never>((_, reject) => {
    const looked = () => {
      const at = now();
      boot.chores();
      if (givenUp === null && at - moved > seconds * 1000) {
        givenUp = at;
        controller.abort(new GivenUp(`nothing moved for ${seconds} s`));
      } else if (givenUp !== null && at - givenUp > LET_GO) {
        reject(new Stuck(`nothing moved for ${seconds} s, and it does not let go of what it holds`));
      }
    };
    look = setInterval(() => {
      try {
        looked();
      } catch (error) {
        reject(error);
      }
    }, LOOK_EVERY);
  });
  try {
    return await Promise.race([work({ signal: controller.signal, advanced }), stuck]);
  } catch (error) {
    if (controller.signal.aborted && !(error instanceof Stuck)) throw controller.signal.reason;
    throw error;
  } finally {
    clearInterval(look);
  }
}
