import type { BootRecord } from "../record/record.ts";
import type { RecordReading } from "../record/store.ts";
import type { Policy } from "./policy.ts";
import { type Selection, type SelectionFacts, selectSlot } from "./select.ts";

/**
 * The slot to try next: {@link selectSlot}'s, or, where the record can be neither read nor written, the one asked for, else
 * the next one in the control file's order: nothing is known of any slot and nothing can be counted then, and a machine
 * never gives up.
 *
 * @param condition what reading the record showed
 */
export function chooseSlot(
  record: BootRecord,
  facts: SelectionFacts,
  policy: Policy,
  condition: RecordReading["condition"],
): Selection {
  if (facts.recordWritable || condition === "valid") return selectSlot(record, facts, policy);
  const { failed, preferred } = facts;
  const left = policy.slots.filter((name) => !failed.has(name));
  const asked = left.find((name) => name === preferred) ?? null;
  const slot = asked ?? left[0] ?? null;
  const cause = asked === null ? "last resort" : "asked for";
  const passedOver = `slot "${preferred}" was asked for and is passed over: ${failed.get(preferred ?? "") ?? "there is no such slot"}`;
  return {
    slot,
    why: slot === null ? "no slot can boot" : `${cause}: the boot record can be neither read nor written, so no try is counted`,
    skipped: [...failed].map(([name, reason]) => ({ slot: name, reason })),
    notes: preferred !== null && asked === null ? [passedOver] : [],
  };
}

/**
 * Why the attempt on `slot` must not go on once its image is known; null when it may. A record that can be read but not
 * written cannot count, and an image that was never committed boots only counted.
 */
export function refuseUncounted(
  slot: string,
  attempt: { trial: boolean; recordWritable: boolean; condition: RecordReading["condition"] },
): string | null {
  if (attempt.recordWritable || attempt.condition !== "valid" || !attempt.trial) return null;
  return `slot ${slot} holds an image that was never committed, and the boot record cannot be written`;
}
