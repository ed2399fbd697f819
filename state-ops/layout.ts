/**
 * The data filesystem's layout; every path here is relative to its root. Names only: nothing is opened.
 *
 *   LAYOUT                        version of this layout and the filesystem's UUID
 *   slots/a -> ../gens/000017     a slot's pointer, replaced by rename
 *   gens/000017/meta.json         what the generation belongs to
 *   gens/000017/COMPLETE          written last: digests of the files beside it
 *   gens/000017/tree/ID           a bind's store
 *   gens/000017/ovl/ID/upper      an overlay's upper layer
 *   gens/000017/baseline.json     what the image had at the stores' places (state-ops/merge/baseline.ts)
 *   gens/000017/aside/            what lost in a merge
 *   gens/000017/work/ID           overlay work directories, made empty at every boot: the kernel renames from them into the
 *                                 upper layers, which it cannot from one subvolume of btrfs to another
 *   gens/000017/PINNED            why it is never collected unasked; not vouched for by COMPLETE
 *   gens/000017/STAND-IN          a recovery made it in the place of its slot's own, and its system was not committed yet
 *   gens/.tmp-000019-TAG          a generation that is being built
 *   shared/ID                     stores that no rollback touches
 *   images/c.img                  a slot that is a file (slot-file.ts): made by the first install into it, and from then on
 *                                 neither collected nor reset by anything
 *   record/boot-record            the boot record, where no partition is for it: never collected, and kept over a factory reset
 *   updater/requests.json         what the running system asks the next boot to do (requests.ts)
 *   trash/                        what is to be deleted is renamed to here
 */
import { canonicalJson, canonicalJsonWithDigest, digestOf, sha256 } from "./canonical-json.ts";
import { isDigits } from "./plain-text.ts";
import type { RecoveryWish } from "./recovery.ts";

export const LAYOUT = {
  file: "LAYOUT",
  generations: "gens",
  slots: "slots",
  shared: "shared",
  images: "images",
  trash: "trash",
  updater: "updater",
  /** Directory and name. */
  record: ["record", "boot-record"],
} as const;

/** No text that is read from the data filesystem is longer, in bytes, but baseline.json. */
export const LONGEST_TEXT = 64 * 1024;

/** Names inside a generation. */
export const GENERATION = {
  meta: "meta.json",
  complete: "COMPLETE",
  baseline: "baseline.json",
  pinned: "PINNED",
  standIn: "STAND-IN",
  tree: "tree",
  overlays: "ovl",
  aside: "aside",
  work: "work",
} as const;

/** What a generation belongs to. */
export interface GenerationMeta {
  schema: 1;
  number: number;
  /** The generation it was cloned from; null for one made from the image's own content. */
  parent: number | null;
  imageId: string;
  slot: string;
  /** Digest of the image's control file that its stores were laid by. */
  controlDigest: string;
  /** The attempt that made it. */
  attempt: number;
}

/** 17 is "000017". Throws RangeError unless `number` is a whole number from 1. */
export function generationName(number: number): string {
  if (!Number.isSafeInteger(number) || number < 1) {
    throw new RangeError(`a generation's number is a whole number from 1, not ${number}`);
  }
  return String(number).padStart(6, "0");
}

/** No generation has a higher number: one more would have a name that is not read as one. */
export const HIGHEST_GENERATION = 999_999_999_999_999;

/** The number behind a name in gens/, null where {@link generationName} does not write such a name. */
export function parseGenerationName(name: string): number | null {
  const number = name.length >= 6 && name.length <= 15 && isDigits(name) ? Number(name) : 0;
  return number > 0 && generationName(number) === name ? number : null;
}

/** "gens/000017" */
export function generationPath(number: number): string {
  return `${LAYOUT.generations}/${generationName(number)}`;
}

/** Why a generation is never collected unasked, and the attempt whose boot left it. */
export interface Pin {
  reason: string;
  attempt: number;
  /** A recovery set it aside, since no system booted with it: none boots with it again unasked. */
  by?: "recovery";
}

/** The text of PINNED. */
export function formatPin({ reason, attempt, by }: Pin): string {
  return canonicalJson({ schema: 1, reason, attempt, ...(by === undefined ? {} : { by }) });
}

