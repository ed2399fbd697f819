/**
 * A boot directory holds editions: what one install put there, in a directory of its own whose name was never used before,
 * "EFI/slipway-b/000003". FAT has no safe rename, so that nothing is ever put in the place of something else: the firmware's
 * boot entry is what leads from one edition to the next.
 */
import { canonicalJsonWithDigest, digestOf } from "../../state-ops/canonical-json.ts";
import { Fields } from "../../state-ops/fields.ts";

/** Where an edition is. It is also what says that this very edition runs: no other ever has its name. */
export interface EditionName {
  /** Device reference of the EFI system partition, as the control file has it. */
  device: string;
  /** Directory from the filesystem's root: "EFI/slipway-b/000003", or the boot directory itself where a factory put it there. */
  path: string;
}

export function isSameEdition(left: EditionName | null, right: EditionName | null): boolean {
  if (left === null || right === null) return left === right;
  return left.device === right.device && left.path.toLowerCase() === right.path.toLowerCase();
}

/** "EFI/slipway-b/000003 on PARTLABEL=esp-b" */
export function editionText({ device, path }: EditionName): string {
  return `${path} on ${device}`;
}

const DIGITS = 6;
const MOST_EDITIONS = 999_999;

/** "000003": a short name on FAT. Throws RangeError for what has no such name. */
export function editionDirectory(number: number): string {
  if (!Number.isInteger(number) || number < 1 || number > MOST_EDITIONS)
    throw new RangeError(`an edition has a number from 1 to ${MOST_EDITIONS}, not ${number}`);
  return String(number).padStart(DIGITS, "0");
}

/** The number of an edition's directory; null for any other name. */
export function editionNumber(name: string): number | null {
  return /^[0-9]{6}$/.test(name) && name !== "000000" ? Number(name) : null;
}

/** The file that an install writes last: an edition without it is unfinished. */
export const MANIFEST = "slipway.json";

export interface EditionFile {
  /** From the edition's directory: "x86_64-efi/normal.mod". */
  path: string;
  size: number;
  sha256: string;
}

export interface EditionManifest {
  schema: 1;
  /** What the installer called it; null where nothing was said. */
  version: string | null;
  /** By path. */
  files: EditionFile[];
}

/** Keeps a manifest readable in one go. */
export const MANIFEST_BYTES = 1024 * 1024;
export const MOST_FILES = 4096;

export function encodeManifest(manifest: EditionManifest): string {
  return canonicalJsonWithDigest(manifest);
}

/** A string says why `text` is no manifest. */
export function decodeManifest(text: string): EditionManifest | string {
  try {
    const value: unknown = JSON.parse(text);
    const fields = new Fields(value, MANIFEST, ["schema", "version", "files", "digest"]);
    const list = fields.list("files");
    if (list.length === 0 || list.length > MOST_FILES) fields.fail("files", `a list of 1 to ${MOST_FILES} files`);
    const manifest: EditionManifest = {
      schema: fields.oneOf("schema", [1]),
      version: fields.nullable("version", () => fields.text("version")),
      files: list.map((entry, index) => {
        const file = new Fields(entry, `${MANIFEST}: files[${index}]`, ["path", "size", "sha256"]);
        const path = file.sound("path", file.text("path"), fatPathFault);
        return { path, size: file.integer("size", 0, 0xffffffff), sha256: file.text("sha256") };
      }),
    };
    return fields.text("digest") === digestOf(manifest) ? manifest : "its digest is wrong";
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/**
 * Rule for a path on FAT (Microsoft's FAT specification 1.03, long names), relative and canonical: what a firmware's and Linux's
 * driver both take as it is.
 */
export function fatPathFault(path: string): string | null {
  const wrong = path.split("/").find((name) => !isFatName(name));
  if (wrong === undefined && path.length <= 200) return null;
  return `"${path}" cannot be a file on FAT; use ASCII letters, digits, spaces and ! # $ % & ' ( ) + , - . ; = @ [ ] ^ _ \` { } ~, and no dot or space at a name's end`;
}

function isFatName(name: string): boolean {
  return /^[A-Za-z0-9 !#$%&'()+,\-.;=@[\]^_`{}~]{1,100}$/.test(name) && !/[. ]$/.test(name) && !name.startsWith(" ");
}

/** Two of `paths` that are one file on FAT, which tells no upper case from lower case; null where there are none. */
export function samePathsOnFat(paths: readonly string[]): [string, string] | null {
  const seen = new Map<string, string>();
  for (const path of paths) {
    const parts = path.split("/");
    for (let count = 1; count <= parts.length; count++) {
      const shown = parts.slice(0, count).join("/");
      const other = seen.get(shown.toLowerCase());
      if (other !== undefined && (other !== shown || count === parts.length)) return [other, shown];
      seen.set(shown.toLowerCase(), shown);
    }
  }
  return null;
}

/** What a loader's program calls itself, where it does as systemd-boot: "#### LoaderInfo: systemd-boot 252.39-1~deb12u2 ####". */
export function loaderInfoIn(program: Uint8Array): string | null {
  return /#### LoaderInfo: ([ -"$-~]{1,80}) ####/.exec(Buffer.from(program).toString("latin1"))?.[1] ?? null;
}
