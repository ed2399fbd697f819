/** The directory that an install puts into a boot directory. */
import {
  type EditionFile,
  fatPathFault,
  loaderInfoIn,
  MANIFEST,
  MOST_FILES,
  samePathsOnFat,
} from "../../boot/bootloader/edition.ts";
import { BadInput } from "../../state-ops/outcome.ts";
import { O } from "../kernel/constants.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";
import { openBeneath, withDescriptor, withDirectory } from "../state/beneath.ts";
import { hashFile } from "./hash-file.ts";

/** A loader's program is read whole, to find what it calls itself. */
const MOST_PROGRAM = 64 * 1024 * 1024;

/**
 * Opens `path` and hands it over with the files in it, the program among them. Throws BadInput for what is no such directory, or
 * has files that FAT or the firmware cannot have.
 */
export function withSource<Result>(
  kernel: Kernel,
  path: string,
  program: string,
  use: (source: Descriptor, files: EditionFile[]) => Result,
): Result {
  let source: Descriptor;
  try {
    source = kernel.open(path, O.RDONLY | O.DIRECTORY);
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    throw new BadInput(
      `${path} cannot be opened as a directory (${error.code}); name one that holds what the boot directory shall hold`,
    );
  }
  try {
    return use(
      source,
      readable(path, () => sourceFiles(kernel, source, path, program)),
    );
  } finally {
    kernel.close(source);
  }
}

function readable<Result>(path: string, read: () => Result): Result {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    throw new BadInput(`${path} cannot be read (${error.message}); is what it lies on sound?`);
  }
}

function sourceFiles(kernel: Kernel, source: Descriptor, path: string, program: string): EditionFile[] {
  const files = listFiles(kernel, source, path, "");
  const names = files.map((file) => file.path);
  if (!names.includes(program))
    throw new BadInput(`${path} holds no ${program}, which the control file names as the bootloader's program`);
  if (files.length > MOST_FILES) throw new BadInput(`${path} holds ${files.length} files; a boot directory takes ${MOST_FILES}`);
  const twins = samePathsOnFat(names);
  if (twins !== null) throw new BadInput(`${path}: ${twins[0]} and ${twins[1]} are one file on FAT; rename one`);
  return files;
}

function listFiles(kernel: Kernel, directory: Descriptor, path: string, below: string): EditionFile[] {
  return kernel.readDirectory(directory).flatMap(({ name, kind }): EditionFile[] => {
    const text = new TextDecoder().decode(name);
    const place = `${below}${text}`;
    const fault =
      fatPathFault(place) ?? (place.toLowerCase() === MANIFEST ? `"${MANIFEST}" is a name that slipway uses itself` : null);
    if (fault !== null) throw new BadInput(`${path}: ${fault}`);
    if (kind === "directory")
      return withDirectory(kernel, directory, text, (inner) => listFiles(kernel, inner, path, `${place}/`));
    if (kind !== "file") throw new BadInput(`${path}/${place} is a ${kind}, which FAT has not; put a file there`);
    const status = withDescriptor(
      kernel,
      () => openBeneath(kernel, directory, text, O.RDONLY),
      (fd) => kernel.status(fd),
    );
    if (status.size > 0xffffffffn)
      throw new BadInput(`${path}/${place} has ${status.size} bytes, FAT's files have 4 GiB at most`);
    return [{ path: place, size: Number(status.size), sha256: hashFile(kernel, directory, text) }];
  });
}

/** What the program calls itself; null where it does not say. */
export function versionIn(kernel: Kernel, source: Descriptor, program: string): string | null {
  const open = () => openBeneath(kernel, source, program, O.RDONLY);
  return withDescriptor(kernel, open, (fd) => loaderInfoIn(kernel.read(fd, MOST_PROGRAM, 0n)));
}
