/** The record of an attempt that PID 1 goes on with on the slot's own kernel. */
import type { BootRecord, KexecStart } from "../record/record.ts";
import { reachHandover } from "./attempt.ts";

/**
 * The record before the attempt under way starts the slot's own kernel: to be made durable first. From there on the attempt is in the
 * image's hands, as behind a handover.
 */
export function startKernel(record: BootRecord, start: KexecStart): BootRecord {
  const reached = reachHandover(record);
  return reached.attempt === null ? reached : { ...reached, attempt: { ...reached.attempt, kexec: start } };
}

/** The record once the second stage took the attempt up. Its nonce is worth nothing from then on. */
export function takeUp(record: BootRecord): BootRecord {
  if (record.attempt === null) return record;
  const { kexec: _, ...attempt } = record.attempt;
  return { ...record, attempt: { ...attempt, stage: "counted" } };
}
