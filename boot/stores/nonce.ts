/**
 * The nonce that shows whether the bootloader reads the store that slipway writes: written there at each activation, echoed by
 * the loader's script on the kernel's command line as `slipway.nonce=`.
 */

import { isHex } from "../../state-ops/plain-text.ts";
import { readEntryName } from "./bls-names.ts";

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

/**
 * The same of a loader that names the entry which it started, as systemd-boot does (LoaderEntrySelected), where no nonce can tell:
 * whether that is one of the files in the directory which slipway writes. A counter in a name says how often it was started.
 *
 * @param selected null: it does not tell
 */
export function compareEntry(files: readonly string[], selected: string | null): NonceVerdict {
  if (selected === null) return "none";
  const idOf = (file: string) => {
    const name = readEntryName(file);
    return name === null ? file.toLowerCase() : `${name.id}.${name.kind}`.toLowerCase();
  };
  return files.some((file) => idOf(file) === idOf(selected)) ? "same" : "other";
}

/** Why nothing that the loader is to obey can be changed, and what helps; null where it can. */
export function whyOtherStore(verdict: NonceVerdict, place: string): string | null {
  if (verdict !== "other") return null;
  return (
    `the bootloader reads another store than ${place}: what it passed on is not from there, and it would not` +
    " boot what is asked for; have its configuration read that one, or move to the one that it reads (slipway store migrate), then reboot"
  );
}
