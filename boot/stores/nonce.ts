/**
 * The nonce that shows whether the bootloader reads the store that slipway writes: written there at each activation, echoed by
 * the loader's script on the kernel's command line as `slipway.nonce=`.
 */

import { isHex } from "../../state-ops/plain-text.ts";

/**
 * `same`: the loader reads what was written. `other`: it reads another store. `none`: it echoes nothing. `unknown`: nothing was
 * written before this boot, or the store has no place for it.
 */
export type NonceVerdict = "same" | "other" | "none" | "unknown";

/** Whether `text` is a nonce: 16 lower-case hex digits. */
export function isNonce(text: string): boolean {
  return isHex(text, 16);
}

/**
 * What the loader's echo says. `written` are the nonces that it may have read: the store's own, and the one that the boot record
 * knows; they differ after a power cut between the two writes.
 *
 * @param echoed of `slipway.nonce=`; null: nothing
 */
export function compareNonce(written: readonly (string | null)[], echoed: string | null): NonceVerdict {
  const known = written.filter((nonce) => nonce !== null);
  if (known.length === 0) return "unknown";
  if (echoed === null) return "none";
  return known.includes(echoed) ? "same" : "other";
}

/** Why nothing that the loader is to obey can be changed, and what helps; null where it can. */
export function whyOtherStore(verdict: NonceVerdict, place: string): string | null {
  if (verdict !== "other") return null;
  return (
    `the bootloader reads another store than ${place}: the nonce that it passed on was not written there, so that it would not` +
    " boot what is asked for; have it read that one (its configuration, or boot-record in system.yaml and a new initrd), then reboot"
  );
}
