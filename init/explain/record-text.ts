import type { BootRecord } from "../../boot/record/record.ts";
import type { RecoveryRecord, TriedStep } from "../../boot/recovery/step.ts";
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
  const told = `${trying ?? "no attempt"}${clean}; ${slots.join(", ")}; committed ${lastCommitted?.slot ?? "none"}; ${counts}`;
  return record.recovery === undefined ? told : `${told}; ${recoveryText(record.recovery)}`;
}

/** "recovery tried safe-mode a 0123456789ab, repair b ba9876543210 (3 times); boots repair b ba9876543210" */
function recoveryText({ asked, tried, current, begun, obeyed }: RecoveryRecord): string {
  const stepText = ({ rung, slot, imageId }: TriedStep) => `${rung} ${slot} ${imageId?.slice(0, 12) ?? "any image"}`;
  const steps = tried.map(stepText).join(", ") || "nothing";
  return [
    `recovery tried ${steps}${begun === undefined ? "" : ` (${begun} times)`}`,
    ...(current === null ? [] : [`boots ${stepText(current)}`]),
    ...(asked === null ? [] : [`asked for ${asked}`]),
    ...(obeyed === undefined ? [] : [`obeyed slipway.recover ${obeyed}`]),
  ].join("; ");
}
