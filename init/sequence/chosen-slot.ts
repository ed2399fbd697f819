import type { KexecStart, SlotName } from "../../boot/record/record.ts";
import type { Skipped } from "../../boot/selection/skipped.ts";

/** The slot that is tried next. */
export interface ChosenSlot {
  slot: SlotName;
  /** One sentence. */
  why: string;
  /** Slots that rank before it and why each is no candidate. */
  skipped: Skipped[];
  /** A step of a recovery left it ready. */
  isRecovered: boolean;
  /** In a second stage: how the last try of its image ended, which the record does not tell any more. */
  previousEnd?: KexecStart["previousEnd"];
}
