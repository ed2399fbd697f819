import type { BlockDevice } from "../../boot/devices/block-device.ts";
import type { JournalEntry, Outcome } from "../../boot/record/journal.ts";
import type { BootRecord, ImageId, SlotName, Stage } from "../../boot/record/record.ts";
import { freshRecord, type RecordReading } from "../../boot/record/store.ts";
import { beginPass } from "../../boot/recovery/changes.ts";
import { recoveryOf } from "../../boot/recovery/known.ts";
import type { LeftSlot } from "../../boot/recovery/ladder.ts";
import type { BootReport } from "../../boot/report.ts";
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
import { giveUp } from "../../boot/selection/give-up.ts";
import { type Policy, policyOf, slotCalled } from "../../boot/selection/policy.ts";
import type { Selection } from "../../boot/selection/select.ts";
import { rollbackOf, type Skipped } from "../../boot/selection/skipped.ts";
import { type Degraded, degradedNotes } from "../../state-ops/data-use.ts";
import { BootRecordStore, type RecordKeeper } from "../store/boot-record.ts";
import { openRecordDevice, type RecordDevice } from "../store/record-device.ts";
import { readBootId } from "./boot-id.ts";
import type { BootMirror } from "./boot-mirror.ts";
import type { Launch } from "./launch.ts";
import { ToldAttempts } from "./told-attempts.ts";

/** What there is to remember of the state that the system is handed. */
export interface HandedState {
  /** UUID of the data filesystem that is used; null where none is. */
  dataFilesystem: string | null;
  degraded: readonly Degraded[];
  notes: readonly string[];
}

/**
 * Boot record and journal during a boot: what the pure rules of boot/selection/ decide is made durable here, in the order
 * that keeps a try counted before anything of its slot is used.
 */
export class Counters {
  readonly #launch: Launch;
  readonly #policy: Policy;
  readonly #store: RecordKeeper | null;
  readonly #failed = new Map<SlotName, string>();
  readonly #left = new Map<SlotName, LeftSlot>();
  /** Whether a try was counted in this boot. */
  #counted = false;
  #record: BootRecord;
  readonly condition: RecordReading["condition"];
  /** The last 32 attempts before this boot, last written first. */
  readonly journal: JournalEntry[];
  readonly previous: PreviousAttempt | null;
  /** Where the boot record is, or the data filesystem that holds it; null where it was not found. */
  readonly device: string | null;
  /** What opens the place once more, where the network's profile is kept beside the record. */
  readonly profile: string | null;
  readonly #told: ToldAttempts;
  /** The last attempt of each slot that this boot knows of. */
  readonly #lastAttempts = new Map<SlotName, number>();

