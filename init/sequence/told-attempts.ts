import { type JournalEntry, MOST_NOTES } from "../../boot/record/journal.ts";
import type { Attempt } from "../../boot/record/record.ts";
import type { JournalChange, RecordKeeper } from "../store/boot-record.ts";
import type { Launch } from "./launch.ts";

/** What the boot journal says of the attempts of a boot. That it cannot be written is said, and keeps nothing from happening. */
export class ToldAttempts {
  readonly #launch: Launch;
  readonly #store: RecordKeeper | null;
  /** Nothing where the kernel does not tell. */
  readonly #bootId: Pick<JournalEntry, "bootId">;
  /** What the recovery of this boot did, and others before it, one line each. */
  #recovered: string[] = [];
  #startedUnixMs = 0;
  /** What became of the state of the attempt under way. */
  notes: readonly string[] = [];

  constructor(launch: Launch, store: RecordKeeper | null, bootId: Pick<JournalEntry, "bootId">) {
    this.#launch = launch;
    this.#store = store;
    this.#bootId = bootId;
  }

  /** From now on another attempt is told of. */
  begin(): void {
    this.#startedUnixMs = this.#launch.kernel.now().unixMs;
    this.notes = [];
  }

  /** What others changed in the bootloader's store: told with every attempt of this boot. */
  merged(change: string): void {
    this.#launch.log.notice(change);
    this.#recovered.push(change);
  }

  /** What a recovery did: told with the attempts to come, and with the last one, whose number is `attempt`. */
  recovered(line: string, attempt: number | null): void {
    // Of a recovery that takes long the newest lines are worth most.
    this.#recovered = [...this.#recovered.filter((told) => told !== line), line].slice(-MOST_NOTES);
    if (attempt !== null) this.update(attempt, { notes: this.#allNotes() });
  }

  /** Writes the entry of an attempt under way, as far as it came; nothing where there is none. */
  tell(attempt: Attempt | null, how: Pick<JournalEntry, "stage" | "outcome" | "reason">): void {
    if (attempt === null || this.#store === null) return;
    const { number, slot, imageId, trial } = attempt;
    const told = { ...how, startedUnixMs: this.#startedUnixMs, ...this.#bootId, notes: this.#allNotes() };
    const written = this.#store.appendJournal({ attempt: number, slot, imageId, trial, ...told });
    if (!written.written) this.#launch.log.warning(`boot journal: ${written.reason}`);
  }

  /** Changes an entry that was written before. */
  update(attempt: number, change: JournalChange): void {
    const written = this.#store?.updateJournal(attempt, change);
    if (written && !written.written) this.#launch.log.warning(`boot journal: ${written.reason}`);
  }

  #allNotes(): string[] {
    return [...this.#launch.stateNotes, ...this.notes, ...this.#recovered];
  }
}
