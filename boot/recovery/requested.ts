import type { Rung } from "../../state-ops/recovery.ts";
import type { BootRecord } from "../record/record.ts";
import { interruptedStep, recoveryOf } from "./known.ts";
import type { RecoveryRecord } from "./step.ts";

/** Why a recovery begins though slots may boot. */
export interface RecoveryRequest {
  /** Null: nobody asks, but the power failed while a step was carried out, which goes on. */
  asked: Rung | "ladder" | null;
  /** "slipway.recover", "/dev/vda1: recover", "slipway recover"; null where nobody asks. */
  who: string | null;
  /** What of the command line is obeyed by that; undefined: what was obeyed before stays known. */
  obeyed: RecoveryRecord["obeyed"];
}

/**
 * Who wants a recovery before any slot is tried: the command line, whose `word` is what the ladder allows of it; the record; or a
 * step that was cut off. A word is obeyed once: as long as it stays on the command line, later boots go on with what came of it.
 */
export function requestedRecovery(
  record: BootRecord,
  word: Rung | "ladder" | null,
  ladder: readonly Rung[],
): RecoveryRequest | null {
  const { asked, obeyed } = recoveryOf(record);
  if (word !== null && word !== obeyed) return { asked: word, who: "slipway.recover", obeyed: word };
  if (asked !== null && isAllowed(asked, ladder)) return { asked, who: "slipway recover", obeyed };
  const goesOn = asked === null && interruptedStep(record) !== null && ladder.length > 0;
  return goesOn ? { asked: null, who: null, obeyed } : null;
}

export function isAllowed(asked: Rung | "ladder", ladder: readonly Rung[]): boolean {
  return asked === "ladder" ? ladder.length > 0 : ladder.includes(asked);
}
