/** What a running system asks of the next boot's recovery. */
import type { Rung } from "../../state-ops/recovery.ts";
import type { BootRecord } from "../record/record.ts";
import { recoveryOf } from "./known.ts";

/** The record in which the next boot begins a recovery: at `rung` alone, or with the whole ladder. What was tried before counts no more. */
export function askFor(record: BootRecord, rung: Rung | "ladder"): BootRecord {
  const { asked, current, obeyed } = recoveryOf(record);
  if (asked === rung) return record;
  return { ...record, recovery: { asked: rung, tried: [], current, ...(obeyed === undefined ? {} : { obeyed }) } };
}

/** The record without what was asked for and has not begun. */
export function takeBack(record: BootRecord): BootRecord {
  const { recovery, ...rest } = record;
  if (recovery === undefined || recovery.asked === null) return record;
  const left = { ...recovery, asked: null };
  const isOver = left.tried.length === 0 && left.current === null && left.obeyed === undefined;
  return isOver ? rest : { ...rest, recovery: left };
}
