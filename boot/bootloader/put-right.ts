/**
 * What the firmware's boot entries have to be, and the way there. Firmware forgets entries, doubles them, puts others first and
 * switches them off: what is to boot is in the boot record, and this makes the firmware's variables say the same again.
 */

import { encodeLoadOption, LOAD_OPTION, type LoadOption } from "../stores/efi-load-option.ts";
import { bootEntryName } from "../stores/efi-variables.ts";
import { type EditionName, editionText, isSameEdition } from "./edition.ts";
import { type BootloaderFacts, editionOfEntry, entryFor, findEdition, foundEditions, runningLoader } from "./facts.ts";

/** One change of a variable, and why. Each is whole or not there at all, and after each the machine boots. */
export type VariableStep =
  | { set: "entry"; number: number; option: LoadOption; why: string }
  | { set: "order"; order: number[]; why: string }
  | { set: "next"; number: number; why: string }
  | { remove: "entry"; number: number; why: string }
  | { remove: "next"; why: string };

/** What should boot: `second` is where the firmware goes when `first` cannot be read. */
export interface WantedEditions {
  first: EditionName | null;
  second: EditionName | null;
  /** Why `first` is not what the boot record says; null where it is. */
  why: string | null;
}

/**
 * The committed edition first and the newest whole one of the other directory second. A committed one that is damaged or gone
 * gives way to the other. Where the record knows none, it is what runs, or what the firmware has first, or the newest.
 */
export function wantedEditions(facts: BootloaderFacts): WantedEditions {
  const { record, places } = facts;
  const isExcluded = (edition: EditionName) =>
    isSameEdition(edition, record.trial?.edition ?? null) || isSameEdition(edition, record.failed?.edition ?? null);
  const usable = (edition: EditionName | null) => {
    const found = findEdition(facts, edition);
    return found !== null && found.fault === null ? found : null;
  };
  const newest = (within: string[]): EditionName | null => {
    const sorted = foundEditions(facts).filter(({ fault }) => fault === null);
    const here = sorted.filter((edition) => within.includes(directoryOf(facts, edition)) && !isExcluded(edition));
    return here.sort((left, right) => right.number - left.number)[0] ?? null;
  };
  const directories = places.map((place) => `${place.device} ${place.directory}`);
  const others = (edition: EditionName) => directories.filter((name) => name !== directoryOf(facts, edition));
  if (record.committed === null) {
    const first = usable(runningLoader(facts).edition) ?? firstInOrder(facts, isExcluded) ?? newestOf(directories, newest);
    return { first: plain(first), second: first === null ? null : plain(newest(others(first))), why: null };
  }
  const other = newest(others(record.committed));
  const committed = usable(record.committed);
  if (committed !== null || other === null) return { first: record.committed, second: plain(other), why: null };
  const fault = findEdition(facts, record.committed)?.fault ?? "it is not there";
  return { first: plain(other), second: null, why: `${editionText(record.committed)} cannot boot: ${fault}` };
}

/** Without what is known of it besides its name. */
function plain(edition: EditionName | null): EditionName | null {
  return edition === null ? null : { device: edition.device, path: edition.path };
}

function newestOf(directories: string[], newest: (within: string[]) => EditionName | null): EditionName | null {
  for (const directory of directories) {
    const found = newest([directory]);
    if (found !== null) return found;
  }
  return null;
}

function firstInOrder(facts: BootloaderFacts, isExcluded: (edition: EditionName) => boolean): EditionName | null {
  const { order, entries } = facts.firmware;
  for (const number of order) {
    const option = entries.get(number);
    const edition = option === undefined ? null : editionOfEntry(facts, option);
    const found = findEdition(facts, edition);
    if (found !== null && found.fault === null && !isExcluded(found)) return found;
  }
  return null;
}

function directoryOf({ places }: BootloaderFacts, edition: EditionName): string {
  const place = places.find(({ device, directory }) => {
    return device === edition.device && `${edition.path.toLowerCase()}/`.startsWith(`${directory.toLowerCase()}/`);
  });
  return place === undefined ? "" : `${place.device} ${place.directory}`;
}

/** The lowest number that no entry has. Throws Error where there is none. */
export function freeEntry({ taken, next, current }: BootloaderFacts["firmware"], also: readonly number[] = []): number {
  const used = new Set([...taken, ...also, next, current]);
  for (let number = 0; number <= 0xffff; number++) if (!used.has(number)) return number;
  throw new Error("the firmware has 65536 boot entries; remove those that nobody needs (efibootmgr)");
}

