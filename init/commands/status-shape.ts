import type { ImageId, SlotName } from "../../boot/record/record.ts";
import type { LastBoot, RollbackFacts } from "./last-boots.ts";
import type { LoaderChoiceFacts } from "./loader-facts.ts";
import type { RecoveryFacts } from "./status-recovery.ts";
import type { StatusState } from "./status-state.ts";
import type { TrustFacts } from "./trust-facts.ts";
import type { WatchdogFacts } from "./watchdog-facts.ts";

export interface SlotFacts {
  name: SlotName;
  /** Null where it is not there, and for a slot that is a file unless it runs. */
  device: string | null;
  /** Relative to the data filesystem's root; null for a slot that is a partition. */
  file: string | null;
  imageId: ImageId | null;
  /** Of the running slot: what its os-release says. */
  version: string | null;
  state: "empty" | "trial" | "committed" | "damaged";
  tries: number;
  /** How many it had at most. */
  triesOf: number;
  priority: number;
  running: boolean;
  /** Whether the next boot is expected to choose it. */
  next: boolean;
  /** Why it was given up, or is about to be; null when it was not. */
  givenUp: string | null;
  /** Why it cannot boot; null when it can. */
  reason: string | null;
}

/** Everything that `slipway status` tells, as it prints it with `--json`. */
export interface Status {
  schema: 1;
  running: { slot: SlotName; device: string; imageId: ImageId; attempt: number; why: string; uncommitted: boolean };
  slots: SlotFacts[];
  next: { slot: SlotName | null; why: string };
  pendingTrial: SlotName | null;
  rollback: RollbackFacts | null;
  record: {
    condition: "valid" | "empty" | "unreadable";
    writable: boolean;
    device: string | null;
    /** What is wrong with it; null when nothing is. */
    reason: string | null;
    uncleanEnds: number;
  };
  recovery: RecoveryFacts;
  watchdog: WatchdogFacts;
  trust: TrustFacts;
  bootloader: LoaderChoiceFacts;
  generation: string | null;
  /** What became of the state in this boot that is not as in an ordinary one, one sentence each. */
  stateNotes: string[];
  /** What the next boot is asked to do with the state; null where nothing is asked. */
  requests: StatusState["requests"];
  /** The same in words. */
  pending: StatusState["pending"];
  pinned: StatusState["pinned"];
  /** Newest first. */
  boots: LastBoot[];
  degraded: { path: string; reason: string }[];
  warnings: string[];
  trialDeadline: number;
  nextStep: string;
}
