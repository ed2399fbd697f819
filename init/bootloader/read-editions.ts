/** What lies in a boot directory. */
import { decodeManifest, type EditionManifest, editionNumber, MANIFEST, MANIFEST_BYTES } from "../../boot/bootloader/edition.ts";
import type { BootPlace, FoundEdition } from "../../boot/bootloader/facts.ts";
import type { BootDirectory } from "../../state-ops/control.ts";
import { O } from "../kernel/constants.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";
import { isCode, openBeneath, readText, withDescriptor, withDirectory } from "../state/beneath.ts";
import type { Esp } from "./esp.ts";
import { hashOnDisk } from "./hash-file.ts";

/** `whole`: every byte is read and compared. `sizes`: the files are there, with the lengths that they had. */
export type EditionReading = "whole" | "sizes";

/** The boot directory on its partition, with all its editions. What cannot be read is a fault, and stops nothing. */
export function readPlace(
  kernel: Kernel,
  esp: Esp,
  { device, directory }: BootDirectory,
  program: string,
  how: EditionReading,
): BootPlace {
  const place = { device, directory, partition: esp.partition };
  if (esp.root === null) return { ...place, fault: esp.fault, editions: [] };
  try {
    const editions = withDirectory(kernel, esp.root, directory, (fd) => [
      ...ownEdition(kernel, fd, { device, directory }, program),
      ...numbered(kernel, fd).map(({ name, number }) => {
        const read = () => withDirectory(kernel, fd, name, (edition) => readEdition(kernel, edition, program, how));
        return { device, path: `${directory}/${name}`, number, ...faulty(read) };
      }),
    ]);
    return { ...place, fault: null, editions };
  } catch (error) {
    if (isCode(error, "ENOENT")) return { ...place, fault: null, editions: [] };
    if (!(error instanceof KernelError)) throw error;
    return {
      ...place,
      fault: `${directory} on ${device} cannot be read (${error.code}); is the filesystem sound (fsck.vfat)?`,
      editions: [],
    };
  }
}

function numbered(kernel: Kernel, directory: Descriptor): { name: string; number: number }[] {
  const found = kernel.readDirectory(directory).flatMap(({ name, kind }) => {
    const text = new TextDecoder().decode(name);
    const number = kind === "directory" ? editionNumber(text) : null;
    return number === null ? [] : [{ name: text, number }];
  });
  return found.sort((left, right) => left.number - right.number);
}

/** What a factory put into the boot directory itself. */
function ownEdition(
  kernel: Kernel,
  directory: Descriptor,
  { device, directory: path }: BootDirectory,
  program: string,
): FoundEdition[] {
  const size = sizeOf(kernel, directory, program);
  if (size === null) return [];
  return [{ device, path, number: 0, version: null, fault: size === 0 ? `${program} is empty` : null }];
}

function faulty(read: () => Pick<FoundEdition, "version" | "fault">): Pick<FoundEdition, "version" | "fault"> {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    return { version: null, fault: `it cannot be read (${error.code})` };
  }
}

function readEdition(
  kernel: Kernel,
  edition: Descriptor,
  program: string,
  how: EditionReading,
): Pick<FoundEdition, "version" | "fault"> {
  const text = readText(kernel, edition, MANIFEST, MANIFEST_BYTES);
  if (text === null) return { version: null, fault: "its install did not end" };
  const manifest = decodeManifest(text);
  if (typeof manifest === "string") return { version: null, fault: `${MANIFEST}: ${manifest}` };
  const { version } = manifest;
  if (!manifest.files.some(({ path }) => path.toLowerCase() === program.toLowerCase()))
    return { version, fault: `it has no ${program}` };
  return { version, fault: filesFault(kernel, edition, manifest, how) };
}

/** What of an edition is not as its manifest says; null where all is. */
export function filesFault(kernel: Kernel, edition: Descriptor, { files }: EditionManifest, how: EditionReading): string | null {
  for (const { path, size, sha256 } of files) {
    const found = sizeOf(kernel, edition, path);
    if (found === null) return `${path} is not there`;
    if (found !== size) return `${path} has ${found} bytes, not ${size}`;
    if (how === "whole" && hashOnDisk(kernel, edition, path) !== sha256) return `${path} is not what was written`;
  }
  return null;
}

/** Null where there is no such file. */
function sizeOf(kernel: Kernel, directory: Descriptor, path: string): number | null {
  try {
    const open = () => openBeneath(kernel, directory, path, O.RDONLY | O.NONBLOCK);
    const { kind, size } = withDescriptor(kernel, open, (fd) => kernel.status(fd));
    return kind === "file" ? Number(size) : null;
  } catch (error) {
    if (isCode(error, "ENOENT", "ENOTDIR")) return null;
    throw error;
  }
}
