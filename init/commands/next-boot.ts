import type { BootRecord } from "../../boot/record/record.ts";
import { beginBoot } from "../../boot/selection/begin.ts";
import type { Policy } from "../../boot/selection/policy.ts";
import { endCleanly } from "../../boot/selection/running.ts";
import { type Selection, selectSlot } from "../../boot/selection/select.ts";

/** What PID 1 would choose after an orderly reboot, with the record as it is. */
export function nextBoot(record: BootRecord, policy: Policy, recordWritable: boolean): Selection {
  const ended = endCleanly(record, policy, { credit: true, unixMs: record.lastKnownUnixMs });
  return selectSlot(beginBoot(ended, policy).record, { preferred: null, failed: new Map(), recordWritable }, policy);
}
