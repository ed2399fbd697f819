import type { Resolution } from "../../boot/devices/resolve.ts";
import type { BootReport } from "../../boot/report.ts";
import type { ControlFile } from "../../state-ops/control.ts";
import type { GenerationFacts } from "../../state-ops/generation-facts.ts";
import type { StateWish } from "../../state-ops/recovery.ts";
import type { DataFacts } from "./facts.ts";
import type { Effect } from "./plan-shape.ts";

/** For whom the data filesystem is mounted. */
export interface PlannedData {
  /** The initrd's control file. */
  control: ControlFile;
  /** UUID that the record knows. */
  knownData: string | null;
  /** The command line says to take another data filesystem. */
  adopt: boolean;
  findDevice(): Resolution;
  /** What is known of a device, by its name; null where the facts do not speak of it. */
  dataOf(name: string): DataFacts | null;
  effects: Effect[];
  warnings: string[];
  /** As the sequence's Launch.stateNotes. */
  stateNotes: string[];
  unknown: string[];
}

/** Whose state is planned, and what the planned record knows of it. */
export interface PlannedState
  extends PlannedData,
    Omit<GenerationFacts, "controlDigest" | "pointers" | "generations" | "orders" | "wish"> {
  wish: StateWish;
  /** The image's control file; null where it has none. */
  imageControl: ControlFile | null;
  attempt: number;
  /** The machine's memory, bytes; null where it is not known. */
  memory: number | null;
  /** It is mounted already, since the slot's image lies on it; null where it is not. */
  opened: FoundData | null;
}

/** A data filesystem that the plan mounts. */
export interface FoundData {
  data: NonNullable<BootReport["data"]>;
  facts: DataFacts;
}
