import { canonicalJson } from "../../state-ops/canonical-json.ts";
import { Fields } from "../../state-ops/fields.ts";
import { isHex } from "../../state-ops/plain-text.ts";
import { decodeFrame, encodeFrame } from "./frame.ts";
import { cutReason, REASON_LENGTH } from "./reason.ts";
import type { ImageId, SlotName, Stage } from "./record.ts";
import { countOf, flagOf, imageIdOf, nameOf, reasonOf, stageOf } from "./shape.ts";
import { RECORD_LAYOUT } from "./store.ts";

/** `running` until more is known; `clean` and `unclean` are how an attempt ended that was never committed or re-armed. */
export type Outcome = "running" | "good" | "clean" | "unclean" | "failed";

/** What is remembered of one attempt. */
export interface JournalEntry {
  attempt: number;
  slot: SlotName;
  imageId: ImageId | null;
  trial: boolean;
  /** How far it came. */
  stage: Stage;
  outcome: Outcome;
  /** Why it failed or was left; cut at 160 characters. */
  reason: string | null;
  /** Wall clock at its start, milliseconds since the epoch. */
  startedUnixMs: number;
  /**
   * The kernel's id of that boot (boot_id of random(4)), 32 hex digits, by which its logs are found. Left out where it is not
   * known, as versions did that knew none: those read either.
   */
  bootId?: string;
  /**
   * What became of its state, where that was not as in an ordinary boot: degraded, repaired, lost, merged. Cut at 160 characters
   * each, five at most. Left out where there is nothing to tell, as versions did that knew no notes: those read either.
   */
  notes?: string[];
}

const OUTCOMES: readonly Outcome[] = ["running", "good", "clean", "unclean", "failed"];
/** Five notes and a reason of the longest kind still fit into a frame. */
export const MOST_NOTES = 5;
const PAIRS = RECORD_LAYOUT.journalSize / RECORD_LAYOUT.journalEntrySize / 2;

interface Found {
  sequence: number;
  entry: JournalEntry;
}

/** The entry that `value` is; `where` names it in messages. Throws BadInput naming the key that is missing, unknown or wrong. */
export function journalEntry(value: unknown, where: string): JournalEntry {
  const keys = ["attempt", "slot", "imageId", "trial", "stage", "outcome", "reason", "startedUnixMs"];
  const fields = new Fields(value, where, keys, ["bootId", "notes"]);
  return {
    attempt: fields.integer("attempt", 1, Number.MAX_SAFE_INTEGER),
    slot: nameOf(fields, "slot"),
    imageId: fields.nullable("imageId", () => imageIdOf(fields, "imageId")),
    trial: flagOf(fields, "trial"),
    stage: stageOf(fields, "stage"),
    outcome: fields.oneOf("outcome", OUTCOMES),
    reason: fields.nullable("reason", () => reasonOf(fields, "reason")),
    startedUnixMs: countOf(fields, "startedUnixMs"),
    ...(fields.has("bootId") ? { bootId: bootIdOf(fields) } : {}),
    ...(fields.has("notes") ? { notes: notesOf(fields) } : {}),
  };
}

function bootIdOf(fields: Fields): string {
  const value = fields.text("bootId");
  return isBootId(value) ? value : fields.fail("bootId", "32 hex digits");
}

/** Whether a text is a boot id as the journal holds it. */
export function isBootId(text: string): boolean {
  return isHex(text, 32);
}

function notesOf(fields: Fields): string[] {
  const wanted = `a list of at most ${MOST_NOTES} texts of at most ${REASON_LENGTH} characters`;
  const list = fields.list("notes");
  if (list.length > MOST_NOTES) fields.fail("notes", wanted);
  return list.map((note) => (typeof note === "string" && note.length <= REASON_LENGTH ? note : fields.fail("notes", wanted)));
}

/** Notes as an entry can hold them. What is too much is said to be so. */
function cutNotes(notes: readonly string[]): string[] {
  const shown = notes.length <= MOST_NOTES ? notes : notes.slice(0, MOST_NOTES - 1);
  const more = notes.length - shown.length;
  return [...shown.map(cutReason), ...(more > 0 ? [`and ${more} more notes, which /run/slipway/boot.json held`] : [])];
}

function decodeEntry(payload: Uint8Array): JournalEntry | null {
  try {
    return journalEntry(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(payload)), "");
  } catch {
    return null;
  }
}

function frameAt(bytes: Uint8Array, index: number): Found | null {
  const start = index * RECORD_LAYOUT.journalEntrySize;
  const { frame } = decodeFrame("journal", bytes.subarray(start, start + RECORD_LAYOUT.journalEntrySize));
  const entry = frame && decodeEntry(frame.payload);
  return frame && entry ? { sequence: frame.sequence, entry } : null;
}

/** What the pair's two frames hold; the newest entry of the pair counts. */
function pairAt(bytes: Uint8Array, pair: number): { first: Found | null; second: Found | null; newest: Found | null } {
  const first = frameAt(bytes, 2 * pair);
  const second = frameAt(bytes, 2 * pair + 1);
  return { first, second, newest: first && second ? (second.sequence > first.sequence ? second : first) : (first ?? second) };
}

function found(bytes: Uint8Array): Found[] {
  return Array.from({ length: PAIRS }, (_, pair) => pairAt(bytes, pair).newest)
    .filter((newest) => newest !== null)
    .sort((left, right) => right.sequence - left.sequence);
}

/**
 * The entries of a boot journal, last written first: at most 32. `bytes` is its whole area (RECORD_LAYOUT.journalSize).
 * Frames that are blank, torn or foreign are left out. Never throws.
 */
export function readJournal(bytes: Uint8Array): JournalEntry[] {
  return found(bytes).map(({ entry }) => entry);
}

/**
 * Where and what to write for `entry`: 4096 bytes at `offset` from the start of the journal's area (on the partition
 * RECORD_LAYOUT.journalOffset further), which `bytes` holds as it is on disk. Attempt N owns the pair of frames N mod
 * 32, and the frame that does not hold the pair's newest entry is overwritten. To write a second entry from the same
 * reading, first put this one into it: `bytes.set(placed.bytes, placed.offset)`.
 */
export function placeJournalEntry(bytes: Uint8Array, entry: JournalEntry): { offset: number; bytes: Uint8Array } {
  const size = RECORD_LAYOUT.journalEntrySize;
  const pair = entry.attempt % PAIRS;
  const { first, newest } = pairAt(bytes, pair);
  const index = 2 * pair + (newest !== null && newest === first ? 1 : 0);
  // One sequence for all frames: it orders the entries even after attempt numbers began anew with a lost record.
  const sequence = (found(bytes)[0]?.sequence ?? 0) + 1;
  const { notes, ...rest } = entry;
  const told = notes === undefined || notes.length === 0 ? {} : { notes: cutNotes(notes) };
  const kept = { ...rest, reason: entry.reason === null ? null : cutReason(entry.reason), ...told };
  const frame = encodeFrame("journal", sequence, new TextEncoder().encode(canonicalJson(kept)));
  const padded = new Uint8Array(size);
  padded.set(frame);
  return { offset: index * size, bytes: padded };
}
