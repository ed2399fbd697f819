/**
 * What a bootloader's store says of the slots, in one form for all of them. A store's codec reads and writes its bytes; a
 * dialect says what its variables, bits or names mean; what a difference from the boot record means is for merge.ts.
 */
import type { SlotName } from "../record/names.ts";

/** A slot as the control file names it, and as the store does. */
export interface StoreSlot {
  name: SlotName;
  /** RAUC's word for the name that the bootloader knows a slot by: "A" in BOOT_A_LEFT. */
  bootname: string;
}

export interface LoaderSlot {
  /** Higher boots first; 0: the loader never chooses it. The slots of a view have ranks n to 1, or 0. */
  priority: number;
  /** Boots that the loader has left for it. Null where it does not count this slot: it is good, or the dialect counts nothing. */
  tries: number | null;
  /** Whether the store calls it good, bad (false), or neither (null: on trial, or the dialect does not say). */
  good: boolean | null;
}

export interface StoreView {
  /** By the control file's names. A slot of which the store says nothing is not in it. */
  slots: Record<SlotName, LoaderSlot>;
  /** What was written at the last activation for the loader to echo as `slipway.nonce=`: 16 hex digits. Null: none, or no place for it. */
  nonce: string | null;
}

/** What a store's place holds. `reason` says what is wrong with it, and what is unusual where it is valid; null where nothing is. */
export type StoreReading =
  | { condition: "valid"; view: StoreView; reason: string | null }
  | { condition: "empty" | "unreadable"; view: null; reason: string };

/** Variables of a store that is a list of them (grubenv, U-Boot's environment), in one project's dialect. */
export interface VariableDialect {
  /** What the variables say. Missing ones mean what the dialect's own loader script takes them for. */
  view(variables: ReadonlyMap<string, string>, slots: readonly StoreSlot[]): StoreView;
  /**
   * The variables that make `view` true: all that the dialect has for these slots and no others. Null removes one. What is
   * read back may say less than `view` did: a dialect has no place for everything.
   * @param before what the store has now: names in a list of slots that are none of ours are kept, behind ours
   */
  changes(view: StoreView, slots: readonly StoreSlot[], before?: ReadonlyMap<string, string>): ReadonlyMap<string, string | null>;
}
