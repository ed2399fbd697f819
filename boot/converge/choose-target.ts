import { Refusal } from "../../state-ops/outcome.ts";
import type { BootRecord, SlotName } from "../record/record.ts";
import type { Policy } from "../selection/policy.ts";
import { pendingTrial } from "../selection/running.ts";
import { bootable, byPriority, slotOf } from "../selection/slots.ts";

/**
 * The slot that an image goes into where nobody said which: one that holds it already (`holders`), else neither the running one
 * nor, where there are others, the fallback: the committed slot that boots when the running one does not. Of those the one that
 * waits for its trial, whose image nobody has seen running, else the one that would boot last. Throws Refusal where there is none.
 */
export function chooseTarget(record: BootRecord, running: SlotName, policy: Policy, holders: readonly SlotName[]): SlotName {
  const others = byPriority(record).filter((name) => name !== running && policy.slots.includes(name));
  const [only] = others;
  if (only === undefined) throw new Refusal(`slot ${running} runs and is the only one; an install needs another slot`);
  const holder = others.find((name) => holders.includes(name));
  if (holder !== undefined) return holder;
  const able = bootable(record, policy, running);
  const fallback = able.find((name) => slotOf(record, name).state === "committed");
  const free = others.filter((name) => name !== fallback);
  const pending = pendingTrial(record, running);
  if (pending !== null && free.includes(pending)) return pending;
  return free.find((name) => !able.includes(name)) ?? free.at(-1) ?? only;
}
