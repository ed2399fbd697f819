import type { Proof } from "./image/judge-seal.ts";
import type { Manifest } from "./image/seal.ts";
import type { ImageId, SlotName } from "./record/record.ts";
import type { ToldRecovery } from "./recovery/step.ts";
import type { ToldLoader } from "./stores/told-loader.ts";

/** `/run/slipway/boot.json`: what PID 1 decided and did in this boot, for the running system to read. */
export interface BootReport {
  schema: 1;
  /** Version of the control file format that this initrd reads. */
  controlFormat: number;
  /** What else this initrd can do for an image: those of seal.ts that it has. */
  features: string[];
  attempt: number;
  slot: SlotName;
  imageId: ImageId;
  /** What the image's seal says; null where it has none. */
  image: {
    system: string;
    version: string;
    rootHash: string;
    filesystemSize: number;
    rollbackIndex: number;
    revokesBelow: number | null;
    /** As the seal has it, so that the image can be read whole against its tree. */
    salt: string;
  } | null;
  /**
   * `signed`: by keys that the initrd trusts. `unsigned`: the image is what its own seal says, which anybody may have written.
   * `none`: nothing was checked.
   */
  proof: Proof;
  /** Ids of the trusted keys that signed the seal. */
  signers: string[];
  /** The dm-verity device that is mounted, and what the kernel does where a block is bad; null without one. */
  verity: { device: string; options: string[] } | null;
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
  /** Left out where the boot record is the only store and slipway chooses. */
  loader?: ToldLoader;
  /** Number of the generation that holds the persistent state, "000017"; null without one. */
  generation: string | null;
  /** The data filesystem that was used; null where none was. `uuid` is "unknown" where its superblock has none. */
  data: { device: string; filesystem: string; uuid: string } | null;
  /** What became of the state that is not as in an ordinary boot: lost, carried over, reset, merged. One sentence each. */
  stateNotes: string[];
  /** Operators that got a tmpfs instead of their store. */
  degraded: { path: string; reason: string }[];
  /** What this boot did to be there; null in an ordinary one. */
  recovery: ToldRecovery | null;
  /** Everything else that was not as declared: unknown words on the command line, `rw` ignored, drift. */
  warnings: string[];
  /**
   * Parts of the boot in the order of their starts; milliseconds since kernel start, on CLOCK_BOOTTIME. Parts may lie in each
   * other. `open`: had not ended when this was written, and is at least that long.
   */
  timeline: { name: string; startMs: number; lengthMs: number; open?: true }[];
}

/** What the report says of the image with that manifest. */
export function reportedImage(manifest: Manifest | null): BootReport["image"] {
  if (manifest === null) return null;
  const { system, version, rootHash, filesystemSize, rollbackIndex, revokesBelow, salt } = manifest;
  return { system, version, rootHash, filesystemSize, rollbackIndex, revokesBelow, salt };
}

/** Places in the running system. */
export const RUN = {
  directory: "/run/slipway",
  report: "/run/slipway/boot.json",
  /** The report of a recovery that nobody took yet: what `slipway report-recovery` posts. */
  recoveryReport: "/run/slipway/recovery-report.json",
  /** Exists until the image of this boot is committed. */
  uncommitted: "/run/slipway/uncommitted",
  /** Exists where the system runs in safe mode: with memory in the place of its persistent state. */
  safeMode: "/run/slipway/safe-mode",
  lock: "/run/slipway/lock",
  /** Held by the one that writes to a slot, for as long as that takes. */
  installLock: "/run/slipway/install.lock",
  /** What a recovery does, kept up to date while it goes on. */
  recovery: "/run/slipway/recovery.json",
  /** The initrd's control file, copied there at the handover. */
  control: "/run/slipway/control.json",
} as const;
