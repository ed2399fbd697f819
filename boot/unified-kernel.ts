/** What a unified kernel image is made of, before anything is written. */
import { BadInput } from "../state-ops/outcome.ts";
import { versionText } from "./kexec/kernel-file.ts";
import { PE_MACHINE, readPe } from "./portable-executable.ts";

/** Keys of an os-release by which systemd-boot orders images before it looks at their names (boot.c of 252). */
const VERSION_KEYS = ["IMAGE_VERSION", "VERSION", "VERSION_ID", "BUILD_ID"];

/** Bytes that the kernel's command line may have: COMMAND_LINE_SIZE of x86 and arm64, with the NUL that ends it. */
const MOST_COMMAND_LINE = 2047;

/**
 * An os-release for the image: `text` without the lines by which systemd-boot would order two slots' images by their versions
 * instead of by their names, which slipway renames. What people read (PRETTY_NAME) stays.
 *
 * @throws BadInput where systemd-boot would list no such image
 */
export function releaseOf(what: string, text: string): string {
  const lines = text.split("\n").filter((line) => !VERSION_KEYS.some((key) => line.startsWith(`${key}=`)));
  if (!lines.some((line) => /^(PRETTY_NAME|IMAGE_ID|NAME|ID)=./.test(line)))
    throw new BadInput(`${what} has none of PRETTY_NAME, IMAGE_ID, NAME and ID; systemd-boot lists no image without`);
  return `${lines.join("\n").replace(/\n*$/, "")}\n`;
}

/** The command line as the stub takes it. @throws BadInput where a kernel would not take it as it is */
export function commandLineOf(text: string): string {
  const line = text.replace(/\n+$/, "");
  // the stub passes each character's code on: what is not ASCII would be another byte sequence
  const strange = /[^\x20-\x7e]/.exec(line)?.[0];
  if (strange !== undefined) throw new BadInput(`--cmdline has ${JSON.stringify(strange)}; it takes printable ASCII in one line`);
  if (line.length > MOST_COMMAND_LINE)
    throw new BadInput(`--cmdline has ${line.length} bytes; a kernel takes ${MOST_COMMAND_LINE}`);
  return line;
}

/** What a kernel's file says of itself. */
export interface KernelFile {
  /** A key of PE_MACHINE. */
  machine: number;
  /** What `uname -r` will say; null: it does not tell. */
  release: string | null;
}

/**
 * Reads a kernel that UEFI can start: one with an EFI stub of its own (CONFIG_EFI_STUB).
 * @throws BadInput where it is something else
 */
export function readKernelFile(what: string, bytes: Uint8Array): KernelFile {
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) throw new BadInput(`${what} is compressed with gzip; unpack it`);
  const { machine } = readPe(what, bytes);
  if (PE_MACHINE[machine] === undefined) throw new BadInput(`${what} is for the PE machine 0x${machine.toString(16)}`);
  return { machine, release: /^([\x21-\x7e]+)[ \0]/.exec(versionText(bytes))?.[1] ?? null };
}
