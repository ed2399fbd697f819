/** What the boot record knows of a recovery. */
import type { Rung } from "../../state-ops/recovery.ts";
import type { BootRecord } from "../record/record.ts";
import type { RecoveryRecord, TriedStep } from "./step.ts";

const NOTHING_RECOVERED: RecoveryRecord = { asked: null, tried: [], current: null };

/** What the record knows of a recovery; nothing where none is. */
export function recoveryOf(record: BootRecord): RecoveryRecord {
  return record.recovery ?? NOTHING_RECOVERED;
}

export function isSameStep(left: TriedStep | null, right: TriedStep | null): boolean {
  if (left === null || right === null) return left === right;
  return left.rung === right.rung && left.slot === right.slot && left.imageId === right.imageId;
}

/** Rungs whose step is one durable write: nothing can come in between. */
export function isOneTry(rung: Rung): rung is "previous-generation" | "safe-mode" {
  return rung === "previous-generation" || rung === "safe-mode";
}

/** The step that was begun, and that a power cut or a restart came into; null where none is. */
export function interruptedStep(record: BootRecord): TriedStep | null {
  const { tried, current } = recoveryOf(record);
  const last = tried.at(-1) ?? null;
  return last === null || isOneTry(last.rung) || isSameStep(last, current) ? null : last;
}
