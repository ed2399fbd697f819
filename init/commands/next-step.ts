import { OPERATOR_ROLLBACK } from "../../boot/record/reason.ts";
import { askedText } from "./status-recovery.ts";
import type { Status } from "./status-shape.ts";

/** What to do next, the most urgent thing first, as one sentence. */
export function nextStep(status: Omit<Status, "nextStep">): string {
  const { running, slots, next, pendingTrial, record, degraded, rollback, recovery } = status;
  const current = slots.find((slot) => slot.running);
  if (!record.writable) return "make the boot record writable: until then no try is counted, and no new image can be tried.";
  if (record.condition !== "valid") return "reboot: PID 1 then begins a new boot record.";
  if (recovery.asked !== null) {
    return `reboot (systemctl reboot) to begin ${askedText(recovery.asked)}, or take it back with "slipway recover --cancel".`;
  }
  if (recovery.safeMode !== null) return recovery.safeMode.leave;
  if (running.uncommitted || current?.state === "trial") {
    if (current && current.givenUp !== null && next.slot !== running.slot) {
      return `reboot (systemctl reboot) to go to slot ${next.slot}.`;
    }
    if (degraded.length > 0) {
      return `this trial cannot be committed, since it runs degraded: repair that and reboot, or run "slipway rollback --reboot".`;
    }
    return `check that this image works; it is committed once boot-complete.target is reached, or by "slipway commit", within ${status.trialDeadline} s of its start.`;
  }
  if (pendingTrial !== null) return `reboot (systemctl reboot) to try slot ${pendingTrial}.`;
  if (next.slot !== running.slot && next.slot !== null) return `reboot (systemctl reboot) to go to slot ${next.slot}.`;
  if (status.requests?.reset) {
    return 'reboot (systemctl reboot) to begin the state anew, or take that back with "slipway state reset --cancel".';
  }
  if (rollback !== null && !rollback.reason.startsWith(OPERATOR_ROLLBACK)) {
    return `find out why slot ${rollback.from} failed (see the last boots), then run "slipway install --slot ${rollback.from}" with a better image.`;
  }
  const broken = slots.find((slot) => !slot.running && slot.reason !== null);
  if (broken?.state === "damaged") {
    return `slot ${broken.name} is damaged and no fallback: run "slipway repair ${broken.name}", or install an image there.`;
  }
  if (broken) {
    return `slot ${broken.name} is no fallback; run "slipway install --slot ${broken.name}" with an image.`;
  }
  return degraded.length > 0 ? "repair what is degraded, then reboot." : "nothing to do.";
}
