import type { BootRecord } from "../record/record.ts";

/**
 * The record once its recovery is over: a system was good, or a slot was given another image. What somebody asked for and has not
 * begun stays asked for, and what `slipway.recover` was obeyed in stays known.
 */
export function recoveryOver(record: BootRecord): BootRecord {
  const { recovery, ...others } = record;
  if (recovery === undefined) return record;
  // From now on it is told which attempt was good: what a recovery made must not be taken for what was committed.
  const lastCommitted = record.lastCommitted === null ? null : { attempt: 0, ...record.lastCommitted };
  const rest = { ...others, lastCommitted };
  const { asked, obeyed } = recovery;
  if (asked === null && obeyed === undefined) return rest;
  return { ...rest, recovery: { asked, tried: [], current: null, ...(obeyed === undefined ? {} : { obeyed }) } };
}
