import type { BlockDevice } from "../../boot/devices/block-device.ts";
import type { JournalEntry } from "../../boot/record/journal.ts";
import type { BootRecord, SlotName, Stage } from "../../boot/record/record.ts";
import { freshRecord, RECORD_LAYOUT, type RecordReading } from "../../boot/record/store.ts";
import { beginPass } from "../../boot/recovery/changes.ts";
import type { LeftSlot } from "../../boot/recovery/ladder.ts";
import {
  countTry,
  type Failure,
  failAttempt,
  identifyImage,
  reachHandover,
  wholeSlotRead,
} from "../../boot/selection/attempt.ts";
import { beginBoot, type PreviousAttempt, whyReadWhole } from "../../boot/selection/begin.ts";
import { chooseSlot, refuseUncounted } from "../../boot/selection/choose.ts";
import { type Following, followLoader, type LoaderWord, lastReasons, meetLoader } from "../../boot/selection/follow.ts";
import { giveUp } from "../../boot/selection/give-up.ts";
import type { Policy } from "../../boot/selection/policy.ts";
import type { RecordFacts } from "./facts.ts";
import type { Effect } from "./plan-shape.ts";

/** The boot record through a planned boot: the same rules in the same order as the sequence's counters, nothing written. */
export class PlannedRecord {
  readonly condition: RecordReading["condition"];
  readonly reason: string | null;
  readonly writable: boolean;
  readonly device: string | null;
  readonly previous: PreviousAttempt | null;
  readonly notes: string[];
  readonly failed = new Map<SlotName, string>();
  readonly left = new Map<SlotName, LeftSlot>();
  /** As it is before this boot. */
  readonly journal: readonly JournalEntry[];
  /** The last attempt of each slot that this boot knows of. */
  readonly lastAttempts = new Map<SlotName, number>();
  readonly #policy: Policy;
  readonly #preferred: SlotName | null;
  readonly #choice: LoaderWord | null;
  #record: BootRecord;
  #sequence: number;
  #copy: 0 | 1;
  #effects: Effect[] = [];

  /**
   * `device` is null where no partition for the record was found.
   *
   * @param preferred the slot that is asked for, where slipway chooses
   * @param choice what the bootloader said, where it chooses
   */
  constructor(
    facts: RecordFacts | null,
    device: BlockDevice | null,
    policy: Policy,
    { preferred, choice }: { preferred: SlotName | null; choice: LoaderWord | null },
  ) {
    const readable = facts !== null && facts.fault === null;
    this.condition = readable ? facts.condition : "unreadable";
    this.reason = readable ? facts.reason : (facts?.fault ?? "no device");
    this.writable = readable && facts.unwritable === null;
    this.device = device?.path ?? null;
    const begun = beginBoot((readable ? facts.record : null) ?? freshRecord(policy), policy);
    this.#record = begun.record;
    this.previous = begun.previous;
    this.journal = readable ? facts.journal : [];
    if (this.previous) this.lastAttempts.set(this.previous.slot, this.previous.attempt);
    this.notes = [
      ...(readable || facts === null ? [] : [`boot record: ${facts.fault}`]),
      ...(this.condition === "unreadable"
        ? [`boot record unreadable (${this.reason ?? "no device"}): slots are tried in order, as trials`]
        : []),
      ...(readable && facts.unwritable !== null ? [`boot record cannot be written: ${facts.unwritable}`] : []),
      ...begun.notes,
    ];
    this.#policy = policy;
    this.#preferred = preferred;
    this.#choice = choice;
    this.#sequence = (readable ? facts.sequence : 0) + 1;
    this.#copy = readable ? facts.nextCopy : 0;
    const met = choice === null ? this.#record : meetLoader(this.#record, choice.named, policy);
    if (met.spentNamed !== this.#record.spentNamed) this.#write(met);
  }

  get record(): BootRecord {
    return this.#record;
  }

  get trial(): boolean {
    return this.#record.attempt?.trial ?? true;
  }

  get attempt(): number {
    return this.#record.attempt?.number ?? 0;
  }

  /** The effects since they were taken last. */
  takeEffects(): Effect[] {
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  choose(): Following {
    const { failed, writable: recordWritable, condition } = this;
    if (this.#choice !== null) {
      const facts = { ...this.#choice, failed, recordWritable, lastReasons: lastReasons(this.journal) };
      return followLoader(this.#record, facts, this.#policy, condition);
    }
    const facts = { preferred: this.#preferred, failed, recordWritable };
    return { ...chooseSlot(this.#record, facts, this.#policy, condition), leaves: null, alarms: [] };
  }

  count(slot: SlotName): void {
    this.#write(countTry(this.#record, slot));
    this.lastAttempts.set(slot, this.attempt);
  }

  /** Takes note of the image in the slot. Returns a warning, or null. Throws Error where an uncounted boot would try a new image. */
  identify(slot: SlotName, imageId: string): string | null {
    const { record, note } = identifyImage(this.#record, slot, imageId, this.#policy);
    if (JSON.stringify(record) !== JSON.stringify(this.#record)) this.#write(record);
    const { trial, writable: recordWritable, condition } = this;
    const refused = refuseUncounted(slot, { trial, recordWritable, condition });
    if (refused !== null) throw new Error(refused);
    return note;
  }

  get whyReadWhole(): string | null {
    return whyReadWhole(this.#record, this.previous);
  }

  wholeSlotRead(): void {
    this.#write(wholeSlotRead(this.#record));
  }

  fail(slot: SlotName, failure: Failure, stage: Stage): void {
    this.failed.set(slot, failure.reason);
    this.left.set(slot, { ...failure, stage });
    this.#write(failAttempt(this.#record, failure));
  }

  handOver(dataFilesystem: string | null, degraded: boolean): void {
    const known = dataFilesystem ?? this.#record.dataFilesystem;
    this.#write(reachHandover({ ...this.#record, dataFilesystem: known }, degraded));
  }

  /** What a recovery that is asked for, or is over, makes of it. */
  change(record: BootRecord): void {
    this.#write(record);
  }

  giveUp(): { rearmed: SlotName | null; pauseSeconds: number } {
    const { record, rearmed, pauseSeconds } = giveUp(this.#record, this.#policy);
    this.#write(beginPass(record));
    return { rearmed, pauseSeconds };
  }

  #write(record: BootRecord): void {
    this.#record = record;
    if (!this.writable || this.device === null) return;
    const offset = RECORD_LAYOUT.copyOffsets[this.#copy];
    this.#effects.push({ do: "record", device: this.device, sequence: this.#sequence, offset, record });
    this.#sequence++;
    this.#copy = this.#copy === 0 ? 1 : 0;
  }
}
