/**
 * How a directory of entries is brought to a view, one durable step after the other. The caller makes each step durable
 * before the next: at every cut the loader finds an entry for each slot that had one.
 *
 * FAT has no atomic rename: a cut can leave both names on the same clusters, and removing one of them frees what the other
 * needs. So a .conf entry whose text changes is written under a new name and the old one removed; a rename is for what only
 * changes its name; and of two files of the same content neither is removed: the older is renamed out of the loader's sight.
 */
import type { SlotName } from "../record/names.ts";
import { nonceOf, orderTrouble, printOwnName, type SlotEntry, SORT_KEY, sortEntries, templateTrouble } from "./bls.ts";
import { type EntryCounter, type EntryKind, type EntryName, printEntryName } from "./bls-names.ts";
import type { EntryFile } from "./bls-order.ts";
import { entryWord, withValue, withWord } from "./bls-text.ts";
import { isBad } from "./startable.ts";
import type { LoaderSlot, StoreSlot, StoreView } from "./view.ts";

/** One change of the directory. `write` makes a file under a name that nobody has. */
export type EntryStep =
  | { do: "write"; name: string; text: string }
  | { do: "rename"; from: string; to: string }
  | { do: "remove"; name: string };

export interface EntryPlan {
  steps: EntryStep[];
  /** What of the view the directory cannot be made to say: one sentence each. */
  obstacles: string[];
}

function counterOf(wanted: LoaderSlot, now: EntryCounter | null): EntryCounter | null {
  if (isBad(wanted)) return now?.left === 0 ? now : { left: 0, done: now?.done || null };
  if (wanted.good === true || wanted.tries === null) return null;
  if (now === null || wanted.tries > now.left) return { left: wanted.tries, done: null };
  if (wanted.tries === now.left) return now;
  return { left: wanted.tries, done: (now.done ?? 0) + now.left - wanted.tries };
}

interface Wanted {
  slot: StoreSlot;
  entry: SlotEntry;
  counter: EntryCounter | null;
  text: string;
}

function wantedText(text: string, kind: EntryKind, slot: StoreSlot, nonce: string | null): string {
  if (kind === "efi") return text;
  const ordered = withValue(withValue(withValue(text, "sort-key", SORT_KEY), "version", null), "machine-id", null);
  const named = entryWord(text, "slipway.slot") === null ? withWord(ordered, "slipway.slot", slot.bootname) : ordered;
  return nonceOf(named) === nonce ? named : withWord(named, "slipway.nonce", nonce);
}

/** The entry that `slipway-BOOTNAME.template` in the directory makes where a slot has lost its own. */
function fromTemplate(files: readonly EntryFile[], slot: StoreSlot): EntryFile | null {
  const name = `slipway-${slot.bootname}.template`.toLowerCase();
  const file = files.find((candidate) => candidate.name.toLowerCase() === name);
  if (!file || templateTrouble(file.text) !== null) return null;
  return { name: file.name, text: withWord(file.text, "slipway.slot", slot.bootname) };
}

function emptyName(kind: EntryKind): EntryName {
  return { id: "", counter: null, kind };
}

/**
 * Steps after which {@link readEntries} of bls.ts shows `view`: none where it shows it already. What a cut left behind goes
 * first, since it may hold a name that is wanted. New names follow, lowest priority first, so that the entry that is to boot
 * first is the last to appear; what they replace goes last.
 */
