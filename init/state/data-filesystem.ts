/** The data filesystem: mounted where nothing but PID 1 sees it, its layout checked or made, its generations read. */

import { canonicalJson } from "../../state-ops/canonical-json.ts";
import type { DataFilesystem } from "../../state-ops/control.ts";
import { mayBeDamage } from "../../state-ops/data-check.ts";
import type { GenerationFact, GenerationFacts } from "../../state-ops/generation-facts.ts";
import {
  GENERATION,
  type GenerationMeta,
  LAYOUT,
  LONGEST_TEXT,
  parseGenerationName,
  parseMeta,
  parsePin,
  parsePointerTarget,
  parseStandIn,
  vouchesFor,
} from "../../state-ops/layout.ts";
import { MNT, MS, O } from "../kernel/constants.ts";
import { makeDirectories } from "../kernel/files.ts";
import { type Descriptor, type Kernel, KernelError, type Path } from "../kernel/kernel.ts";
import { exists, type OnUnreadable, readText, replaceFile, withDirectory } from "./beneath.ts";

const topDirectories = [LAYOUT.generations, LAYOUT.slots, LAYOUT.shared, LAYOUT.trash];

/**
 * Mounts the data filesystem at the directory `place`, which is made (0700, parents 0755), and opens its root.
 *
 * nosuid and nodev: state is data. noatime: a clone must not change what it reads; the binds made from this mount count
 * access times as programs expect (relatime). Programs may be run from state, so not noexec.
 */
export function mountDataFilesystem(kernel: Kernel, device: Path, filesystem: DataFilesystem, place: string): Descriptor {
  makeDirectories(kernel, place, 0o700);
  kernel.mount(device, place, filesystem, MS.NOSUID | MS.NODEV | MS.NOATIME, "");
  try {
    return kernel.open(place, O.RDONLY | O.DIRECTORY | O.NOFOLLOW);
  } catch (error) {
    kernel.unmount(place, MNT.DETACH);
    throw error;
  }
}

/**
 * Takes the mount at `place` away, and the directory with it, so that the running system has no way to the other
 * generations; binds from it stay.
 */
export function detachDataFilesystem(kernel: Kernel, place: string): void {
  kernel.unmount(place, MNT.DETACH | MNT.NOFOLLOW);
  kernel.remove(place, { directory: true });
}

/**
 * Makes what is missing of the layout, and checks LAYOUT. Returns warnings. Throws Error where the layout is of a version
 * that this initrd does not know or LAYOUT is damaged, KernelError where something else is in a directory's place.
 */
export function layOut(kernel: Kernel, data: Descriptor, filesystemUuid: string): string[] {
  const made = topDirectories.filter((name) => makeTop(kernel, data, name));
  if (made.length > 0) kernel.sync(data);
  if (!exists(kernel, data, LAYOUT.file)) {
    replaceFile(kernel, data, LAYOUT.file, canonicalJson({ schema: 1, filesystemUuid }), 0o600);
    return [];
  }
  const onUnreadable = (error: KernelError): void => {
    if (mayBeDamage(error)) throw error;
  };
  return checkLayout(readText(kernel, data, LAYOUT.file, LONGEST_TEXT, onUnreadable), filesystemUuid);
}

/**
 * What to warn of in LAYOUT, whose text was read from the data filesystem with that UUID. Throws Error where it is damaged
 * or of a version that this initrd does not know.
 */
export function checkLayout(text: string | null, filesystemUuid: string): string[] {
  const seen = readLayout(text);
  if (seen === filesystemUuid) return [];
  return [
    `the data filesystem ${filesystemUuid} holds state that was made on ${seen}: it was copied here; remove ${LAYOUT.file} from it to take it as it is`,
  ];
}

/**
 * What there is of generations, and what the pointers of `slots` say. Follows no link: a pointer of any other form than
 * ../gens/N is none, and a generation of which anything cannot be read or does not match is incomplete. Of what
 * pointers lead to, `onUnreadable` is told.
 */
