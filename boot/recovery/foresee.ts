import type { Rung } from "../../state-ops/recovery.ts";
import type { BootRecord } from "../record/record.ts";
import type { Policy } from "../selection/policy.ts";
import { slotOf, withSlot } from "../selection/slots.ts";
import { armOnce, beginPass, beginStep } from "./changes.ts";
import { interruptedStep, recoveryOf } from "./known.ts";
import { type LadderFacts, type LadderStep, nextStep, rungsAsked } from "./ladder.ts";
import type { RecoveryRequest } from "./requested.ts";

const PATIENCE =
  "; where no source can be reached only once the machine has paused for about ten minutes, or as long as it ever does";

/** What a recovery would try of a machine, one sentence a step, as long as each comes to nothing. */
export function foreseenSteps(
  record: BootRecord,
  request: RecoveryRequest | null,
  ladder: readonly Rung[],
  policy: Policy,
  left: LadderFacts["left"],
  hasSources: boolean,
): string[] {
  const begun = request !== null && request.asked !== null ? beginPass(record, request.obeyed) : record;
  const asked = request === null ? null : (request.asked ?? interruptedStep(record)?.rung ?? null);
  const rungs = asked === null ? ladder : rungsAsked(ladder, asked);
  const sentences: string[] = [];
  let now = begun;
  for (let ended = false; ; ended = true) {
    const step = nextStep(now, rungs, policy, { left, badTargets: new Set(), ended, unreached: false, longestPause: 0 });
    if (step === null) return sentences;
    const isPatient = step.rung === "reinstall-fresh" && request === null && hasSources;
    sentences.push(`${sentenceOf(step, now)}${isPatient ? PATIENCE : ""}`);
    const { rung, slot, imageId } = step;
    const { tries, reason } = slotOf(now, slot);
    // The try that it gets is gone by then.
    now =
      step.do === "boot"
        ? withSlot(armOnce(now, { rung, slot, imageId: step.imageId }), slot, { tries, reason })
        : beginStep(now, { rung, slot, imageId }, false);
    if (step.do === "reinstall") now = beginStep(now, { rung, slot, imageId: null }, false);
  }
}

function sentenceOf(step: LadderStep, record: BootRecord): string {
  const { rung, slot } = step;
  const again = recoveryOf(record).tried.length > 0 && interruptedStep(record)?.rung === rung ? ", which was cut off" : "";
  switch (step.do) {
    case "boot":
      return `${rung}: slot ${slot} gets one try with ${rung === "safe-mode" ? "memory in the place of its persistent state" : "the state from before"}`;
    case "repair":
      return `${rung}: what is damaged of image ${step.imageId.slice(0, 12)} in slot ${slot}${again}`;
    case "reinstall": {
      const wanted = step.searches.map(
        ({ imageIds }) => imageIds?.map((imageId) => imageId.slice(0, 12)).join(" or ") ?? "any other",
      );
      const where =
        slotOf(record, slot).state === "empty"
          ? `into slot ${slot}, which is empty`
          : `into slot ${slot}, or the slot that holds it`;
      const state = rung === "reinstall-fresh" ? ", with persistent state set aside" : "";
      return `${rung}: image ${wanted.join(", then ")}, ${where}${state}`;
    }
  }
}
