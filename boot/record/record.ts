import type { RecoveryRecord } from "../recovery/step.ts";
import type { ImageId, SlotName } from "./names.ts";

export type { ImageId, SlotName } from "./names.ts";

/**
 * The boot record: what the machine remembers of its slots from one boot to the next. It is the single source of truth
 * for which slot boots; see record/store.ts for its bytes and selection/ for what changes it.
 */

/**
 * What the image in a slot is to us. `empty`: nothing was put there yet. `trial`: not committed yet.
 * `committed`: this very image was committed in this slot.
 */
export type SlotState = "empty" | "trial" | "committed";

export interface SlotRecord {
  state: SlotState;
  /** Rank among the slots: higher boots first; 1 is the lowest. No two slots share one. */
  priority: number;
  /** Attempts left. At 0 the slot is no candidate. */
  tries: number;
  /** The image that state and tries belong to; null until it was first read. */
  imageId: ImageId | null;
  /** Tries handed back for clean shutdowns since the last good boot, at most 3. Always 0 on trial. */
  credits: number;
  /** Why the slot's image failed its proof; null when it did not. Cured by repair or install. */
  damaged: string | null;
  /**
   * Rollback index of the sealed image that was committed here. Left out where none was, and in records of versions that knew
   * no seals: those read either.
   */
  rollbackIndex?: number;
  /** Why the slot was given up ("marked bad by operator", "trial used up after 3 tries"); null when it was not. */
  reason: string | null;
}

/** How far an attempt came. Written to the record only at `counted` and `handover`; the journal holds all. */
export type Stage = "counted" | "image" | "state" | "handover" | "good";

/** The attempt that is under way, or the last one. */
export interface Attempt {
  /** Counts for ever, from 1. */
  number: number;
  slot: SlotName;
  imageId: ImageId | null;
  /** Whether the slot was on trial when this attempt was counted. */
  trial: boolean;
  stage: Stage;
  /**
   * A clean shutdown was seen. An attempt that is followed by a boot without it ended uncleanly. True with stage
   * `counted`: PID 1 itself ended the attempt, or a later boot has counted its end; nothing waits for it.
   */
  cleanEnd: boolean;
  /**
   * Its system ran with memory in the place of some of its state. Left out where it did not, and in records of versions that
   * did not tell: those read either.
   */
  degraded?: true;
  /** PID 1 starts the slot's own kernel, and a second stage goes on. Left out before, and from then on. */
  kexec?: KexecStart;
}

/** What the stage that counted an attempt leaves to the one on the slot's own kernel. */
export interface KexecStart {
  /** 16 hex digits, on that kernel's command line too. */
  nonce: string;
  /** How the last try of the slot's image ended (endOfLastTry of selection/begin.ts). */
  previousEnd: "clean" | "unclean" | "none";
}

export interface Quarantine {
  imageId: ImageId;
  reason: string;
  attempt: number;
}

export interface LastCommitted {
  slot: SlotName;
  imageId: ImageId;
  /**
   * Number of the attempt that was good: it tells a state that a recovery made and that was committed from one that was only
   * tried. 0 where it was before the first recovery; left out on a machine that never had one.
   */
  attempt?: number;
}

export interface BootRecord {
  schema: 1;
  /** By name; the control file's slots, whatever else the record held is dropped. */
  slots: Record<SlotName, SlotRecord>;
  attempt: Attempt | null;
  /** Where the last commit was; the committed generation of the state is derived from it. */
  lastCommitted: LastCommitted | null;
  /** Unclean ends in a row; a clean shutdown clears them, and a slot that was read whole and is sound; commit does not. */
  uncleanEnds: number;
  /** Boots in a row that found no slot to boot; cleared by a good boot. Sets the pause before the next. */
  exhausted: number;
  quarantined: Quarantine[];
  /** UUID of the data filesystem this record belongs to; null until it was first mounted. */
  dataFilesystem: string | null;
  /**
   * What a rollback index must not be below: `install`, the highest that was ever committed, for what is installed; `boot`,
   * what a committed seal revoked, for what boots. Left out while nothing sealed was committed.
   */
  floors?: { install: number; boot: number };
  /** The highest serial that was seen of each channel, by name. Left out while none was. */
  channelSerials?: Record<string, number>;
  /** A recovery that was asked for, or is not over. Left out while none is. */
  recovery?: RecoveryRecord;
  /**
   * Boots in a row in which the bootloader named a slot that had nothing left to try, while another could boot. Left out while
   * there are none, and where the loader does not choose.
   */
  spentNamed?: number;
  /** Restarts in a row by which the firmware was asked for a trial that did not come up. Left out while there are none. */
  trialsAsked?: number;
  /** What the running system knows of its bootloaders (bootloader/record.ts). PID 1 keeps it as it is. Left out where it knows none. */
  bootloader?: object;
  /**
   * What the bootloader's store said when it was last read or written (boot/stores/base.ts reads it). Left out where slipway's
   * record is the only store.
   */
  base?: object;
  /** Wall clock at the last good boot or shutdown, milliseconds since the epoch: part of the clock's floor. */
  lastKnownUnixMs: number;
}