export function planEntries(
  files: readonly EntryFile[],
  slots: readonly StoreSlot[],
  kind: EntryKind,
  view: StoreView,
): EntryPlan {
  const { bySlot, torn } = sortEntries(files, slots, kind);
  const obstacles: string[] = [];
  const wanted: Wanted[] = [];
  for (const slot of slots) {
    const said = view.slots[slot.name];
    if (!said) continue;
    let [entry] = bySlot.get(slot.name) ?? [];
    if (!entry && kind === "conf") {
      const template = fromTemplate(files, slot);
      if (template) entry = { file: template, name: emptyName(kind), rank: null, tail: "" };
    }
    if (!entry) {
      obstacles.push(`slot "${slot.name}" has no entry, and the directory no slipway-${slot.bootname}.template to make one from`);
      continue;
    }
    const counter = counterOf(said, entry.name.counter);
    wanted.push({ slot, entry, counter, text: wantedText(entry.file.text, kind, slot, view.nonce) });
  }
  const priority = ({ slot }: Wanted) => view.slots[slot.name]?.priority ?? 0;
  wanted.sort((a, b) => priority(a) - priority(b));
  const all = [...bySlot.values()].flat();
  const { added, replaced, order } = planNames(wanted, all, kind);
  const trouble = kind === "efi" ? orderTrouble(order) : null;
  if (trouble !== null) return { steps: [], obstacles: [trouble] };
  const cleared = clearance(bySlot, torn, files);
  return { steps: [...cleared, ...added, ...replaced], obstacles };
}

/** Names for `wanted`, lowest priority first: a rank is kept where the order is right with it, else it is a new highest one. */
function planNames(
  wanted: readonly Wanted[],
  all: readonly SlotEntry[],
  kind: EntryKind,
): { added: EntryStep[]; replaced: EntryStep[]; order: SlotEntry[] } {
  const added: EntryStep[] = [];
  const replaced: EntryStep[] = [];
  const order: SlotEntry[] = [];
  let highest = Math.max(0, ...all.map(({ rank }) => rank ?? 0));
  let last = -1;
  for (const { slot, entry, counter, text } of wanted) {
    const { name, file, tail } = entry;
    const known = entry.rank;
    // Among those with no boots left the loader has no order to be told of.
    const spent = counter?.left === 0;
    const keeps = known !== null && (spent || known > last) && text === file.text;
    const rank = keeps ? known : Math.max(highest, last) + 1;
    highest = Math.max(highest, rank);
    if (!spent) last = rank;
    const id = keeps ? name.id : printOwnName(slot, rank, tail);
    const to = printEntryName({ id, counter, kind });
    if (!spent) order.unshift({ ...entry, file: { name: to, text }, rank });
    if (to === file.name) continue;
    if (text === file.text && name.id !== "") added.push({ do: "rename", from: file.name, to });
    else {
      added.push({ do: "write", name: to, text });
      if (name.id !== "") replaced.push({ do: "remove", name: file.name });
    }
  }
  return { added, replaced, order };
}

/** Gets rid of what a cut left behind. Files that somebody else put beside a slot's entry stay. */
function clearance(
  bySlot: ReadonlyMap<SlotName, readonly SlotEntry[]>,
  torn: readonly EntryFile[],
  files: readonly EntryFile[],
): EntryStep[] {
  const steps: EntryStep[] = torn.filter(({ text }) => text === "").map(({ name }) => ({ do: "remove", name }));
  const taken = new Set(files.map(({ name }) => name));
  for (const [entry, ...others] of bySlot.values()) {
    for (const { file, name, rank, tail } of others) {
      if (!entry || (rank === null && name.id !== entry.name.id)) continue;
      // What a name ends in tells one unified kernel image from another; a rename keeps it.
      if (name.kind === "conf" ? file.text !== entry.file.text : tail !== entry.tail) {
        steps.push({ do: "remove", name: file.name });
        continue;
      }
      let to = `${file.name}.twin`;
      for (let number = 2; taken.has(to); number++) to = `${file.name}.twin${number}`;
      taken.add(to);
      steps.push({ do: "rename", from: file.name, to });
    }
  }
  return steps;
}

/**
 * The name by which a new unified kernel image of `slot` is put beside the old one: of a higher rank than all, and out of boots,
 * so that the loader takes it last until it is activated. The view written then removes the old one.
 *
 * @param tail tells this image from others of the slot: "-" and letters or digits
 */
export function newImageName(files: readonly EntryFile[], slots: readonly StoreSlot[], slot: StoreSlot, tail: string): string {
  const all = [...sortEntries(files, slots, "efi").bySlot.values()].flat();
  const rank = Math.max(0, ...all.map((entry) => entry.rank ?? 0)) + 1;
  return printEntryName({ id: printOwnName(slot, rank, tail), counter: { left: 0, done: null }, kind: "efi" });
}
