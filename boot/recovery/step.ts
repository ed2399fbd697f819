/** What a recovery did, as the boot record remembers it and the report tells it. */
import type { Rung } from "../../state-ops/recovery.ts";
import type { ImageId, SlotName } from "../record/names.ts";

/** What was tried of a ladder: a rung on a slot, and the image that was in it, or that was put there. */
export interface TriedStep {
  rung: Rung;
  slot: SlotName;
  imageId: ImageId | null;
}

/** What the boot record knows of a recovery that is not over: it is when a system is committed, or was good again. */
export interface RecoveryRecord {
  /** A recovery that somebody asked for and that has not begun: at a rung, or from the ladder's first. */
  asked: Rung | "ladder" | null;
  /**
   * What was begun since a system was good, or since the ladder began anew, oldest first; at most {@link MOST_TRIED}, the newest.
   * An `imageId` of null: an image was looked for.
   */
  tried: TriedStep[];
  /** The step whose system is booted, for as long as its slot holds that image: how its state is laid. */
  current: TriedStep | null;
  /** How often the newest of `tried` was begun, since the power failed meanwhile. Left out where it was once. */
  begun?: number;
  /**
   * What `slipway.recover` on the command line asked for when it was obeyed last. A word that stays there is not obeyed again; a
   * boot without it forgets this. Left out where it was not obeyed.
   */
  obeyed?: Rung | "ladder";
}

/** Keeps a record within its area. */
export const MOST_TRIED = 24;

/** A step that so many power cuts, or hangs, fell into is given up for the next one. */
export const MOST_BEGUN = 32;

/** `booted`: a system was handed over to. `failed`: it was tried. `passed`: there was nothing that it could have been tried with. */
export type StepOutcome = "booted" | "failed" | "passed";

/** One step as the report tells it. Times are milliseconds since kernel start. */
export interface ToldStep {
  rung: Rung;
  slot: SlotName | null;
  outcome: StepOutcome;
  /** One sentence: why it was taken, why it failed, or why it was passed over. */
  reason: string;
  startMs: number;
  lengthMs: number;
  /** What the slot was made to hold; null where nothing was installed or repaired. */
  installed: { version: string; imageId: ImageId; source: string; place: SourcePlace } | null;
  /** Bytes that came over the network, headers aside. */
  networkBytes: number;
  /** Bytes that were written to the slot. */
  writtenBytes: number;
}

/** Where an image came from. */
export type SourcePlace = "slots" | "factory" | "media" | "mirror";

/** The recovery of a boot, in boot.json. */
export interface ToldRecovery {
  /** Who asked for it: "slipway.recover", the request's file, a command; null: no slot was left. */
  asked: string | null;
  /** The rung that is booted; null where the steps did not lead to this boot. */
  rung: Rung | null;
  steps: ToldStep[];
  /** How the network was reached; null where it was not needed, or not reached. */
  network: { link: string; by: string; addresses: string[] } | null;
  /** Where the report went; null where there is nobody to tell, or it was not told yet. */
  reportedTo: string | null;
}
