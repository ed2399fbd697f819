/**
 * What an initrd of ours obeys: its control file, found without unpacking it. An archive that is laid out in any other way than
 * `slipway initrd build` does is refused, or what was checked would not be what the kernel unpacks: it goes on behind the
 * archive's end, a later entry of one name replaces an earlier one, and links lead from one name to another.
 */
import { BadInput } from "../../state-ops/outcome.ts";
import { CPIO, type CpioListing, listCpio, type ReadArchive } from "../cpio.ts";

const CONTROL = "etc/slipway/control.json";

/** No control file is longer, bytes. */
const LARGEST_CONTROL = 16 * 1024 * 1024;

/** Archives are filled up with zeros, to 512 bytes or, by others, to a page; bytes. */
const MOST_PADDING = 64 * 1024;

/**
 * The text of the control file in the initrd of `length` bytes.
 *
 * @throws BadInput that says what is not as `slipway initrd build` writes it
 */
export function controlInInitrd(read: ReadArchive, length: number): string {
  const { entries, end } = listCpio(read, length);
  const directories = new Set<string>();
  const seen = new Set<string>();
  for (const entry of entries) {
    const fault = faultOf(entry, seen, directories);
    if (fault !== null) throw new BadInput(`${JSON.stringify(entry.path)} ${fault}; make it with slipway initrd build`);
    seen.add(entry.path);
    if (kindOf(entry) === CPIO.kind.directory) directories.add(entry.path);
  }
  const rest = length - end;
  if (rest > MOST_PADDING || read(end, rest).some((byte) => byte !== 0)) {
    throw new BadInput(`something lies behind the archive's end at byte ${end}; make it with slipway initrd build`);
  }
  const control = entries.find(({ path }) => path === CONTROL);
  if (control === undefined || kindOf(control) !== CPIO.kind.file) {
    throw new BadInput(`there is no ${CONTROL} in it; make it with slipway initrd build`);
  }
  if (control.size > LARGEST_CONTROL) throw new BadInput(`${CONTROL} in it has ${control.size} bytes`);
  return new TextDecoder().decode(read(control.start, control.size));
}

function kindOf({ mode }: CpioListing): number {
  return mode & CPIO.kindMask;
}

function faultOf(entry: CpioListing, seen: ReadonlySet<string>, directories: ReadonlySet<string>): string | null {
  const names = entry.path.split("/");
  if (names.some((name) => name === "" || name === "." || name === ".." || name.includes("\0"))) return "is no plain path";
  if (seen.has(entry.path)) return "is there twice";
  const parent = names.slice(0, -1).join("/");
  if (parent !== "" && !directories.has(parent)) return `lies in ${parent}, which is no directory before it`;
  if (kindOf(entry) !== CPIO.kind.directory && entry.links !== 1) return `has ${entry.links} names`;
  return null;
}