/** Reads PINNED. Whatever is in its place pins: a damaged mark must not cost the state that it protects. */
export function parsePin(text: string | null): Pin {
  const value = text === null ? null : parseObject(text);
  if (value === null || typeof value.reason !== "string" || typeof value.attempt !== "number") {
    return { reason: `${GENERATION.pinned} is there, but cannot be read`, attempt: 0 };
  }
  const { attempt, by } = value;
  return { reason: value.reason.slice(0, 500), attempt, ...(by === "recovery" ? { by } : {}) };
}

/** What a recovery made a generation for. It is its slot's own once the system that runs with it was committed. */
export interface StandIn {
  wish: RecoveryWish;
  /** The slot's own, which counts again where the stand-in comes to nothing; null where the slot had none. */
  of: number | null;
}

/** The text of STAND-IN. */
export function formatStandIn({ wish, of }: StandIn): string {
  return canonicalJson({ schema: 1, wish, of });
}

/** Reads STAND-IN; null where it is anything but what {@link formatStandIn} writes: the generation is then its slot's own. */
export function parseStandIn(text: string): StandIn | null {
  const value = parseObject(text);
  if (value === null || value.schema !== 1) return null;
  const { wish, of } = value;
  if ((wish !== "previous" && wish !== "fresh") || (of !== null && !isNumber(of))) return null;
  return { wish, of };
}

/** "gens/.tmp-000019-TAG": where a generation is built. `tag` makes it new: letters, digits, "-". */
export function temporaryGeneration(number: number, tag: string): string {
  return `${LAYOUT.generations}/.tmp-${generationName(number)}-${tag}`;
}

/** Whether a name in gens/ is that of a generation that was being built when the power failed. */
export function isTemporaryGeneration(name: string): boolean {
  return name.startsWith(".tmp-");
}

/** "slots/a" */
export function slotPointer(slot: string): string {
  return `${LAYOUT.slots}/${slot}`;
}

/** What a slot's pointer says: "../gens/000017". */
export function pointerTarget(number: number): string {
  return `../${generationPath(number)}`;
}

/** The number that a pointer says; null for a link of any other form, which is never followed. */
export function parsePointerTarget(target: string): number | null {
  return target.startsWith("../gens/") ? parseGenerationName(target.slice("../gens/".length)) : null;
}

/** Beside a store, where it is seeded before the rename that makes it exist: "shared/.seed-ID". */
export function seedTemporary(store: string): string {
  const name = store.lastIndexOf("/") + 1;
  return `${store.slice(0, name)}.seed-${store.slice(name)}`;
}

/** The text of meta.json. */
export function formatMeta(meta: GenerationMeta): string {
  return canonicalJson(meta);
}

/** The text of COMPLETE over the texts of the files it vouches for, by name. */
export function formatComplete(files: Record<string, string>): string {
  const digests = Object.fromEntries(Object.entries(files).map(([name, text]) => [name, sha256(text)]));
  return canonicalJsonWithDigest({ schema: 1, files: digests });
}

/** Whether `complete` is whole and vouches for the file `name` with this text. */
export function vouchesFor(complete: string, name: string, text: string): boolean {
  return completeDigests(complete)?.get(name) === sha256(text);
}

/** Reads meta.json; null where it is anything but what {@link formatMeta} writes. */
export function parseMeta(text: string): GenerationMeta | null {
  const value = parseObject(text);
  if (value === null) {
    return null;
  }
  const { number, parent, imageId, slot, controlDigest, attempt } = value;
  if (
    !isNumber(number) ||
    (parent !== null && !isNumber(parent)) ||
    typeof imageId !== "string" ||
    typeof slot !== "string" ||
    typeof controlDigest !== "string" ||
    typeof attempt !== "number"
  ) {
    return null;
  }
  const meta: GenerationMeta = { schema: 1, number, parent, imageId, slot, controlDigest, attempt };
  return written(() => formatMeta(meta)) === text ? meta : null;
}

function isNumber(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 1;
}

function parseObject(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : null;
  } catch {
    return null;
  }
}

function completeDigests(complete: string): Map<string, unknown> | null {
  const value = parseObject(complete);
  const files = value?.files;
  if (value === null || value.schema !== 1 || typeof files !== "object" || files === null) {
    return null;
  }
  const whole = written(() => canonicalJson(value)) === complete && value.digest === written(() => digestOf(value));
  return whole ? new Map(Object.entries(files)) : null;
}

/** What was read may be nothing that JSON is written of: half a character, 1e999, lists in lists higher than the stack. */
function written(write: () => string): string | null {
  try {
    return write();
  } catch {
    return null;
  }
}
