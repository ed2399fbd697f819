/**
 * What the boot record keeps of the bootloader's store: its view as it was last read or written, so that the next look shows what
 * somebody else changed there since.
 */
import { canonicalJson, sha256 } from "../../state-ops/canonical-json.ts";
import type { ControlBootRecord } from "../../state-ops/control.ts";
import { isNonce } from "./nonce.ts";
import type { LoaderSlot, StoreView } from "./view.ts";

export interface StoreBase extends StoreView {
  /** {@link storeId} of the store that it is the view of: that of another store says nothing of this one. */
  store: string;
}

/** Tells one store, with its place and its dialect, from every other: "grubenv-" and 16 hex digits. */
export function storeId(bootRecord: ControlBootRecord): string {
  const { device: _, ...store } = bootRecord;
  return `${store.store}-${sha256(canonicalJson(store)).slice("sha256:".length, "sha256:".length + 16)}`;
}

/**
 * What `value`, the record's `base`, is of the store `id`; null where it is of another one, or nothing that this version knows:
 * then nothing is known of what the store said before.
 */
export function baseOf(value: unknown, id: string): StoreBase | null {
  if (!isObject(value) || !isObject(value.slots) || value.store !== id) return null;
  const { nonce } = value;
  if (nonce !== null && !(typeof nonce === "string" && isNonce(nonce))) return null;
  const slots: Record<string, LoaderSlot> = {};
  for (const [name, slot] of Object.entries(value.slots)) {
    const read = loaderSlot(slot);
    if (read === null) return null;
    slots[name] = read;
  }
  return { store: id, slots, nonce };
}

function loaderSlot(value: unknown): LoaderSlot | null {
  if (!isObject(value)) return null;
  const { priority, tries, good } = value;
  if (!isCount(priority) || !(tries === null || isCount(tries)) || !(good === null || typeof good === "boolean")) return null;
  return { priority, tries, good };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}
