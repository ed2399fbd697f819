import { type JournalEntry, placeJournalEntry, readJournal } from "../../boot/record/journal.ts";
import type { BootRecord } from "../../boot/record/record.ts";
import { encodeRecord, RECORD_LAYOUT, type RecordReading, readRecord } from "../../boot/record/store.ts";
import { type Kernel, KernelError } from "../kernel/kernel.ts";
import { openRecordDevice, type RecordDevice } from "./record-device.ts";

/** Whether something reached the disk, and if not, why. */
export type Written = { written: true } | { written: false; reason: string };

/** What may change in a journal entry after the attempt began. */
export type JournalChange = Partial<Pick<JournalEntry, "imageId" | "stage" | "outcome" | "reason" | "notes">>;

export interface RecordAndJournal {
  record: RecordReading;
  /** Last written first, at most 32. Empty where the journal cannot be read. */
  journal: JournalEntry[];
}

/** Boot record and boot journal, wherever they are kept. */
export interface RecordKeeper {
  /** What opens its place once more, for what else is kept there; null where it has none. */
  readonly path: string | null;
  readonly writable: boolean;
  /** Why it is not writable; null when it is. */
  readonly unwritableReason: string | null;
  /** Record and journal. Never throws: what cannot be read is a condition. */
  read(): RecordAndJournal;
  readRecord(): RecordReading;
  write(record: BootRecord): Written;
  appendJournal(entry: JournalEntry): Written;
  updateJournal(attempt: number, change: JournalChange): Written;
  close(): void;
}

const { areaSize, copyOffsets, journalOffset, journalSize } = RECORD_LAYOUT;

/**
 * Boot record and boot journal on their device, for PID 1 and the commands alike. Whoever writes in the running system
 * holds the lock of record-lock.ts from before `read` until after the last write.
 */
export class BootRecordStore implements RecordKeeper {
  readonly #kernel: Kernel;
  readonly #device: RecordDevice;
  /** What the last write failed with, or why the device was opened for reading only. */
  #unwritable: string | null;
  /** Why what is there must not be written over; null where it was read. */
  #unread: string | null = null;
  /** Sequence and place of the next write; null until the record was read. */
  #next: { sequence: number; copy: 0 | 1 } | null = null;
  /** The journal's area as it is on disk; null until it was read. */
  #journal: Uint8Array | null = null;

  constructor(kernel: Kernel, device: RecordDevice) {
    this.#kernel = kernel;
    this.#device = device;
    this.#unwritable = device.readOnly;
  }

  get path(): string {
    return this.#device.path;
  }

  get #shown(): string {
    return this.#device.shown ?? this.#device.path;
  }

  /** False when the device was opened for reading only, could not be read, or the last write of the record failed. */
  get writable(): boolean {
    return this.unwritableReason === null;
  }

  /** Why it is not writable; null when it is. */
  get unwritableReason(): string | null {
    return this.#unread ?? this.#unwritable;
  }

  /** Both copies and the journal, from the disk. Never throws: an area that cannot be read is a condition. */
  read(): RecordAndJournal {
    return { record: this.readRecord(), journal: readJournal(this.#journalArea(true)) };
  }

  /** As {@link read}, without the journal. */
  readRecord(): RecordReading {
    const faults: string[] = [];
    const first = this.#readArea(copyOffsets[0], areaSize, "copy 0", faults);
    const second = this.#readArea(copyOffsets[1], areaSize, "copy 1", faults);
    const reading = readRecord([first, second]);
    this.#next = { sequence: reading.sequence + 1, copy: reading.nextCopy };
    const record = faults.length > 0 ? { ...reading, reason: faults.join("; ") } : reading;
    // The disk may give it back at the next boot: it still is the only truth about the slots.
    const lost = faults.length > 0 && reading.record === null;
    this.#unread = lost
      ? `what cannot be read is not written over (${faults.join("; ")}); if it stays so, write zeros there`
      : null;
    return record;
  }

  /**
   * Makes `record` the one that the next boot reads: writes the copy that does not hold the present record, past all
   * caches, then reads it back. On failure the present record is still there, and the same copy is written next time. Refused
   * where neither copy could be read and one of them for a failure of the disk.
   */
  write(record: BootRecord): Written {
    if (this.#next === null) this.read();
    if (this.#unread !== null) return { written: false, reason: this.#unread };
    const next = this.#next ?? { sequence: 1, copy: 0 };
    const outcome = this.#writeDurably(encodeRecord(record, next.sequence), copyOffsets[next.copy], true);
    this.#unwritable = outcome.written ? null : outcome.reason;
    if (outcome.written) this.#next = { sequence: next.sequence + 1, copy: next.copy === 0 ? 1 : 0 };
    return outcome;
  }

  /** Writes an attempt's entry. Failure is returned, never thrown: the journal must not stand in the way of counting. */
  appendJournal(entry: JournalEntry): Written {
    const area = this.#journalArea(false);
    const placed = placeJournalEntry(area, entry);
    const outcome = this.#writeDurably(placed.bytes, journalOffset + placed.offset, false);
    if (outcome.written) area.set(placed.bytes, placed.offset);
    return outcome;
  }

  /** Changes what the journal says of an attempt. An attempt that the journal does not hold is a failure. */
  updateJournal(attempt: number, change: JournalChange): Written {
    const entry = readJournal(this.#journalArea(false)).find((candidate) => candidate.attempt === attempt);
    if (!entry) return { written: false, reason: `the boot journal holds no attempt ${attempt}` };
    return this.appendJournal({ ...entry, ...change });
  }

  close(): void {
    this.#kernel.close(this.#device.fd);
  }

  #journalArea(again: boolean): Uint8Array {
    if (this.#journal === null || again) this.#journal = this.#readArea(journalOffset, journalSize, "journal", []).slice();
    return this.#journal;
  }

  /** The bytes at `offset`; all 0xff, which is neither blank nor a frame, where they cannot be read. */
  #readArea(offset: number, length: number, name: string, faults: string[]): Uint8Array {
    try {
      const bytes = this.#kernel.read(this.#device.fd, length, BigInt(offset));
      if (bytes.length === length) return bytes;
      faults.push(`${name}: only ${bytes.length} of ${length} bytes could be read from ${this.#shown}`);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      faults.push(`${name}: reading ${this.#shown} failed (${error.code})`);
    }
    return new Uint8Array(length).fill(0xff);
  }

  #writeDurably(bytes: Uint8Array, offset: number, readBack: boolean): Written {
    const { fd, readOnly } = this.#device;
    const path = this.#shown;
    if (readOnly !== null) return { written: false, reason: readOnly };
    try {
      this.#kernel.write(fd, bytes, BigInt(offset));
      if (!readBack || Buffer.compare(this.#kernel.read(fd, bytes.length, BigInt(offset)), bytes) === 0) return { written: true };
      return { written: false, reason: `${path} gave back other bytes than were written at ${offset}; the disk may be failing` };
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      // A write-protected disk can be opened for writing, and refuses the write.
      const cause = error.code === "EPERM" ? "is the disk write-protected?" : "the disk may be failing";
      return { written: false, reason: `writing to ${path} at ${offset} failed (${error.code}); ${cause}` };
    }
  }
}

/**
 * Opens the store on a partition. Throws KernelError where the device cannot be read at all, Refusal where it is too
 * small; one that cannot be written is opened all the same, with `writable` false.
 */
export function openBootRecord(kernel: Kernel, devicePath: string): BootRecordStore {
  return new BootRecordStore(kernel, openRecordDevice(kernel, devicePath));
}
