import type { Proof } from "../../boot/image/judge-seal.ts";
import type { Manifest } from "../../boot/image/seal.ts";
import type { DmStep } from "../../boot/image/verity-table.ts";
import type { BootRecord, ImageId, SlotName, Stage } from "../../boot/record/record.ts";
import type { RecordReading } from "../../boot/record/store.ts";
import type { BootReport } from "../../boot/report.ts";
import type { PreviousAttempt } from "../../boot/selection/begin.ts";
import type { Skipped } from "../../boot/selection/skipped.ts";
import type { GenerationPlan } from "../../state-ops/planned-generation.ts";
import type { StateStep } from "../../state-ops/state-plan.ts";

/** Something that PID 1 would change. What only reads, and what is written to the log and the journal, is left out. */
export type Effect =
  | { do: "set-clock"; unixMs: number }
  | { do: "watchdog"; timeout: number }
  /** A whole record, written to the copy at `offset` bytes. */
  | { do: "record"; device: string; sequence: number; offset: number; record: BootRecord }
  /** Whether the kernel refuses every write to the device from here on. */
  | { do: "set-read-only"; device: string; readOnly: boolean }
  /** The file becomes a block device, for reading only. */
  | { do: "attach"; device: string; file: string }
  | ({ do: "device-mapper" } & DmStep)
  /** A signature of a root hash, of `length` bytes, for the kernel. */
  | { do: "add-key"; name: string; length: number }
  /** `flags` are the MS_* bits of mount(2). */
  | { do: "mount"; source: string; target: string; type: string; flags: number; data: string }
  /** `flags` are the MNT_* bits of umount2(2). */
  | { do: "unmount"; target: string; flags: number }
  | { do: "make-directory"; path: string }
  | { do: "rename"; from: string; to: string; exclusive: boolean }
  | { do: "write"; path: string; text: string }
  | { do: "change-root" }
  | { do: "execute"; program: string; args: string[]; environment: Record<string, string> }
  | { do: "restart" };

/** What PID 1 would do. `schema` changes when a reader of an older version would be misled. */
export interface BootPlan {
  schema: 1;
  system: string;
  start: StartPlan;
  devices: DevicesPlan;
  /** Null where the boot ends before the record. */
  record: RecordPlan | null;
  /** In the order they are tried in. */
  attempts: SlotPlan[];
  end: HandoverPlan | RecoverPlan | HoldPlan | LeavePlan;
  /** What the running system would read of as well. */
  warnings: string[];
  /** What could not be looked at, and what the plan takes for granted instead. */
  unknown: string[];
}

export interface StartPlan {
  commandLine: string;
  /** Words that PID 1 obeys, as sentences. */
  obeyed: string[];
  watchdog: string;
  effects: Effect[];
}

export interface DevicesPlan {
  disk: string | null;
  why: string;
  recordDevice: string | null;
  /** For devices that are not there, up to the end of the boot. */
  waitedSeconds: number;
}

export interface RecordPlan {
  device: string | null;
  condition: RecordReading["condition"];
  /** Why it is unreadable, or what is wrong with one copy; null when nothing is. */
  reason: string | null;
  writable: boolean;
  previous: PreviousAttempt | null;
  /** As this boot takes it up. */
  taken: BootRecord;
  effects: Effect[];
}

/** A slot that is tried, or that its selection ends with. */
export interface SlotPlan {
  slot: SlotName;
  why: string;
  /** Slots before it that are no candidates. */
  skipped: Skipped[];
  /** Null where no try can be counted. */
  attempt: { number: number; trial: boolean; triesBefore: number; triesAfter: number; counted: boolean };
  device: string | null;
  imageId: ImageId | null;
  /** Null where the slot failed before. */
  proof: PlannedProof | null;
  /** What the checks of the image showed, a sentence each. */
  checks: string[];
  /** The next init in the image; null where the slot failed before, or nobody could look. */
  init: string | null;
  /** Null where the slot failed before. */
  state: StatePlan | null;
  failure: { stage: Stage; kind: "proof" | "boot" | "device"; reason: string } | null;
  /** In order: those of selection, image, state, and of leaving the slot where it failed. */
  effects: { count: Effect[]; image: Effect[]; state: Effect[]; leave: Effect[] };
}

export interface StatePlan {
  /** The data filesystem; null where none is used. */
  data: BootReport["data"];
  /** Null where there is none, or it is unknown. */
  generation: GenerationPlan | null;
  /** One sentence about the state as a whole. */
  why: string;
  steps: StateStep[];
  /** What becomes of the state that is not as in an ordinary boot. */
  notes: string[];
  degraded: { path: string; reason: string }[];
  /** Persistent state is in memory, since a recovery wants it so. */
  safeMode: boolean;
}

export interface HandoverPlan {
  do: "hand-over";
  slot: SlotName;
  init: string;
  /** What the system reads in /run/slipway/boot.json, without the times. */
  report: BootReport;
  effects: Effect[];
}

/** A recovery begins: what it finds outside the machine is not known, so that no more can be told than what it tries. */
export interface RecoverPlan {
  do: "recover";
  /** Why it begins: "no slot boots", "slipway.recover asks for it". */
  cause: string;
  skipped: Skipped[];
  /** In order, as long as each comes to nothing. */
  steps: string[];
  effects: Effect[];
}

export interface HoldPlan {
  do: "hold";
  /** Why no slot could be looked at; null when they were. */
  reason: string | null;
  skipped: Skipped[];
  rearmed: SlotName | null;
  pauseSeconds: number;
  effects: Effect[];
}

/** The slot that the bootloader chose does not boot, and is left to its count. */
export interface LeavePlan {
  do: "leave";
  skipped: Skipped[];
  effects: Effect[];
}

/** As the sequence's ProvenImage. */
export interface PlannedProof {
  proof: Proof;
  signers: string[];
  manifest: Manifest | null;
  /** Null where nothing is checked block by block. */
  verity: { device: string; options: string[]; arm: Effect[] } | null;
}
