import type { ControlFile } from "../../state-ops/control.ts";
import type { CommandLine } from "../kernel-command-line.ts";
import type { SlotName } from "../record/names.ts";
import { loaderWord } from "../selection/follow.ts";
import { compareNonce, type NonceVerdict } from "./nonce.ts";
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

/** Whether there is anything to tell of the bootloader: it chooses, or has a store. */
export function isLoaderTold({ chooser, bootRecord }: Pick<ControlFile, "chooser" | "bootRecord">): boolean {
  return chooser === "loader" || bootRecord.store !== "record";
}

/** What a boot saw of the loader's store. */
export interface MetStore extends Pick<ToldLoader, "store" | "merged"> {
  /** What the loader may have read there as nonce (boot/stores/nonce.ts). */
  nonces: readonly (string | null)[];
}

/** What the report of a boot says. `met` is null where the boot record is the only store. */
export function toldLoader(
  { chooser, slots }: Pick<ControlFile, "chooser" | "slots">,
  words: Pick<CommandLine, "slot" | "nonce">,
  met: MetStore | null,
): ToldLoader {
  const { store, merged, nonces } = met ?? { store: null, merged: [], nonces: [] };
  const { named } = loaderWord(words.slot, slots);
  return { chooser, named, nonce: compareNonce(nonces, words.nonce), store, merged };
}
