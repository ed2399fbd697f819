import type { BootReport } from "../../boot/report.ts";
import type { DataFilesystem } from "../../state-ops/control.ts";
import type { Descriptor } from "../kernel/kernel.ts";

export interface DataFacts extends NonNullable<BootReport["data"]> {
  filesystem: DataFilesystem;
}

/** A data filesystem that is mounted at its place below /run (data.ts). */
export interface OpenData {
  root: Descriptor;
  facts: DataFacts;
  /** What its checker said in this boot; null where it was not asked. */
  checked: string | null;
  /** The slot's image lies on it: it stays in use, whatever is unmounted, and cannot be repaired meanwhile. */
  holdsImage: boolean;
}
