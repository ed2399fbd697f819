import type { JournalEntry } from "../../boot/record/journal.ts";
import { OPERATOR_ROLLBACK } from "../../boot/record/reason.ts";
import type { ImageId, SlotName, Stage } from "../../boot/record/record.ts";
import type { BootReport } from "../../boot/report.ts";
import { timeText } from "./text.ts";

/** One attempt, and how it ended in words. */
export type LastBoot = JournalEntry & { ended: string };

const WHERE: Record<Stage, string> = {
  counted: "before the image was read",
  image: "while the image was mounted",
  state: "while the state was laid",
  handover: "in the booted system",
  good: "after it was good",
};

function ended(entry: JournalEntry, current: boolean): string {
  const { notes = [] } = entry;
  return [endedSo(entry, current), ...notes].join("; ");
}

function endedSo(entry: JournalEntry, current: boolean): string {
  const { outcome, reason, trial, stage } = entry;
  const because = reason === null ? "" : `: ${reason}`;
  if (current && outcome === "good") return `runs now; good${trial ? ", its trial is over" : ""}`;
  if (current && outcome === "running") return `runs now; ${trial ? "on trial" : "not good yet"}${because}`;
  switch (outcome) {
    case "good":
      return `good${trial ? ", committed" : ""}; ${reason ?? "ended without a clean shutdown"}`;
    case "clean":
      return `shut down cleanly before it was good${because}`;
    case "failed":
      return `failed ${WHERE[stage]}${because}`;
    case "unclean":
      return `ended uncleanly ${WHERE[stage]}${because}`;
    case "running":
      return `ended ${WHERE[stage]} without a trace (power cut, hang or crash)${because}`;
  }
}

/** The boot journal in words, newest first. */
export function lastBoots(journal: readonly JournalEntry[], report: BootReport): LastBoot[] {
  return [...journal]
    .sort((left, right) => right.startedUnixMs - left.startedUnixMs || right.attempt - left.attempt)
    .map((entry) => ({ ...entry, ended: ended(entry, entry.attempt === report.attempt && entry.slot === report.slot) }));
}

export interface RollbackFacts {
  from: SlotName;
  to: SlotName;
  /** The image that was left. */
  imageId: ImageId | null;
  reason: string;
  /** Attempts of the image that was left, oldest first. */
  attempts: number[];
  /** When the last of them began, milliseconds since the epoch; null where the boot journal does not know. */
  leftUnixMs: number | null;
  /** One sentence. */
  story: string;
}

/** What this boot has to tell of a slot that it was left for; null where it was the first choice. */
export function rollbackFacts(journal: readonly JournalEntry[], report: BootReport): RollbackFacts | null {
  const { rollback } = report;
  if (rollback === null) return null;
  const { from, reason } = rollback;
  const newest = [...journal].filter((entry) => entry.slot === from).sort((left, right) => right.attempt - left.attempt);
  const latest = newest[0];
  const same = newest.filter(
    (entry) => entry.imageId === latest?.imageId && entry.trial === latest.trial && entry.outcome !== "good",
  );
  const attempts = same.map((entry) => entry.attempt).reverse();
  const to = report.slot;
  const imageId = rollback.imageId ?? latest?.imageId ?? null;
  const last = newest.find((entry) => entry.attempt === (rollback.attempt ?? latest?.attempt));
  const facts = { from, to, imageId, reason, attempts, leftUnixMs: rollback.startedUnixMs ?? last?.startedUnixMs ?? null };
  const image = imageId === null ? "" : ` with image ${imageId.slice(0, 12)}`;
  const when = last === undefined ? "" : `, after attempt ${last.attempt} of ${timeText(last.startedUnixMs)}`;
  if (!latest || attempts.length === 0 || reason.startsWith(OPERATOR_ROLLBACK)) {
    return { ...facts, story: `slot ${from}${image} was left for slot ${to}${when}: ${reason}` };
  }
  const what = latest.trial ? "was on trial" : "was committed";
  const used = `used up ${attempts.length} ${attempts.length === 1 ? "try" : "tries"}`;
  const first = attempts[0];
  const which = attempts.length > 1 ? `attempts ${first} to ${attempts.at(-1)}` : `attempt ${first}`;
  const since = last === undefined ? "" : `, the last of ${timeText(last.startedUnixMs)}`;
  return {
    ...facts,
    story: `slot ${from} ${what}${image}, ${used} (${which}${since}), rolled back to slot ${to}: ${reason}`,
  };
}
