/**
 * A directory of boot loader entries as a store. Its rules:
 *
 * - A .conf entry belongs to the slot that `slipway.slot=` (or `rauc.slot=`) on its options line names; a unified kernel
 *   image, whose content is signed, to the one that its name `slipway-[RANK-]BOOTNAME[-VERSION].efi` names.
 * - The name's counter says the rest: none is good; `+3` is on trial with three boots left; `+0-3` is bad, which the loader
 *   boots only when nothing else is left. No entry is ever put out of its reach: a machine on which all slots are bad comes
 *   to slipway's recovery through one.
 * - A higher RANK in the name boots first. The loader compares names only between entries of one sort-key and version: so each
 *   .conf entry that slipway writes says {@link SORT_KEY} and no version, and a unified kernel image's os-release has no version.
 * - The nonce is `slipway.nonce=` on a .conf entry's options line. A unified kernel image has no place for one.
 */
import type { SlotName } from "../record/names.ts";
import { type EntryKind, type EntryName, readEntryName } from "./bls-names.ts";
import { compareEntries, type EntryFile, loaderOrder } from "./bls-order.ts";
import { entryValue, entryWord } from "./bls-text.ts";
import { isNonce } from "./nonce.ts";
import type { LoaderSlot, StoreReading, StoreSlot, StoreView } from "./view.ts";

/** The sort-key of all .conf entries that slipway writes. */
export const SORT_KEY = "slipway";

/** An entry that a slot has. `rank` null: its name is not one that slipway gives. */
export interface SlotEntry {
  file: EntryFile;
  name: EntryName;
  rank: number | null;
  /** What follows the bootname in a unified kernel image's name, with its dash; "" for none. */
  tail: string;
}

/** What a directory's files are for. */
export interface Entries {
  /** Each slot's entry, best first; what follows it is what a cut left behind, or what somebody put there beside it. */
  bySlot: ReadonlyMap<SlotName, readonly SlotEntry[]>;
  /** Files under names that only slipway gives, and that the loader takes for no entry: torn when they were written. */
  torn: readonly EntryFile[];
}

/** The rank in a name that slipway gives, and what follows the bootname. Null: no such name for `slot`. */
function readOwnName(id: string, slot: StoreSlot): { rank: number | null; tail: string } | null {
  const lower = id.toLowerCase();
  const bootname = slot.bootname.toLowerCase();
  const [, digits] = /^slipway-(\d{1,15})-/.exec(lower) ?? [];
  for (const prefix of digits === undefined ? ["slipway-"] : [`slipway-${digits}-`, "slipway-"]) {
    if (!lower.startsWith(prefix + bootname)) continue;
    const tail = id.slice(prefix.length + bootname.length);
    if (tail === "" || tail.startsWith("-")) return { rank: prefix === "slipway-" ? null : Number(digits), tail };
  }
  return null;
}

export function printOwnName(slot: StoreSlot, rank: number, tail: string): string {
  return `slipway-${rank}-${slot.bootname}${tail}`;
}

/** Highest rank first; of one rank the entry that is counted, and of those the one with the fewest boots left: see {@link readEntries}. */
function better(a: SlotEntry, b: SlotEntry): number {
  if (a.rank !== b.rank) return (b.rank ?? -1) - (a.rank ?? -1);
  if (a.name.id !== b.name.id) return compareEntries(a.file, b.file);
  const left = ({ name }: SlotEntry) => name.counter?.left ?? Number.POSITIVE_INFINITY;
  if (left(a) !== left(b)) return left(a) - left(b);
  return (b.name.counter?.done ?? 0) - (a.name.counter?.done ?? 0);
}

/** Sorts `files` by the slots they are for. Files of the other kind are not looked at. */
export function sortEntries(files: readonly EntryFile[], slots: readonly StoreSlot[], kind: EntryKind): Entries {
  const bySlot = new Map<SlotName, SlotEntry[]>(slots.map(({ name }) => [name, []]));
  const torn: EntryFile[] = [];
  for (const file of files) {
    const name = readEntryName(file.name);
    if (name?.kind !== kind) continue;
    const said = kind === "conf" ? (entryWord(file.text, "slipway.slot") ?? entryWord(file.text, "rauc.slot")) : null;
    const slot = slots.find((candidate) =>
      kind === "conf" ? said === candidate.name || said === candidate.bootname : readOwnName(name.id, candidate) !== null,
    );
    const isTorn = kind === "efi" && file.text === "";
    if (slot && !isTorn) bySlot.get(slot.name)?.push({ file, name, ...(readOwnName(name.id, slot) ?? { rank: null, tail: "" }) });
    else if (slots.some((candidate) => (readOwnName(name.id, candidate)?.rank ?? null) !== null)) torn.push(file);
  }
  for (const entries of bySlot.values()) entries.sort(better);
  return { bySlot, torn };
}