  /**
   * `device` is null where no partition for the record was found: then nothing can be counted.
   *
   * @param file the record, where it is a file on `device`; null where that cannot be opened
   * @param mirror null where the record is the only store
   */
  constructor(
    launch: Launch,
    device: BlockDevice | null,
    file?: RecordDevice | null,
    readonly mirror: BootMirror | null = null,
  ) {
    this.#launch = launch;
    this.#policy = policyOf(launch.control);
    this.device = device?.path ?? null;
    const bootId = readBootId(launch.kernel);
    const own = file ? new BootRecordStore(launch.kernel, file) : file === null ? null : this.#open(device);
    this.profile = own?.path ?? null;
    this.#store = mirror?.mirror(own) ?? own;
    this.#told = new ToldAttempts(launch, this.#store, bootId);
    const read = this.#store?.read() ?? null;
    this.condition = read?.record.condition ?? "unreadable";
    this.journal = read?.journal ?? [];
    if (this.condition === "unreadable") {
      launch.warn(`boot record unreadable (${read?.record.reason ?? "no device"}): slots are tried in order, as trials`);
    } else if (this.condition === "empty") launch.log.notice("boot record empty: slots are tried in order, as trials");
    for (const change of mirror?.read() ?? []) this.#told.merged(change);
    const unwritable = this.#store?.unwritableReason ?? null;
    if (unwritable !== null) launch.warn(`boot record cannot be written: ${unwritable}`);
    this.#told.begin();
    const begun = beginBoot(read?.record.record ?? freshRecord(this.#policy), this.#policy, launch.words.kexec);
    for (const note of begun.notes) launch.warn(note);
    this.#record = begun.record;
    this.previous = begun.previous;
    if (this.previous) this.#lastAttempts.set(this.previous.slot, this.previous.attempt);
    if (this.previous) this.#closePrevious(this.previous);
  }

  get record(): BootRecord {
    return this.#record;
  }
  get writable(): boolean {
    return this.#store?.writable ?? false;
  }
  get failed(): ReadonlyMap<SlotName, string> {
    return this.#failed;
  }
  /** How the attempts that failed in this boot did. */
  get left(): ReadonlyMap<SlotName, LeftSlot> {
    return this.#left;
  }

  /** What failed in this boot is tried again: one slot, or all. */
  forgetFailures(slots: readonly SlotName[] = [...this.#failed.keys()]): void {
    for (const slot of slots) {
      this.#failed.delete(slot);
      this.#left.delete(slot);
    }
  }

  /**
   * Makes a change of a recovery durable; the boot goes on with it whether it is or not. False where it reached no disk.
   */
  change(changed: BootRecord): boolean {
    this.#record = changed;
    return this.#write();
  }

  /** A line for the boot journal about what a recovery did: with the last attempt of this boot, and with those to come. */
  tellRecovered(line: string): void {
    this.#told.recovered(line, this.#counted ? this.attempt : null);
  }

  #open(device: BlockDevice | null): BootRecordStore | null {
    if (device === null) return null;
    try {
      return new BootRecordStore(this.#launch.kernel, openRecordDevice(this.#launch.kernel, device.path));
    } catch (error) {
      this.#launch.warn(`boot record: ${error instanceof Error ? error.message : error}`);
      return null;
    }
  }

  #closePrevious(previous: PreviousAttempt): void {
    const { slot, stage, ended, attempt } = previous;
    if (ended === "clean") return;
    const entry = this.journal.find((candidate) => candidate.attempt === attempt);
    const reason = entry?.reason ?? `no clean shutdown was seen after stage ${stage} (power cut, hang or crash)`;
    if (entry?.outcome !== "good" && entry?.outcome !== "failed") this.#told.update(attempt, { outcome: "unclean", reason });
    this.#launch.log.notice(`the last boot (attempt ${attempt}, slot ${slot}) ended uncleanly at stage ${stage}`);
  }

  /** Chooses the next slot to try in this boot. */
  choose(): Selection {
    const { words, control } = this.#launch;
    const preferred = words.slot && slotCalled(words.slot.name, control.slots);
    const facts = { preferred, failed: this.#failed, recordWritable: this.writable };
    return chooseSlot(this.#record, facts, this.#policy, this.condition);
  }

  /**
   * Counts a try of `slot` and makes that durable. False when only this showed that the record cannot be written: nothing is
   * counted then, and {@link choose} says which slot may boot all the same.
   */
  count(slot: SlotName): boolean {
    const wasWritable = this.writable;
    const before = this.#record;
    this.#record = countTry(before, slot);
    this.#told.begin();
    if (!this.#write() && wasWritable) {
      this.#record = before;
      return false;
    }
    this.#lastAttempts.set(slot, this.attempt);
    this.#counted = true;
    this.#journal("counted", "running", null);
    return true;
  }

  /** Takes note of the image found in the slot that was counted. Throws where an uncounted boot would try a new image. */
  identify(slot: SlotName, imageId: ImageId): void {
    const identified = identifyImage(this.#record, slot, imageId, this.#policy);
    const changed = JSON.stringify(identified.record) !== JSON.stringify(this.#record);
    this.#record = identified.record;
    if (identified.note !== null) this.#launch.warn(identified.note);
    if (changed) this.#write();
    this.#journal("image", "running", null);
    // What recovery has put there, and proven, is the best that there is: it boots uncounted too.
    const { current } = recoveryOf(this.#record);
    if (current !== null && current.slot === slot && current.imageId === imageId) return;
    const { trial, writable: recordWritable, condition } = this;
    const refused = refuseUncounted(slot, { trial, recordWritable, condition });
    if (refused !== null) throw new Error(refused);
  }

  /** Why the slot is to be read whole before it is used; null where it is not. */
  get whyReadWhole(): string | null {
    return whyReadWhole(this.#record, this.previous);
  }

  /** The slot under attempt was read whole and is sound. */
  wholeSlotRead(): void {
    this.#record = wholeSlotRead(this.#record);
    this.#write();
  }

  /** Whether the attempt under way is a trial. */
  get trial(): boolean {
    return this.#record.attempt?.trial ?? true;
  }

  /** Number of the attempt under way. */
  get attempt(): number {
    return this.#record.attempt?.number ?? 0;
  }

  /** A further stage was reached; only the journal tells. `reason`: what it is to say where nothing comes after it. */
  reach(stage: Stage, reason: string | null = null): void {
    this.#journal(stage, "running", reason);
  }

  /** The attempt under way failed in PID 1, which goes on with another slot, or restarts where that is too late. */
  fail(slot: SlotName, failure: Failure, stage: Stage): void {
    this.#failed.set(slot, failure.reason);
    this.#left.set(slot, { ...failure, stage });
    this.#record = failAttempt(this.#record, failure);
    this.#launch.log.error(`slot ${slot} failed: ${failure.reason}`);
    this.#write();
    this.#journal(stage, "failed", failure.reason);
  }

  /** The last write before the system takes over. The exec closes the record's device; until then a failure can be noted. */
  handOver(state: HandedState): void {
    const dataFilesystem = state.dataFilesystem ?? this.#record.dataFilesystem;
    this.#record = reachHandover({ ...this.#record, dataFilesystem }, state.degraded.length > 0);
    this.#told.notes = [...degradedNotes(state.degraded), ...state.notes];
    this.#write();
    this.#journal("handover", "running", null);
  }

  /** No slot is left: re-arms one, and lets a recovery begin anew. Returns which, and how long to wait before the restart. */
  giveUp(): { rearmed: SlotName | null; pauseSeconds: number } {
    const given = giveUp(this.#record, this.#policy, this.#launch.control.recovery.longestPause);
    this.#record = beginPass(given.record);
    // What does not reach the disk re-arms nothing.
    return { rearmed: this.#write() ? given.rearmed : null, pauseSeconds: given.pauseSeconds };
  }

  /** The rollback that this boot of `slot` is: the best slot that was left for it, and why. */
  rollbackFor(slot: SlotName, skipped: Skipped[]): BootReport["rollback"] {
    return rollbackOf(this.#record, slot, skipped, { last: this.#lastAttempts, journal: this.journal });
  }

  #write(): boolean {
    if (this.#store === null) return false;
    const before = this.#store.writable;
    const outcome = this.#store.write(this.#record);
    if (!outcome.written && before) this.#launch.warn(`boot record cannot be written: ${outcome.reason}`);
    return outcome.written;
  }

  #journal(stage: Stage, outcome: Outcome, reason: string | null): void {
    this.#told.tell(this.#record.attempt, { stage, outcome, reason });
  }
}
