/** The state that a rollback brings back, and how old it is. */
import type { JournalEntry } from "../../boot/record/journal.ts";
import type { BootRecord, SlotName } from "../../boot/record/record.ts";
import { slotOf } from "../../boot/selection/slots.ts";
import { type HeldGeneration, ownPointer } from "../../state-ops/generation-facts.ts";
import { generationName } from "../../state-ops/layout.ts";
import { ageText, timeText } from "./text.ts";

export interface RollbackState {
  /** The slot's own generation, "000004"; null where it has none that is sound. */
  generation: string | null;
  /** When it was left at the latest, milliseconds since the epoch; null where the boot journal does not know. */
  leftUnixMs: number | null;
  /** One sentence. */
  story: string;
}

/** What the data filesystem says. */
export interface RollbackFacts {
  pointers: Readonly<Record<string, number | null>>;
  generations: readonly HeldGeneration[];
}

/** Tells of the state of `target`, the slot that boots next. */
export function rollbackState(
  facts: RollbackFacts,
  record: BootRecord,
  journal: readonly JournalEntry[],
  target: SlotName,
  nowUnixMs: number,
): RollbackState {
  const own = ownGeneration(facts, record, target);
  if (own === null) {
    const committed = record.lastCommitted === null ? null : ownGeneration(facts, record, record.lastCommitted.slot);
    const begins =
      committed === null
        ? "the closest state there is, else with what the image has"
        : `a clone of the committed state, generation ${generationName(committed)}`;
    return {
      generation: null,
      leftUnixMs: null,
      story: `Slot ${target} has no committed state of its own: it begins with ${begins}.`,
    };
  }
  const generation = generationName(own);
  const { leftUnixMs, when } = left(journal, target, nowUnixMs);
  return { generation, leftUnixMs, story: `Slot ${target}'s state is as it was left ${when} (generation ${generation}).` };
}

/** The generation that a committed slot goes on with; null where it has none, or its image is another one's. */
function ownGeneration({ pointers, generations }: RollbackFacts, record: BootRecord, slot: SlotName): number | null {
  const { state, imageId } = slotOf(record, slot);
  const pointer = ownPointer({ pointers, generations, committed: record.lastCommitted }, slot);
  const found = generations.find(({ number, complete }) => number === pointer && complete);
  const meta = found?.meta;
  if (state !== "committed" || found === undefined || !meta) return null;
  return meta.number === pointer && meta.slot === slot && meta.imageId === imageId ? pointer : null;
}

/** A slot's state was left at the latest when the next attempt began. */
function left(journal: readonly JournalEntry[], slot: SlotName, nowUnixMs: number): { leftUnixMs: number | null; when: string } {
  const ascending = [...journal].sort((first, second) => first.attempt - second.attempt);
  const last = ascending.findLastIndex((entry) => entry.slot === slot && reachedState(entry));
  const next = last < 0 ? ascending[0] : ascending[last + 1];
  if (next === undefined) return { leftUnixMs: null, when: "at a time that the boot journal does not know" };
  const { attempt, startedUnixMs } = next;
  const age = ageText(startedUnixMs, nowUnixMs);
  const time = timeText(startedUnixMs);
  if (last < 0) {
    const before = age === "" ? "" : `, more than ${age}`;
    return { leftUnixMs: null, when: `before attempt ${attempt}, the oldest that the boot journal knows (${time}${before})` };
  }
  if (age === "") return { leftUnixMs: null, when: `before attempt ${attempt}, at a time that no clock told` };
  return { leftUnixMs: startedUnixMs, when: `${age} (${time}, when attempt ${attempt} began)` };
}

function reachedState({ stage }: JournalEntry): boolean {
  return stage === "state" || stage === "handover" || stage === "good";
}