function loaderSlot({ name: { counter } }: SlotEntry, priority: number): LoaderSlot {
  if (counter === null) return { priority, tries: null, good: true };
  return { priority, tries: counter.left, good: counter.left === 0 ? false : null };
}

/** The nonce on an entry's options line. Null: none, or one that slipway did not write. */
export function nonceOf(text: string): string | null {
  const nonce = entryWord(text, "slipway.nonce");
  return nonce !== null && isNonce(nonce) ? nonce : null;
}

/**
 * What the directory says of `slots`. Where a cut left two files for a slot, the one of the higher rank is newer, since ranks
 * only grow; of one rank the counted one is taken, and of two counted ones that with fewer boots left: so a cut between a
 * loader's count and the removal of the old name gives no boot back, and one in a commit leaves the trial to be committed again.
 */
export function readEntries(files: readonly EntryFile[], slots: readonly StoreSlot[], kind: EntryKind): StoreReading {
  const { bySlot, torn } = sortEntries(files, slots, kind);
  const reasons: string[] = [];
  const present: { slot: SlotName; entry: SlotEntry }[] = [];
  for (const { name: slot } of slots) {
    const [entry, ...others] = bySlot.get(slot) ?? [];
    if (entry) present.push({ slot, entry });
    else reasons.push(`slot "${slot}" has no entry`);
    if (entry && others.length > 0) {
      const names = others.map(({ file }) => file.name).join(" and ");
      reasons.push(`slot "${slot}" has ${entry.file.name} and ${names}; ${entry.file.name} is taken`);
    }
  }
  if (torn.length > 0) reasons.push(`${torn.map(({ name }) => name).join(" and ")} is no entry: torn when it was written`);
  if (present.length === 0) {
    const wanted = kind === "conf" ? "slipway.slot= on its options line" : "a name like slipway-BOOTNAME.efi";
    return {
      condition: "empty",
      view: null,
      reason: `of ${files.length} files none has ${wanted} for a slot of the control file`,
    };
  }
  const ordered = [...present].sort((a, b) => compareEntries(a.entry.file, b.entry.file));
  const view: StoreView = { slots: {}, nonce: null };
  for (const { slot, entry } of present) {
    const place = ordered.findIndex((other) => other.slot === slot);
    view.slots[slot] = loaderSlot(entry, ordered.length - place);
  }
  if (kind === "conf") {
    const nonces = ordered.map(({ entry }) => nonceOf(entry.file.text));
    view.nonce = nonces[0] ?? null;
    if (nonces.some((nonce) => nonce !== view.nonce)) reasons.push("its entries do not all have the same slipway.nonce=");
  }
  return { condition: "valid", view, reason: reasons.length === 0 ? null : reasons.join("; ") };
}

/** The slot that the loader would boot next. Null: none of the control file's. */
export function nextOfLoader(files: readonly EntryFile[], slots: readonly StoreSlot[], kind: EntryKind): SlotName | null {
  const { bySlot } = sortEntries(files, slots, kind);
  const [next] = loaderOrder(files.filter(({ name }) => readEntryName(name)?.kind === kind));
  for (const [slot, entries] of bySlot) if (entries.some(({ file }) => file === next)) return slot;
  return null;
}

/** A unified kernel image is ordered by its name alone only without these: what is wrong with its os-release, or null. */
export function orderTrouble(entries: readonly SlotEntry[]): string | null {
  const [high, ...rest] = entries;
  if (!high) return null;
  const next = rest[0];
  if (next && compareEntries(high.file, next.file) >= 0)
    return `${high.file.name} cannot be put before ${next.file.name}: the loader compares IMAGE_ID and version in their .osrel before the names; build them with "slipway initrd uki", which leaves them out`;
  return orderTrouble(rest);
}

/** What a template must hold to become an entry. */
export function templateTrouble(text: string): string | null {
  return entryValue(text, "linux") === null && entryValue(text, "efi") === null ? "it has no linux line" : null;
}
