import type { BlockDevice } from "../../boot/devices/block-device.ts";
import type { FilesystemType } from "../../boot/devices/superblock.ts";
import type { JournalEntry } from "../../boot/record/journal.ts";
import type { BootRecord, ImageId, SlotName } from "../../boot/record/record.ts";
import type { RecordReading } from "../../boot/record/store.ts";
import type { Failure } from "../../boot/selection/attempt.ts";
import type { GenerationFact } from "../../state-ops/generation-facts.ts";
import { slotFileName } from "../../state-ops/slot-file.ts";
import type { VerityVersion } from "../image/verity-device.ts";
import type { ModuleVersions } from "../sequence/next-init.ts";

/**
 * Everything that decides how a machine boots, as it was found before the boot. By name of a device means its name in
 * /sys/class/block: "vda2".
 */
export interface BootFacts {
  /** Text of the initrd's control file. */
  control: string;
  /** What /proc/cmdline holds. */
  commandLine: string;
  machine: MachineFacts;
  devices: BlockDevice[];
  /** By name of the device: what those hold that the control file's reference to the boot record names. */
  records: Record<string, RecordFacts>;
  /** What the slots hold: by name of the device, or for a slot that is a file by {@link fileKey}. */
  images: Record<string, ImageFacts>;
  /** By name of the device: what the data filesystem holds. */
  data: Record<string, DataFacts>;
}

export interface MachineFacts {
  /** As uname -r says it. */
  kernelRelease: string;
  /** Wall clock when the facts were gathered, milliseconds since the epoch. */
  unixMs: number;
  /** Whether there is a /dev/watchdog. */
  watchdog: boolean;
  /** The machine's memory, bytes; left out where it is not known. */
  memory?: number;
  /** Version of the kernel's dm-verity; null where it was not loaded. */
  verity: VerityVersion | null;
  /** The attempt that ran while the facts were gathered; null where slipway did not boot the machine, or it was off. */
  running: { attempt: number; slot: SlotName } | null;
}

/** What a partition for the boot record holds. */
export interface RecordFacts {
  /** Why it could not even be opened; null when it could, and only then the rest says something. */
  fault: string | null;
  /** Why it cannot be written; null when it can. */
  unwritable: string | null;
  condition: RecordReading["condition"];
  sequence: number;
  nextCopy: 0 | 1;
  reason: string | null;
  record: BootRecord | null;
  /** Last written first. */
  journal: JournalEntry[];
}

/** What a slot's device holds. */
export interface ImageFacts {
  /** Why the device could not be read; null when it could, and only then the rest says something. */
  fault: Failure | null;
  /** Null: the slot is empty. */
  imageId: ImageId | null;
  filesystem: FilesystemType | null;
  seal: SealFacts;
  /** Null where nobody could look, for the reason in `unknown`. */
  root: RootFacts | null;
  unknown: string | null;
}

/** As the sequence reads it (SealReading). A seal is a text of JSON. */
export type SealFacts = { is: "sealed"; text: string } | { is: "unsealed" | "fault"; reason: string };

/** What is in the root of an image. */
export interface RootFacts {
  /** Directories that the handover needs and the root lacks: "run". */
  missingMountPoints: string[];
  modules: ModuleVersions[];
  /** By path: why a program cannot be the next init; null where it can. */
  inits: Record<string, string | null>;
  /** Text of the image's control file; null where it has none. */
  control: string | null;
}

/** What the data partition holds. */
export interface DataFacts {
  /** Why the device could not be read; null when it could, and only then the rest says something. */
  fault: string | null;
  filesystem: FilesystemType | null;
  uuid: string | null;
  /** The superblock says that errors were found on it and not repaired. */
  errors: boolean;
  /** Null where nobody could look, for the reason in `unknown`. */
  content: DataContent | null;
  unknown: string | null;
}

export interface DataContent {
  /** Text of the file LAYOUT; null where it is not there. */
  layout: string | null;
  /** Text of updater/requests.json; null where it is not there. */
  requests: string | null;
  /** By slot: the number of the generation it points at. */
  pointers: Record<SlotName, number | null>;
  generations: readonly GenerationFact[];
}

/** Stands for the device of a slot that is a file: "images/c.img" is "file-c.img". */
export function fileKey(file: string): string {
  return `file-${slotFileName(file)}`;
}
