/** When to ask again after a failure, and when to give up. Times are milliseconds. */

export interface RetryPolicy {
  /** Attempts without progress before giving up; the count begins anew with each progress. */
  attempts: number;
  /** The same while a server has never answered: a wrong address shall not take minutes to be told. */
  firstAttempts: number;
  /** Pause after the first failure; it doubles with each further one, up to `longestMs`. */
  shortestMs: number;
  longestMs: number;
  /** No Retry-After is honoured for longer. */
  longestAskedMs: number;
}

export const RETRY: RetryPolicy = {
  attempts: 9,
  firstAttempts: 4,
  shortestMs: 500,
  longestMs: 30_000,
  longestAskedMs: 120_000,
};

/**
 * The pause before the next attempt after `failures` failures in a row (1 and up), or null to give up.
 *
 * @param asked what the server's Retry-After says; null without one
 * @param random from 0 to 1: machines that failed together shall not come back together
 */
export function pauseBeforeRetry(
  policy: RetryPolicy,
  failures: number,
  everAnswered: boolean,
  asked: number | null,
  random: number,
): number | null {
  if (failures >= (everAnswered ? policy.attempts : policy.firstAttempts)) return null;
  const full = Math.min(policy.longestMs, policy.shortestMs * 2 ** Math.min(failures - 1, 30));
  const jittered = full * (0.5 + random / 2);
  return asked === null ? jittered : Math.max(jittered, Math.min(asked, policy.longestAskedMs) * (1 + random / 10));
}

/** How long a Retry-After asks to wait (RFC 9110 10.2.3: seconds or a date); null where it is not sound. */
export function retryAfterMs(value: string | null, nowUnixMs: number): number | null {
  if (value === null) return null;
  if (/^[0-9]{1,10}$/.test(value)) return Number(value) * 1000;
  // an HTTP date always begins with a weekday; Date.parse alone would take "2" or "-1" for a year
  const at = /^[A-Z][a-z]{2,8},? /.test(value) ? Date.parse(value) : Number.NaN;
  return Number.isNaN(at) ? null : Math.max(0, at - nowUnixMs);
}
