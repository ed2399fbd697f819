/** What is known of a machine's bootloaders: what lies in the boot directories, and what the firmware has of them. */
import type { ControlBootloader } from "../../state-ops/control.ts";
import { type DevicePathNode, LOAD_OPTION, type LoadedProgram, type LoadOption, programOf } from "../stores/efi-load-option.ts";
import { bootEntryName, efiPath, pathOfEfi } from "../stores/efi-variables.ts";
import { type EditionName, editionNumber, isSameEdition } from "./edition.ts";
import type { BootloaderRecord } from "./record.ts";

export interface FoundEdition extends EditionName {
  /** 0: the boot directory itself. */
  number: number;
  version: string | null;
  /** Why it cannot boot; null: it is whole. */
  fault: string | null;
}

/** A partition as a boot entry names it. */
export type PartitionNode = Extract<DevicePathNode, { kind: "partition" }>;

/** One boot directory. */
export interface BootPlace {
  device: string;
  directory: string;
  /** Null where the partition is not there, or has no GUID. */
  partition: PartitionNode | null;
  /** Why it cannot be looked into; null where it was. */
  fault: string | null;
  /** By number. */
  editions: FoundEdition[];
}

export interface FirmwareFacts {
  order: number[];
  next: number | null;
  current: number | null;
  /** By number; what is no boot entry is left out. */
  entries: ReadonlyMap<number, LoadOption>;
  /** Numbers that have a variable, whatever is in it. */
  taken: ReadonlySet<number>;
  /** What the loader of this boot said of itself, by systemd's loader interface. */
  loader: { info: string | null; partition: string | null; image: string | null };
  /** What is not as it should be with the variables themselves. */
  faults: string[];
}

export interface BootloaderFacts {
  control: ControlBootloader;
  places: BootPlace[];
  firmware: FirmwareFacts;
  record: BootloaderRecord;
  /** Number of this boot. */
  attempt: number;
}

/** The edition that a program is the loader of, whether it is still there or not; null where it lies in no boot directory. */
function editionOfProgram({ places, control }: BootloaderFacts, program: LoadedProgram | null): EditionName | null {
  if (program === null) return null;
  const path = program.path.toLowerCase();
  const end = `/${control.program.toLowerCase()}`;
  for (const { device, directory, partition } of places) {
    const begin = directory.toLowerCase();
    if (partition?.partition !== program.partition || !path.startsWith(begin) || !path.endsWith(end)) continue;
    const between = path.slice(begin.length, -end.length);
    if (path.length < begin.length + end.length) continue;
    if (between === "") return { device, path: directory };
    if (between.startsWith("/") && editionNumber(between.slice(1)) !== null) return { device, path: `${directory}${between}` };
  }
  return null;
}

/** Edition of a boot entry; null for the entries of others. */
export function editionOfEntry(facts: BootloaderFacts, option: LoadOption): EditionName | null {
  return editionOfProgram(facts, programOf(option));
}

/** What of this boot's loader is known. */
export interface RunningLoader {
  edition: EditionName | null;
  /** "Boot0003 (slipway-b 000003)", or what else is known of it. */
  told: string;
}

/**
 * Which loader started this boot: the firmware's BootCurrent says by which entry, and a loader that speaks systemd's interface
 * says what program it is.
 */
export function runningLoader(facts: BootloaderFacts): RunningLoader {
  const { current, entries, loader } = facts.firmware;
  const option = current === null ? undefined : entries.get(current);
  const entry = current === null ? null : bootEntryName(current);
  const told = option === undefined ? (entry ?? "nothing that the firmware tells") : `${entry} (${option.description})`;
  const byEntry = option === undefined ? null : editionOfEntry(facts, option);
  if (byEntry !== null) return { edition: byEntry, told };
  const named =
    loader.partition === null || loader.image === null
      ? null
      : { partition: loader.partition.toLowerCase(), path: pathOfEfi(loader.image) };
  const edition = editionOfProgram(facts, named);
  return { edition, told: edition === null && named !== null ? `${told}, ${named.path}` : told };
}

export function foundEditions({ places }: Pick<BootloaderFacts, "places">): FoundEdition[] {
  return places.flatMap(({ editions }) => editions);
}

export function findEdition(facts: Pick<BootloaderFacts, "places">, name: EditionName | null): FoundEdition | null {
  return foundEditions(facts).find((edition) => isSameEdition(edition, name)) ?? null;
}

export function placeOf({ places }: Pick<BootloaderFacts, "places">, { device, path }: EditionName): BootPlace | null {
  const inside = (directory: string) => `${path.toLowerCase()}/`.startsWith(`${directory.toLowerCase()}/`);
  return places.find((place) => place.device === device && inside(place.directory)) ?? null;
}

/** The boot entry that starts `edition`; null where its partition is not there. `data` is what the entry has for the program. */
export function entryFor(facts: BootloaderFacts, edition: EditionName, data = new Uint8Array(0)): LoadOption | null {
  const partition = placeOf(facts, edition)?.partition ?? null;
  if (partition === null) return null;
  return {
    attributes: LOAD_OPTION.active,
    // Some firmware takes two entries of one name for one.
    description: edition.path.replace(/^EFI\//i, "").replaceAll("/", " "),
    path: [partition, { kind: "file", path: efiPath(`${edition.path}/${facts.control.program}`) }],
    morePaths: new Uint8Array(0),
    data,
  };
}
