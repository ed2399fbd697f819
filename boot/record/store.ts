import { canonicalJson } from "../../state-ops/canonical-json.ts";
import { MOST_TRIED } from "../recovery/step.ts";
import type { Policy } from "../selection/policy.ts";
import { decodeFrame, encodeFrame, isZero } from "./frame.ts";
import type { BootRecord } from "./record.ts";
import { bootRecord } from "./shape.ts";

/**
 * Where things lie on the boot record's partition, in bytes. The two copies are written in turn, so that a torn write
 * leaves the former record; they lie far apart, so that one erase block of flash never holds both.
 */
export const RECORD_LAYOUT = {
  /** Length of one copy's area. */
  areaSize: 32 * 1024,
  copyOffsets: [0, 1024 * 1024],
  journalOffset: 2 * 1024 * 1024,
  /** Two frames for each of the last 32 attempts. */
  journalSize: 64 * 4096,
  journalEntrySize: 4096,
  /** Two copies of the network's profile, written in turn and as far apart as those of the record. */
  profileOffsets: [2.5 * 1024 * 1024, 3.5 * 1024 * 1024],
  profileSize: 16 * 1024,
  /** What `encodeRecord` pads to: a multiple of every disk's logical block. */
  writeUnit: 4096,
  minimumPartitionSize: 4 * 1024 * 1024,
} as const;

export interface RecordReading {
  condition: "valid" | "empty" | "unreadable";
  /** Null unless `condition` is "valid". */
  record: BootRecord | null;
  /** Highest sequence seen, 0 without one; the next write takes this plus one. */
  sequence: number;
  /** The copy to write next: never the one that `record` came from. */
  nextCopy: 0 | 1;
  /** Why the record is unreadable, or what is wrong with the copy that will be overwritten next; null when nothing is. */
  reason: string | null;
}

interface CopyReading {
  record: BootRecord | null;
  sequence: number;
  blank: boolean;
  reason: string | null;
}

function readCopy(area: Uint8Array): CopyReading {
  if (isZero(area)) return { record: null, sequence: 0, blank: true, reason: null };
  const { frame, reason } = decodeFrame("record", area.subarray(0, RECORD_LAYOUT.areaSize));
  if (frame === null) return { record: null, sequence: 0, blank: false, reason };
  try {
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(frame.payload));
    return { record: bootRecord(value), sequence: frame.sequence, blank: false, reason: null };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return { record: null, sequence: frame.sequence, blank: false, reason: why };
  }
}

/** Reads the areas of both copies (up to 32 KiB each). Never throws; bytes that are no record are a condition. */
export function readRecord(copies: [Uint8Array, Uint8Array]): RecordReading {
  const first = readCopy(copies[0]);
  const second = readCopy(copies[1]);
  const sequence = Math.max(first.sequence, second.sequence);
  const faults = [first, second].flatMap((copy, index) => (copy.reason === null ? [] : [`copy ${index}: ${copy.reason}`]));
  const reason = faults.length > 0 ? faults.join("; ") : null;
  if (first.record === null && second.record === null) {
    const condition = first.blank && second.blank ? "empty" : "unreadable";
    return { condition, record: null, sequence, nextCopy: 0, reason };
  }
  const newest = second.record !== null && (first.record === null || second.sequence > first.sequence) ? second : first;
  return { condition: "valid", record: newest.record, sequence, nextCopy: newest === first ? 1 : 0, reason };
}

/** The record with only the newest `most` steps of its recovery. */
function withTried(record: BootRecord, most: number): BootRecord {
  const { recovery } = record;
  if (recovery === undefined || recovery.tried.length <= most) return record;
  return { ...record, recovery: { ...recovery, tried: most === 0 ? [] : recovery.tried.slice(-most) } };
}

/**
 * The bytes to write at the start of the copy `nextCopy`: a frame with canonical JSON, padded with zeros to a multiple
 * of 4096. What a recovery tried is there at most {@link MOST_TRIED} times, the newest, and fewer where sixteen slots with the
 * longest of reasons leave no room. Throws RangeError above 32 KiB, which the limits of shape.ts exclude.
 */
export function encodeRecord(record: BootRecord, sequence: number): Uint8Array {
  const framed = (most: number) =>
    encodeFrame("record", sequence, new TextEncoder().encode(canonicalJson(withTried(record, most))));
  let most = Math.min(MOST_TRIED, record.recovery?.tried.length ?? 0);
  let frame = framed(most);
  while (frame.length > RECORD_LAYOUT.areaSize && most > 0) {
    most -= 1;
    frame = framed(most);
  }
  if (frame.length > RECORD_LAYOUT.areaSize) {
    throw new RangeError(`the boot record takes ${frame.length} bytes, its area has ${RECORD_LAYOUT.areaSize}`);
  }
  const unit = RECORD_LAYOUT.writeUnit;
  const padded = new Uint8Array(Math.ceil(frame.length / unit) * unit);
  padded.set(frame);
  return padded;
}

/** The record to go on with when there is none: every slot on trial, in the control file's order. */
export function freshRecord(policy: Pick<Policy, "slots" | "tries">): BootRecord {
  const slots = policy.slots.map((name, index) => [
    name,
    {
      state: "trial" as const,
      priority: policy.slots.length - index,
      tries: policy.tries.trial,
      imageId: null,
      credits: 0,
      damaged: null,
      reason: null,
    },
  ]);
  return {
    schema: 1,
    slots: Object.fromEntries(slots),
    attempt: null,
    lastCommitted: null,
    uncleanEnds: 0,
    exhausted: 0,
    quarantined: [],
    dataFilesystem: null,
    lastKnownUnixMs: 0,
  };
}
