import type { BootRecord } from "../../boot/record/record.ts";
import { byPriority, slotOf } from "../../boot/selection/slots.ts";

/** "attempt 3 of b on trial: counted; b trial 2 0123456789ab, a committed 10 ba9876543210; …", best slot first. */
export function recordText(record: BootRecord): string {
  const { attempt, lastCommitted } = record;
  const slots = byPriority(record).map((name) => {
    const { state, tries, imageId, damaged, reason } = slotOf(record, name);
    const why = damaged ?? reason;
    return `${name} ${state} ${tries} ${imageId?.slice(0, 12) ?? "no image"}${why === null ? "" : ` (${why})`}`;
  });
  const trying = attempt && `attempt ${attempt.number} of ${attempt.slot}${attempt.trial ? " on trial" : ""}: ${attempt.stage}`;
  const clean = attempt?.cleanEnd ? ", closed" : "";
  const counts = `unclean ${record.uncleanEnds}, exhausted ${record.exhausted}, quarantined ${record.quarantined.length}`;
  return `${trying ?? "no attempt"}${clean}; ${slots.join(", ")}; committed ${lastCommitted?.slot ?? "none"}; ${counts}`;
}
