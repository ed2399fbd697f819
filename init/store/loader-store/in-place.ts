/** A bootloader's file that keeps its blocks: neither truncated to nothing nor renamed. */
import { O } from "../../kernel/constants.ts";
import { type Descriptor, type Kernel, KernelError } from "../../kernel/kernel.ts";
import { exists, openBeneath, splitPath, withDescriptor, withDirectory } from "../../state/beneath.ts";
import { readBack } from "./filesystem.ts";

/** At most `length` bytes of the file, of whose size the codec may have an opinion. `file`: from the filesystem's root. */
export function readInPlace(kernel: Kernel, root: Descriptor, file: string, length: number): Uint8Array {
  const read = (fd: Descriptor) => kernel.read(fd, length, 0n);
  return withDescriptor(kernel, () => openBeneath(kernel, root, file, O.RDONLY | O.NONBLOCK), read);
}

/**
 * Writes the whole file, and reads it back. One that is not there is made, in a directory that is.
 *
 * @param padding a byte that says nothing where it stands behind what was there: a shorter file is first made as long as it will be
 * with it, durably, so that the change itself touches no directory
 */
export function writeInPlace(
  kernel: Kernel,
  root: Descriptor,
  file: string,
  bytes: Uint8Array,
  padding: number | null = null,
): void {
  const write = (fd: Descriptor, isNew: boolean): void => {
    const { kind, size } = kernel.status(fd);
    if (kind !== "file") throw new KernelError("open", file, "EINVAL");
    if (padding !== null && !isNew && size < BigInt(bytes.length)) {
      kernel.write(fd, new Uint8Array(bytes.length - Number(size)).fill(padding), size);
      kernel.sync(fd);
    }
    kernel.write(fd, bytes, 0n);
    if (size <= BigInt(bytes.length)) return;
    // Not before: what is cut off may be what was moved to the front.
    kernel.sync(fd);
    kernel.truncate(fd, BigInt(bytes.length));
  };
  changeInPlace(kernel, root, file, write, bytes);
}

/**
 * Opens the file as it is, or makes it in a directory that is there, has `change` write to it, and makes that durable.
 *
 * @param wanted what the file must begin with when it is read back; null: nobody looks
 */
export function changeInPlace(
  kernel: Kernel,
  root: Descriptor,
  file: string,
  change: (fd: Descriptor, isNew: boolean) => void,
  wanted: Uint8Array | null,
): void {
  const [parent, name] = splitPath(file);
  withDirectory(kernel, root, parent, (directory) => {
    const isNew = !exists(kernel, directory, name);
    const flags = O.RDWR | O.NONBLOCK | (isNew ? O.CREAT | O.EXCL : 0);
    const open = () => openBeneath(kernel, directory, name, flags, isNew ? 0o600 : undefined);
    withDescriptor(kernel, open, (fd) => {
      change(fd, isNew);
      kernel.sync(fd);
      if (isNew) kernel.sync(directory);
    });
    if (wanted !== null) readBack(kernel, directory, name, wanted);
  });
}
