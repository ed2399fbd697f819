import type { ImageId, SlotName } from "./record/record.ts";

/** `/run/slipway/boot.json`: what PID 1 decided and did in this boot, for the running system to read. */
export interface BootReport {
  schema: 1;
  /** Version of the control file format that this initrd reads. */
  controlFormat: number;
  /** Abilities of this initrd that an image's seal may ask for. Left out where it has none. */
  features?: string[];
  attempt: number;
  slot: SlotName;
  imageId: ImageId;
  /** Device node of the slot: "/dev/vda2". */
  slotDevice: string;
  trial: boolean;
  /** One sentence: why this slot. */
  why: string;
  /** Slots that were looked at before, best first, and why each did not boot. */
  skipped: { slot: SlotName; reason: string }[];
  /**
   * Set when this boot is a rollback: the slot under trial or asked for that was left, its image, why, its last attempt and
   * when that began, milliseconds since the epoch. `attempt` is null where it was before the last boot, `startedUnixMs` also
   * where it was in this very boot.
   */
  rollback: {
    from: SlotName;
    imageId: ImageId | null;
    reason: string;
    attempt: number | null;
    startedUnixMs: number | null;
  } | null;
  record: { condition: "valid" | "empty" | "unreadable"; writable: boolean; device: string | null };
  /** Number of the generation that holds the persistent state, "000017"; null without one. */
  generation: string | null;
  /** The data filesystem that was used; null where none was. `uuid` is "unknown" where its superblock has none. */
  data: { device: string; filesystem: string; uuid: string } | null;
  /** What became of the state that is not as in an ordinary boot: lost, carried over, reset, merged. One sentence each. */
  stateNotes: string[];
  /** Operators that got a tmpfs instead of their store. */
  degraded: { path: string; reason: string }[];
  /** Everything else that was not as declared: unknown words on the command line, `rw` ignored, drift. */
  warnings: string[];
  /** Parts of the boot in order; milliseconds since kernel start. */
  timeline: { name: string; startMs: number; lengthMs: number }[];
}

/** Places in the running system. */
export const RUN = {
  directory: "/run/slipway",
  report: "/run/slipway/boot.json",
  /** Exists until the image of this boot is committed. */
  uncommitted: "/run/slipway/uncommitted",
  lock: "/run/slipway/lock",
  /** Held by the one that writes to a slot, for as long as that takes. */
  installLock: "/run/slipway/install.lock",
  /** The initrd's control file, copied there at the handover. */
  control: "/run/slipway/control.json",
} as const;
