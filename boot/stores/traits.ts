import type { ControlBootRecord } from "../../state-ops/control.ts";

/** What a store in its dialect has room for, beyond the order of the slots. */
export interface StoreTraits {
  /** Boots that a slot has at most. */
  mostTries: number;
  /** Whether a good slot is counted too, and marked good again at each good boot. */
  countsGood: boolean;
  /** Whether it has a place for the nonce. */
  hasNonce: boolean;
}

/** RAUC's `mark-good` sets BOOT_A_LEFT to this, and what is more than that was never written by it. */
const RAUC_TRIES = 3;

export function traitsOf(bootRecord: ControlBootRecord): StoreTraits {
  switch (bootRecord.store) {
    case "grubenv":
      return { mostTries: bootRecord.grubenv.dialect === "rauc" ? 1 : 3, countsGood: true, hasNonce: true };
    case "uboot-env":
      return { mostTries: RAUC_TRIES, countsGood: true, hasNonce: true };
    case "gpt":
      return { mostTries: 15, countsGood: false, hasNonce: false };
    case "bls":
      return { mostTries: 100, countsGood: false, hasNonce: bootRecord.bls.directory === "loader/entries" };
    case "tryboot":
      return { mostTries: 1, countsGood: false, hasNonce: false };
    case "record":
      return { mostTries: 0, countsGood: false, hasNonce: false };
  }
}
