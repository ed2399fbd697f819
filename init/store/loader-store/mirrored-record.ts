import type { CommandLine } from "../../../boot/kernel-command-line.ts";
import type { JournalEntry } from "../../../boot/record/journal.ts";
import type { BootRecord } from "../../../boot/record/record.ts";
import type { RecordReading } from "../../../boot/record/store.ts";
import { loaderWord } from "../../../boot/selection/follow.ts";
import { policyOf } from "../../../boot/selection/policy.ts";
import { baseOf, type StoreBase, storeId } from "../../../boot/stores/base.ts";
import { type MergeFacts, mergeStore, recordFromStore } from "../../../boot/stores/merge.ts";
import { newNonce } from "../../../boot/stores/new-nonce.ts";
import { projectRecord } from "../../../boot/stores/project.ts";
import { traitsOf } from "../../../boot/stores/traits.ts";
import type { StoreReading, StoreView } from "../../../boot/stores/view.ts";
import { firstOf, isStoreFirst, type OnDisk, sameView } from "../../../boot/stores/write-order.ts";
import type { ControlFile } from "../../../state-ops/control.ts";
import { BadInput } from "../../../state-ops/outcome.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import type { JournalChange, RecordAndJournal, RecordKeeper, Written } from "../boot-record.ts";
import type { LoaderStore } from "./loader-store.ts";

/** How the record is told to the store, and the store's answers are understood. */
export interface MirrorRules extends Omit<MergeFacts, "unixMs"> {
  /** Which store it is: {@link storeId} of boot/stores/base.ts. */
  store: string;
}

/** The rules in PID 1. `slot`: the command line's word, which tells what the loader started where it chooses. */
export function rulesOfBoot(control: ControlFile, slot: CommandLine["slot"]): MirrorRules {
  const { bootRecord, chooser, slots } = control;
  return {
    policy: policyOf(control),
    chooser,
    traits: traitsOf(bootRecord),
    store: storeId(bootRecord),
    started: chooser === "loader" ? loaderWord(slot, slots).named : null,
  };
}

/** The loader's store, or why it is out of reach. */
export type Reached = { store: LoaderStore; missing: null } | { store: null; missing: string };

/**
 * The boot record with the bootloader's store beside it: one to whoever reads and writes it. What others changed in the store is
 * merged into the record as it is read; each write goes to both, so that a power cut between the two is taken up by the next
 * reading. What cannot be written in the store is told, and the record goes on without.
 */
export class MirroredRecord implements RecordKeeper {
  readonly #kernel: Kernel;
  /** Null where the record's own place is not there: then the store alone is written. */
  readonly #record: RecordKeeper | null;
  readonly #reached: Reached;
  readonly #rules: MirrorRules;
  readonly #tell: (warning: string) => void;
  /** What the store says; null where it says nothing, or was not read. */
  #seen: StoreView | null = null;
  #onDisk: OnDisk | null = null;
  #base: StoreBase | null = null;
  #wasRead = false;
  /** What the store was like at the first reading. */
  reading: StoreReading;
  /** The nonce that the record knew then. */
  knownNonce: string | null = null;
  /** What was changed by others, one sentence each, in all readings. */
  readonly merged: string[] = [];

  /** @param tell is told what is wrong with the store, each time it shows */
  constructor(
    kernel: Kernel,
    record: RecordKeeper | null,
    reached: Reached,
    rules: MirrorRules,
    tell: (warning: string) => void,
  ) {
    this.#kernel = kernel;
    this.#record = record;
    this.#reached = reached;
    this.#rules = rules;
    this.#tell = tell;
    this.reading = { condition: "unreadable", view: null, reason: reached.missing ?? "it was not read" };
  }

  get path(): string | null {
    return this.#record?.path ?? null;
  }

  get writable(): boolean {
    return this.#record?.writable ?? false;
  }

  get unwritableReason(): string | null {
    return this.#record === null ? "it is not there" : this.#record.unwritableReason;
  }

