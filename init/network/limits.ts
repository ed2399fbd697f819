import { RETRY, type RetryPolicy } from "../../boot/network/retry.ts";

/** Bounds of everything that a server could make us wait for, and where time and chance come from. Times are milliseconds. */
export interface Limits {
  /** Requests at a time, each on a connection of its own. */
  connections: number;
  /** For a connection, its TLS handshake included. */
  connectMs: number;
  /** From a request to the end of its answer's head. */
  headMs: number;
  /** For the next byte of a body. */
  stallMs: number;
  /** A connection that brought less than `paceBytes` in `paceMs` of waiting is too slow to be waited for. */
  paceMs: number;
  paceBytes: number;
  retry: RetryPolicy;
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  random(): number;
  unixMs(): number;
}

export const LIMITS: Limits = {
  connections: 4,
  connectMs: 20_000,
  headMs: 60_000,
  stallMs: 30_000,
  paceMs: 60_000,
  paceBytes: 16 * 1024,
  retry: RETRY,
  sleep,
  random: Math.random,
  unixMs: Date.now,
};

/** Resolves after `ms`, or at once when `signal` aborts. */
function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end);
  });
}
