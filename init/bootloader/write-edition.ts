/**
 * Writing and removing editions on FAT, which has no journal. An edition's directory and its files have names that nobody had
 * before; the manifest comes last, when all else was synced and read back. Removing takes the names off the disk before the
 * space is free, so that no name ever leads to what somebody else wrote there since.
 */
import { type EditionManifest, encodeManifest, MANIFEST } from "../../boot/bootloader/edition.ts";
import { O } from "../kernel/constants.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";
import { isCode, openBeneath, splitPath, withDescriptor, withDirectory } from "../state/beneath.ts";
import { filesFault } from "./read-editions.ts";

const PIECE = 1024 * 1024;

/**
 * Writes the manifest's files, read from `source`, as the edition `name` of the boot directory `directory`, which is made where
 * it is not there. Throws Error where what is on the disk then is something else; what was written is taken away.
 *
 * @param root the filesystem's root
 * @param source directory that holds the files
 */
export function writeEdition(
  kernel: Kernel,
  root: Descriptor,
  directory: string,
  name: string,
  source: Descriptor,
  manifest: EditionManifest,
): void {
  makeDirectoriesBeneath(kernel, root, directory);
  withDirectory(kernel, root, directory, (place) => {
    kernel.makeDirectory(name, 0o755, place);
    try {
      withDirectory(kernel, place, name, (edition) => fillEdition(kernel, edition, source, manifest));
    } catch (error) {
      if (error instanceof KernelError || error instanceof EditionFault) tryRemove(kernel, place, name);
      throw error;
    }
  });
}

/** What was read back is not what was written. */
export class EditionFault extends Error {}

function fillEdition(kernel: Kernel, edition: Descriptor, source: Descriptor, manifest: EditionManifest): void {
  const directories = new Set(manifest.files.map(({ path }) => splitPath(path)[0]));
  for (const directory of [...directories].sort()) makeDirectoriesBeneath(kernel, edition, directory);
  // Names first, while they lead to nothing: a file's room is taken when its name is on the disk.
  for (const { path } of manifest.files)
    withDescriptor(
      kernel,
      () => createFile(kernel, edition, path),
      () => {},
    );
  kernel.syncFilesystem(edition);
  for (const { path } of manifest.files) copyFile(kernel, source, edition, path);
  kernel.syncFilesystem(edition);
  const fault = filesFault(kernel, edition, manifest, "whole");
  if (fault !== null) throw new EditionFault(`what was written reads back as something else: ${fault}; is the disk failing?`);
  withDescriptor(
    kernel,
    () => createFile(kernel, edition, MANIFEST),
    (fd) => {
      kernel.write(fd, new TextEncoder().encode(encodeManifest(manifest)), null);
      kernel.sync(fd);
    },
  );
  kernel.syncFilesystem(edition);
}

function createFile(kernel: Kernel, directory: Descriptor, path: string): Descriptor {
  return openBeneath(kernel, directory, path, O.WRONLY | O.CREAT | O.EXCL, 0o644);
}

function copyFile(kernel: Kernel, source: Descriptor, edition: Descriptor, path: string): void {
  withDescriptor(
    kernel,
    () => openBeneath(kernel, source, path, O.RDONLY | O.NONBLOCK),
    (from) =>
      withDescriptor(
        kernel,
        () => openBeneath(kernel, edition, path, O.WRONLY),
        (to) => {
          for (let offset = 0n; ; offset += BigInt(PIECE)) {
            const piece = kernel.read(from, PIECE, offset);
            if (piece.length > 0) kernel.write(to, piece, offset);
            if (piece.length < PIECE) break;
          }
          // The whole filesystem's order is table before names; one file's is the other way round.
          kernel.syncFilesystem(to);
        },
      ),
  );
}

function makeDirectoriesBeneath(kernel: Kernel, root: Descriptor, path: string): void {
  const names = path.split("/").filter((name) => name !== "");
  for (let count = 1; count <= names.length; count++) {
    const [parent, name] = splitPath(names.slice(0, count).join("/"));
    withDirectory(kernel, root, parent, (fd) => {
      try {
        kernel.makeDirectory(name, 0o755, fd);
      } catch (error) {
        if (!isCode(error, "EEXIST")) throw error;
      }
    });
  }
}

function tryRemove(kernel: Kernel, place: Descriptor, name: string): void {
  try {
    removeEdition(kernel, place, name);
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
  }
}

/**
 * Removes the edition `name` of the open boot directory `place`: the manifest first, then everything else. A file that is open
 * keeps its room when its name goes, so that the room is free only after the names are off the disk.
 */
export function removeEdition(kernel: Kernel, place: Descriptor, name: string): void {
  const held: Descriptor[] = [];
  try {
    withDirectory(kernel, place, name, (edition) => {
      try {
        kernel.remove(MANIFEST, { at: edition });
        kernel.syncFilesystem(place);
      } catch (error) {
        if (!isCode(error, "ENOENT")) throw error;
      }
      emptyDirectory(kernel, edition, held);
    });
    held.push(openBeneath(kernel, place, name, O.RDONLY | O.DIRECTORY));
    kernel.remove(name, { at: place, directory: true });
    kernel.syncFilesystem(place);
  } finally {
    for (const fd of held) kernel.close(fd);
  }
  kernel.syncFilesystem(place);
}

function emptyDirectory(kernel: Kernel, directory: Descriptor, held: Descriptor[]): void {
  for (const { name, kind } of kernel.readDirectory(directory)) {
    const isDirectory = kind === "directory";
    const fd = openBeneath(kernel, directory, name, O.RDONLY | (isDirectory ? O.DIRECTORY : O.NONBLOCK));
    held.push(fd);
    if (isDirectory) emptyDirectory(kernel, fd, held);
    kernel.remove(name, { at: directory, directory: isDirectory });
  }
}