  read(): RecordAndJournal {
    const journal = this.#record?.read() ?? { record: nowhere(), journal: [] };
    return { ...journal, record: this.#merge(journal.record) };
  }

  readRecord(): RecordReading {
    return this.#merge(this.#record?.readRecord() ?? nowhere());
  }

  #merge(reading: RecordReading): RecordReading {
    return this.#withoutStoreWhere(
      () => this.#mergeStore(reading),
      (reason) => {
        this.#wasRead = true;
        this.#base = null;
        this.#onDisk = null;
        this.#seen = null;
        this.reading = { condition: "unreadable", view: null, reason };
        return reading;
      },
    );
  }

  #mergeStore(reading: RecordReading): RecordReading {
    const { store } = this.#reached;
    const seen = store?.read() ?? this.reading;
    if (!this.#wasRead) this.reading = seen;
    this.#seen = seen.view;
    this.#base = baseOf(reading.record?.base, this.#rules.store);
    if (!this.#wasRead) this.knownNonce = this.#base?.nonce ?? null;
    this.#wasRead = true;
    this.#onDisk = reading.record === null ? null : { record: reading.record, base: this.#base };
    if (reading.record === null) {
      // A record that cannot be read now may be there again at the next boot: it is begun, and not written over.
      if (this.#seen === null) return reading;
      this.#note("the boot record is begun from what the bootloader's store says: its order, and what it gave up");
      return { ...reading, record: recordFromStore(this.#seen, this.#rules) };
    }
    if (this.#seen === null || this.#base === null) return reading;
    const { record, changes } = mergeStore(reading.record, this.#base, this.#seen, this.#facts());
    for (const change of changes) this.#note(change);
    // What was seen is known from here on, and written with the next change.
    this.#base = { ...this.#seen, store: this.#rules.store };
    return { ...reading, record };
  }

  #note(change: string): void {
    if (!this.merged.includes(change)) this.merged.push(change);
  }

  write(record: BootRecord): Written {
    if (!this.#wasRead) this.read();
    return this.#withoutStoreWhere(
      () => this.#writeBoth(record),
      (reason) => {
        this.#tell(`the bootloader's store is not written: ${reason}`);
        return this.#writeRecord(record, this.#base);
      },
    );
  }

  /** What nobody foresaw in a store's bytes must not end PID 1: the machine would restart for ever, uncounted. */
  #withoutStoreWhere<Result>(work: () => Result, without: (reason: string) => Result): Result {
    try {
      return work();
    } catch (error) {
      const isOfCode = error instanceof RangeError || error instanceof TypeError || error instanceof BadInput;
      if (!isOfCode || this.#rules.started === undefined) throw error;
      return without(`an error of slipway's own: ${error.message}`);
    }
  }

  #writeBoth(record: BootRecord): Written {
    const { store } = this.#reached;
    if (store === null) return this.#writeRecord(record, this.#base);
    const view = projectRecord(record, this.#nonceFor(record), this.#seen, this.#rules);
    const next = store.foresee(view);
    if (this.#seen !== null && sameView(next, this.#seen)) return this.#writeRecord(record, next);
    if (isStoreFirst(this.#onDisk, record, next, this.#facts())) {
      const seen = this.#writeStore(store, view);
      return this.#writeRecord(record, seen);
    }
    const outcome = this.#writeRecord(record, next);
    const seen = this.#writeStore(store, view);
    return seen !== null && sameView(seen, next) ? outcome : this.#writeRecord(record, seen);
  }

  appendJournal(entry: JournalEntry): Written {
    return this.#record?.appendJournal(entry) ?? { written: false, reason: "there is no place for it" };
  }

  updateJournal(attempt: number, change: JournalChange): Written {
    return this.#record?.updateJournal(attempt, change) ?? { written: false, reason: "there is no place for it" };
  }

  close(): void {
    this.#record?.close();
  }

  #facts(): MergeFacts {
    return { ...this.#rules, unixMs: this.#kernel.now().unixMs };
  }

  /**
   * Another one wherever a command puts another slot first: then the loader has something to obey. PID 1 keeps the one that the
   * loader echoed, which a second stage's command line has too.
   */
  #nonceFor(record: BootRecord): string | null {
    if (!this.#rules.traits.hasNonce) return null;
    const known = this.#base?.nonce ?? null;
    if (known === null || this.#seen === null || this.#seen.nonce === null) return newNonce();
    if (this.#rules.started !== undefined) return known;
    const wanted = projectRecord(record, known, this.#seen, this.#rules);
    return firstOf(wanted) === firstOf(this.#seen) ? known : newNonce();
  }

  /** What the store says afterwards; null where it says nothing that can be read. */
  #writeStore(store: LoaderStore, view: StoreView): StoreView | null {
    const outcome = store.write(view);
    if (!outcome.written) this.#tell(`the bootloader's store cannot be written: ${outcome.reason}`);
    const reading = store.read();
    this.#seen = reading.view;
    // Attributes that give up all slots are zeros, as those that nobody wrote.
    return outcome.written && reading.condition === "empty" ? view : reading.view;
  }

  /** Without a view that was seen the store is written again at the next change, whatever it says then. */
  #writeRecord(record: BootRecord, seen: StoreView | null): Written {
    const { base: _, ...rest } = record;
    const base: StoreBase | null = seen === null ? null : { slots: seen.slots, nonce: seen.nonce, store: this.#rules.store };
    const written = base === null ? rest : { ...rest, base };
    const outcome = this.#record?.write(written) ?? { written: false, reason: "its place was not found" };
    if (outcome.written) {
      this.#onDisk = { record: written, base };
      this.#base = base;
    }
    return outcome;
  }
}

function nowhere(): RecordReading {
  return { condition: "unreadable", record: null, sequence: 0, nextCopy: 0, reason: "no device" };
}