/**
 * The steps by which the firmware's entries become what is wanted; none where they are. Entries of other systems stay, in their
 * order. Entries that are needed are made first, the order changes then, and what nobody needs goes last.
 *
 * @param keep number of the entry of a trial that is not over
 */
export function putRight(facts: BootloaderFacts, wanted: WantedEditions, keep: number | null): VariableStep[] {
  const { firmware } = facts;
  const ours = [...firmware.entries].flatMap(([number, option]) => {
    const edition = editionOfEntry(facts, option);
    return edition === null ? [] : [{ number, option, edition, place: firmware.order.indexOf(number) }];
  });
  const made: VariableStep[] = [];
  const kept: number[] = [];
  for (const edition of [wanted.first, wanted.second]) {
    if (edition === null) continue;
    const option = entryFor(facts, edition);
    if (option === null) continue;
    const matching = ours.filter((entry) => entry.number !== keep && isSameEdition(entry.edition, edition));
    const best = matching.sort((left, right) => rank(left.place) - rank(right.place) || left.number - right.number)[0];
    const number = best?.number ?? freeEntry(firmware, kept);
    kept.push(number);
    const why = best === undefined ? "the firmware has no entry for it" : entryFault(best.option, option);
    if (why !== null) made.push({ set: "entry", number, option, why: `${editionText(edition)}: ${why}` });
  }
  const isKept = (edition: EditionName) => [wanted.first, wanted.second].some((name) => isSameEdition(name, edition));
  // The entry of this very boot says what runs.
  const isRunning = (number: number, edition: EditionName) => number === firmware.current && !isKept(edition);
  const gone = ours.filter(({ number, edition }) => number !== keep && !kept.includes(number) && !isRunning(number, edition));
  const isOurs = new Set(ours.map(({ number }) => number));
  const isOther = (number: number) => firmware.taken.has(number) && !isOurs.has(number) && !kept.includes(number);
  const order = [...kept, ...new Set(firmware.order.filter(isOther))];
  const isSame = order.length === firmware.order.length && order.every((number, index) => firmware.order[index] === number);
  const first = kept[0];
  const why =
    first !== undefined && firmware.order[0] !== first
      ? `${bootEntryName(first)} is to boot first, and the firmware had ${listed(firmware.order)}`
      : `the firmware had ${listed(firmware.order)}`;
  return [
    ...made,
    ...(isSame || first === undefined ? [] : [{ set: "order" as const, order, why }]),
    ...(first === undefined ? [] : gone).map(({ number, edition }) => {
      const isGone = findEdition(facts, edition) === null;
      const reason = isKept(edition) ? "it is there twice" : isGone ? "it is not there" : "nothing boots it";
      return { remove: "entry" as const, number, why: `${editionText(edition)}: ${reason}` };
    }),
  ];
}

/** Entries that are in no order come last. */
function rank(place: number): number {
  return place < 0 ? Number.POSITIVE_INFINITY : place;
}

function listed(order: readonly number[]): string {
  return order.length === 0 ? "no order" : `the order ${order.map((number) => bootEntryName(number).slice(4)).join(",")}`;
}

/** What keeps an entry from starting the edition; null where nothing does. The partition's place may have changed since. */
function entryFault(there: LoadOption, wanted: LoadOption): string | null {
  if ((there.attributes & LOAD_OPTION.active) === 0) return "its entry is switched off";
  const path = (option: LoadOption) => encodeLoadOption({ ...option, attributes: 0, description: "", data: new Uint8Array(0) });
  const ends = (option: LoadOption) => ({ ...option, path: option.path.slice(option.path.findLastIndex(isPartition)) });
  const isSame = Buffer.compare(path(lowerCase(ends(there))), path(lowerCase(wanted))) === 0;
  return isSame ? null : "its entry has another place of the partition";
}

function isPartition({ kind }: LoadOption["path"][number]): boolean {
  return kind === "partition";
}

/** Files' names in lower case and in one node, so that paths are compared as FAT does. */
function lowerCase(option: LoadOption): LoadOption {
  const [partition, ...files] = option.path;
  const names = files.flatMap((node) => (node.kind === "file" ? node.path.split("\\").filter((name) => name !== "") : []));
  const path = `\\${names.join("\\")}`.toLowerCase();
  return { ...option, morePaths: new Uint8Array(0), path: partition ? [partition, { kind: "file", path }] : [] };
}
