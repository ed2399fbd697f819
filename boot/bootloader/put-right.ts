/**
 * What the firmware's boot entries have to be, and the way there. Firmware forgets entries, doubles them, puts others first and
 * switches them off: what is to boot is in the boot record, and this makes the firmware's variables say the same again.
 */

import { encodeLoadOption, LOAD_OPTION, type LoadOption } from "../stores/efi-load-option.ts";
import { bootEntryName, bootOrderText } from "../stores/efi-variables.ts";
import { type EditionName, editionText, isSameEdition } from "./edition.ts";
import {
  type BootloaderFacts,
  editionOfEntry,
  entryFor,
  type FoundEdition,
  findEdition,
  foundEditions,
  placeOf,
  runningLoader,
} from "./facts.ts";

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
 * gives way to the best that is whole: of the other directory, and rather none that failed or is on trial. Where the record knows
 * none, it is what runs, or what the firmware has first, or the newest.
 */
export function wantedEditions(facts: BootloaderFacts): WantedEditions {
  const { committed } = facts.record;
  const first =
    committed === null ? unrecorded(facts) : isWhole(facts, committed) ? committed : (best(facts, committed) ?? committed);
  const elsewhere = (edition: FoundEdition) => first !== null && placeOf(facts, edition) !== placeOf(facts, first);
  const second =
    first === null ? undefined : wholeEditions(facts).find((edition) => !isDoubtful(facts, edition) && elsewhere(edition));
  const fault =
    committed === null || isSameEdition(first, committed) ? null : (findEdition(facts, committed)?.fault ?? "it is not there");
  const why = fault === null || committed === null ? null : `${editionText(committed)} cannot boot: ${fault}`;
  return { first: nameOf(first), second: nameOf(second ?? null), why };
}

/** Without what is known of it besides its name. */
function nameOf(edition: EditionName | null): EditionName | null {
  return edition === null ? null : { device: edition.device, path: edition.path };
}

function isWhole(facts: BootloaderFacts, edition: EditionName | null): boolean {
  return findEdition(facts, edition)?.fault === null;
}

/** It is on trial, or its trial failed. */
function isDoubtful({ record }: BootloaderFacts, edition: EditionName): boolean {
  return [record.trial?.edition, record.failed?.edition].some((name) => isSameEdition(name ?? null, edition));
}

/** Whole ones whose partition a boot entry can name, the newest first. */
function wholeEditions(facts: BootloaderFacts): FoundEdition[] {
  const usable = foundEditions(facts).filter((edition) => edition.fault === null && placeOf(facts, edition)?.partition !== null);
  return usable.sort((left, right) => right.number - left.number);
}

/** In the place of `committed`, which cannot boot. */
function best(facts: BootloaderFacts, committed: EditionName): FoundEdition | null {
  const place = placeOf(facts, committed);
  const worth = (edition: FoundEdition) => (isDoubtful(facts, edition) ? 0 : 2) + (placeOf(facts, edition) === place ? 0 : 1);
  return wholeEditions(facts).sort((left, right) => worth(right) - worth(left))[0] ?? null;
}

/** Where the record knows no committed one. */
function unrecorded(facts: BootloaderFacts): EditionName | null {
  const { order, entries } = facts.firmware;
  const listed = order.map((number) => {
    const option = entries.get(number);
    return option === undefined ? null : editionOfEntry(facts, option);
  });
  const known = [runningLoader(facts).edition, ...listed].find((edition) => {
    return edition !== null && isWhole(facts, edition) && !isDoubtful(facts, edition);
  });
  if (known !== undefined) return known;
  const whole = wholeEditions(facts);
  const inOrder = facts.places.flatMap((place) => whole.filter((edition) => placeOf(facts, edition) === place));
  return inOrder.find((edition) => !isDoubtful(facts, edition)) ?? inOrder[0] ?? null;
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
 * The entry of a trial that is not over stays, in no order.
 */
export function putRight(facts: BootloaderFacts, wanted: WantedEditions): VariableStep[] {
  const { firmware } = facts;
  const { trial } = facts.record;
  const ours = [...firmware.entries].flatMap(([number, option]) => {
    const edition = editionOfEntry(facts, option);
    // Of two that lead to the same, the one that this boot is by: it says what runs.
    const place = number === firmware.current ? -1 : rank(firmware.order.indexOf(number));
    return edition === null ? [] : [{ number, option, edition, place }];
  });
  const made: VariableStep[] = [];
  const kept: number[] = [];
  for (const edition of [wanted.first, wanted.second]) {
    if (edition === null) continue;
    const option = entryFor(facts, edition);
    if (option === null) continue;
    const matching = ours.filter((entry) => isSameEdition(entry.edition, edition));
    const best = matching.sort((left, right) => left.place - right.place || left.number - right.number)[0];
    const number = best?.number ?? freeEntry(firmware, [...kept, trial?.entry ?? -1]);
    kept.push(number);
    const why = best === undefined ? "the firmware has no entry for it" : entryFault(best.option, option);
    if (why !== null) made.push({ set: "entry", number, option, why: `${editionText(edition)}: ${why}` });
  }
  const isKept = (edition: EditionName) => [wanted.first, wanted.second].some((name) => isSameEdition(name, edition));
  // The entry of this very boot says what runs.
  const isRunning = (number: number, edition: EditionName) => number === firmware.current && !isKept(edition);
  const isTrial = (edition: EditionName) => isSameEdition(edition, trial?.edition ?? null) && !isKept(edition);
  const gone = ours.filter(({ number, edition }) => !kept.includes(number) && !isTrial(edition) && !isRunning(number, edition));
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
  return place < 0 ? 0x10000 : place;
}

function listed(order: readonly number[]): string {
  return order.length === 0 ? "no order" : `the order ${bootOrderText(order)}`;
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
