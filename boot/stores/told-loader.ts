import type { SlotName } from "../record/names.ts";
import type { NonceVerdict } from "./nonce.ts";
import type { StoreReading } from "./view.ts";

/** What the report of a boot says of the bootloader and its store. */
export interface ToldLoader {
  /** Who chose the slots of this boot: the control file's word. */
  chooser: "slipway" | "loader";
  /** The slot that the loader's word on the command line is; null where it said none, or one that is not there. */
  named: SlotName | null;
  nonce: NonceVerdict;
  /** Null where the boot record is the only store. */
  store: {
    /** The control file's word: "grubenv". */
    kind: string;
    /** Where it is, for people: "grub/grubenv on /dev/vda1". */
    place: string;
    condition: StoreReading["condition"];
    /** What is wrong with it; null where nothing is. */
    reason: string | null;
  } | null;
  /** What the loader or another tool changed there since, one sentence each. */
  merged: string[];
}
