/**
 * `chooser: loader`: PID 1 boots the slot that the bootloader named, and leaves a slot that fails to the loader's own count by a
 * restart. Each boot is counted in the boot record all the same, which ends what a loader would repeat for ever: with no slot
 * left a recovery begins, and a loader that names only what is used up is overruled.
 */
import type { SlotDefinition } from "../../state-ops/control.ts";
import type { CommandLine } from "../kernel-command-line.ts";
import type { JournalEntry } from "../record/journal.ts";
import type { BootRecord, SlotName } from "../record/record.ts";
import type { RecordReading } from "../record/store.ts";
import { chooseSlot } from "./choose.ts";
import { type Policy, slotCalled } from "./policy.ts";
import { type Selection, type SelectionFacts, selectSlot, standing } from "./select.ts";
import { bootable, byPriority, notBootable } from "./slots.ts";

/** What the loader said. */
export interface LoaderWord {
  /** As the command line has it: "rauc.slot=A". Null: no word of it. */
  word: string | null;
  /** The slot that this is; null where it is none of the control file's. */
  named: SlotName | null;
}

/** What is known of the loader's choice, beside what every selection knows. */
export interface FollowFacts extends Omit<SelectionFacts, "preferred">, LoaderWord {
  /** Per slot, why its last attempt before this boot ended as it did, where the boot journal tells. */
  lastReasons: ReadonlyMap<SlotName, string>;
}

/** The word of a command line, where the control file says `chooser: loader`. */
export function loaderWord(slot: CommandLine["slot"], slots: readonly SlotDefinition[]): LoaderWord {
  if (slot === null) return { word: null, named: null };
  const name = slotCalled(slot.name, slots);
  return { word: `${slot.from}=${slot.name}`, named: slots.some((known) => known.name === name) ? name : null };
}

/** Per slot, what the boot journal says of its last attempt, where that is something against it. `journal`: last written first. */
export function lastReasons(journal: readonly JournalEntry[]): Map<SlotName, string> {
  const last = new Map<SlotName, JournalEntry>();
  for (const entry of journal) if (!last.has(entry.slot)) last.set(entry.slot, entry);
  return new Map(
    [...last.values()].flatMap(({ slot, reason, outcome }) =>
      reason === null || outcome === "good" ? [] : [[slot, reason] as const],
    ),
  );
}

/** A slot to boot, or a slot to leave; neither: no slot can boot. */
export interface Following extends Selection {
  /** Left to the loader's count: the machine restarts, and the loader chooses again. Null where it goes on. */
  leaves: { slot: SlotName; reason: string } | null;
  /** What somebody who looks at the console has to know, whatever else is shown there. */
  alarms: string[];
}

/**
 * The record as a boot with that choice takes it up: it counts the boots in a row in which the loader named a slot that has
 * nothing left to try while another one could boot. As many as a trial has tries pass by restarts.
 */
export function meetLoader(record: BootRecord, named: SlotName | null, policy: Policy): BootRecord {
  if (named === null) return record;
  const isSpent = notBootable(record, named, policy.trust) !== null;
  if (isSpent && bootable(record, policy, named).length === 0) return record;
  const { spentNamed = 0, ...rest } = record;
  return isSpent ? { ...rest, spentNamed: Math.min(spentNamed, policy.tries.trial) + 1 } : rest;
}

/**
 * What this boot does next, given {@link meetLoader}'s record. With a record that cannot be written nothing bounds the
 * restarts: the boot goes on with another slot then, as it does where the loader named none.
 *
 * @param condition what reading the record showed
 */
export function followLoader(
  record: BootRecord,
  facts: FollowFacts,
  policy: Policy,
  condition: RecordReading["condition"],
): Following {
  const { named, failed, recordWritable } = facts;
  if (named === null) {
    const alarm = `${whyNoneNamed(facts.word, policy)}: slipway chooses in this boot`;
    return { ...chooseSlot(record, { ...facts, preferred: null }, policy, condition), leaves: null, alarms: [alarm] };
  }
  if (!recordWritable) {
    const selection = chooseSlot(record, { ...facts, preferred: named }, policy, condition);
    return { ...selection, leaves: null, alarms: [] };
  }
  const reason = failed.get(named) ?? notBootable(record, named, policy.trust);
  if (reason === null) {
    const why = `the bootloader chose it (${standing(record, named, policy)})`;
    return { slot: named, why, skipped: passedOver(record, facts, policy, named), notes: [], leaves: null, alarms: [] };
  }
  const other = selectSlot(record, { failed, recordWritable, preferred: null }, policy);
  if (other.slot === null) return { ...other, leaves: null, alarms: [] };
  const { spentNamed = 0 } = record;
  if (spentNamed <= policy.tries.trial) {
    const leaves = { slot: named, reason };
    return { slot: null, why: `slot ${named} is left to the bootloader`, skipped: [], notes: [], leaves, alarms: [] };
  }
  const boots = `the bootloader named slot ${named} again in ${policy.tries.trial} boots or more, which cannot boot (${reason})`;
  const why = `${boots}; first of the others (${standing(record, other.slot, policy)})`;
  const left = other.skipped.some(({ slot }) => slot === named) ? other.skipped : [...other.skipped, { slot: named, reason }];
  return { ...other, why, skipped: left, leaves: null, alarms: [`${boots}: slipway boots slot ${other.slot}`] };
}

function whyNoneNamed(word: string | null, { slots }: Policy): string {
  if (word === null) return "the bootloader named no slot (slipway.slot= or rauc.slot= on the command line)";
  return `the bootloader named a slot that is not there (${word}; this machine has ${slots.join(", ")})`;
}

/** Slots that rank before the one that the loader chose: what it left, as far as the record or the journal tells why. */
function passedOver(record: BootRecord, facts: FollowFacts, policy: Policy, chosen: SlotName): Selection["skipped"] {
  const order = byPriority(record).filter((name) => policy.slots.includes(name));
  return order.slice(0, order.indexOf(chosen)).map((slot) => ({
    slot,
    reason: facts.failed.get(slot) ?? notBootable(record, slot, policy.trust) ?? notChosen(facts.lastReasons.get(slot)),
  }));
}

function notChosen(last: string | undefined): string {
  return `the bootloader did not choose it${last === undefined ? "" : `; last: ${last}`}`;
}
