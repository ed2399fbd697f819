import { LIMITS, type Limits } from "../network/limits.ts";

/** Of the time that a step may take without progress, as much as one source of it may: what comes next must have its turn. */
const SHARE = 1 / 2;

/** Attempts without progress, from the first answer on and before any. */
const ATTEMPTS = 5;
const FIRST_ATTEMPTS = 3;

/** Longest that one source without progress takes by {@link LIMITS}' own times, milliseconds: heads that never come, and the pauses. */
const LONGEST = ATTEMPTS * LIMITS.headMs + (ATTEMPTS - 1) * LIMITS.retry.longestMs;

/**
 * How long a mirror is waited for in a recovery, where nothing moves for `patience` seconds before the step is given up: so short that
 * a mirror that takes every request and answers none does not keep the others from being asked.
 */
export function mirrorLimits(patience: number): Limits {
  const most = patience * 1000 * SHARE;
  const factor = Math.min(1, most / LONGEST);
  const cut = (ms: number) => Math.floor(ms * factor);
  const { retry } = LIMITS;
  return {
    ...LIMITS,
    connectMs: cut(LIMITS.connectMs),
    headMs: cut(LIMITS.headMs),
    stallMs: cut(LIMITS.stallMs),
    retry: {
      ...retry,
      attempts: ATTEMPTS,
      firstAttempts: FIRST_ATTEMPTS,
      shortestMs: Math.min(retry.shortestMs, cut(retry.longestMs)),
      longestMs: cut(retry.longestMs),
      longestAskedMs: Math.min(retry.longestAskedMs, most / ATTEMPTS),
    },
  };
}