export function readGenerations(
  kernel: Kernel,
  data: Descriptor,
  slots: readonly string[],
  onUnreadable: OnUnreadable = () => {},
): Pick<GenerationFacts, "pointers" | "generations"> {
  const pointers = withDirectory(kernel, data, LAYOUT.slots, (directory) =>
    Object.fromEntries(slots.map((slot) => [slot, readPointer(kernel, directory, slot, onUnreadable)])),
  );
  const pointed = new Set(Object.values(pointers));
  const generations = withDirectory(kernel, data, LAYOUT.generations, (directory) =>
    kernel.readDirectory(directory).flatMap(({ name }) => {
      const text = new TextDecoder().decode(name);
      const number = parseGenerationName(text);
      const tell = pointed.has(number) ? onUnreadable : () => {};
      return number === null ? [] : [readGeneration(kernel, directory, text, number, tell)];
    }),
  );
  return { pointers, generations };
}

/** The number that a slot's pointer says, null where there is none. `directory` is slots/. */
export function readPointer(
  kernel: Kernel,
  directory: Descriptor,
  slot: string,
  onUnreadable: OnUnreadable = () => {},
): number | null {
  try {
    return parsePointerTarget(new TextDecoder().decode(kernel.readLink(slot, directory)));
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    onUnreadable(error);
    return null;
  }
}

function readGeneration(
  kernel: Kernel,
  directory: Descriptor,
  name: string,
  number: number,
  onUnreadable: OnUnreadable,
): GenerationFact {
  const incomplete = { number, complete: false, meta: null, pinned: null };
  try {
    return withDirectory(kernel, directory, name, (generation) => {
      const isPinned = exists(kernel, generation, GENERATION.pinned);
      const read = (file: string) => readText(kernel, generation, file, LONGEST_TEXT, onUnreadable);
      const pinned = isPinned ? parsePin(read(GENERATION.pinned)) : null;
      const standIn = readStandIn(kernel, generation);
      const complete = read(GENERATION.complete);
      const meta = read(GENERATION.meta);
      if (complete === null || meta === null) return { ...incomplete, pinned };
      return { number, complete: vouchesFor(complete, GENERATION.meta, meta), meta: parseMeta(meta), pinned, ...standIn };
    });
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    onUnreadable(error);
    return incomplete;
  }
}

/** What says that a recovery made the generation; nothing where nothing says so that can be read. */
function readStandIn(kernel: Kernel, generation: Descriptor): Pick<GenerationFact, "standIn"> {
  if (!exists(kernel, generation, GENERATION.standIn)) return {};
  const text = readText(kernel, generation, GENERATION.standIn, LONGEST_TEXT);
  const standIn = text === null ? null : parseStandIn(text);
  return standIn === null ? {} : { standIn };
}

/** What the generation in the open directory belongs to; null where meta.json is anything else. */
export function readMeta(kernel: Kernel, generation: Descriptor): GenerationMeta | null {
  const text = readText(kernel, generation, GENERATION.meta, LONGEST_TEXT);
  return text === null ? null : parseMeta(text);
}

/** True where it was made. What is there must be a directory, not a link to one: opening it says so. */
function makeTop(kernel: Kernel, data: Descriptor, name: string): boolean {
  if (exists(kernel, data, name)) {
    withDirectory(kernel, data, name, () => {});
    return false;
  }
  kernel.makeDirectory(name, 0o700, data);
  return true;
}

/** The UUID in LAYOUT. */
function readLayout(text: string | null): string {
  const value = parse(text ?? "");
  if (typeof value === "object" && value !== null && "schema" in value) {
    if (value.schema !== 1) {
      throw new Error(
        `${LAYOUT.file} on the data filesystem has schema ${JSON.stringify(value.schema)}, this initrd knows 1; renew the initrd`,
      );
    }
    if ("filesystemUuid" in value && typeof value.filesystemUuid === "string") return value.filesystemUuid;
  }
  throw new Error(`${LAYOUT.file} on the data filesystem is damaged; check the filesystem with fsck, then remove that file`);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
