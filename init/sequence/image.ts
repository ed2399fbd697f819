import { type FilesystemType, readSuperblock, SUPERBLOCK_BYTES } from "../../boot/devices/superblock.ts";
import { imageMount } from "../../boot/slot-image.ts";
import type { ControlFile } from "../../state-ops/control.ts";
import { IOCTL, MS, O, RESOLVE } from "../kernel/constants.ts";
import { readText, withOpen } from "../kernel/files.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";
import { readControl } from "./control.ts";
import type { Launch } from "./launch.ts";

/** Where the new root is put together. */
export const NEW_ROOT = "/sysroot";

/** Where an image has the control file that rules its operators. */
const IMAGE_CONTROL = "/usr/lib/slipway/control.json";

/** Sets whether the kernel lets anybody write to a block device (BLKROSET). */
export function setReadOnly(kernel: Kernel, device: string, readOnly: boolean): void {
  const flag = new Uint8Array(new ArrayBuffer(4));
  new DataView(flag.buffer).setInt32(0, readOnly ? 1 : 0, true);
  withOpen(kernel, device, O.RDONLY, (fd) => kernel.ioctl(fd, IOCTL.BLKROSET, flag));
}

/**
 * Mounts the image in the slot on `device` read-only at {@link NEW_ROOT}, without journal replay: `proven` is what is mounted,
 * the dm-verity device over it where it is checked block by block. Returns its filesystem's type.
 *
 * @throws KernelError, or Error when the filesystem is none that a slot may have
 */
export function mountImage(boot: Launch, device: string, proven: string): FilesystemType {
  const { kernel } = boot;
  const superblock = withOpen(kernel, proven, O.RDONLY, (fd) => readSuperblock(kernel.read(fd, SUPERBLOCK_BYTES, 0n)));
  const { type, options } = imageMount(device, superblock?.type ?? null);
  boot.loadForFilesystem(type);
  try {
    kernel.mount(proven, NEW_ROOT, type, MS.RDONLY, options);
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    const remedy = error.code === "ENODEV" ? `; is the ${type} module in the initrd?` : "";
    throw new Error(`mount ${device} as ${type}: ${error.code}${remedy}`);
  }
  return type;
}

/**
 * The control file of the image below `root`; null where it has none.
 *
 * @throws BadInput where it is damaged, Error where it is for another system, KernelError where it cannot be read
 */
export async function readImageControl(kernel: Kernel, root: Descriptor, own: ControlFile): Promise<ControlFile | null> {
  const text = readImageControlText(kernel, root);
  return text === null ? null : checkImageControl(await readControl(text), own);
}

/** The text of the control file of the image below `root`; null where it has none. Throws KernelError where it cannot be read. */
export function readImageControlText(kernel: Kernel, root: Descriptor): string | null {
  try {
    return readText(kernel, IMAGE_CONTROL, { at: root, resolve: RESOLVE.IN_ROOT });
  } catch (error) {
    if (error instanceof KernelError && (error.code === "ENOENT" || error.code === "ENOTDIR")) return null;
    throw error;
  }
}

/** The control file of an image. Throws Error where it is for another system. */
export function checkImageControl(control: ControlFile, own: ControlFile): ControlFile {
  if (control.system !== own.system) {
    throw new Error(
      `the image is for the system ${control.system}, and this initrd is for ${own.system}; install the right image`,
    );
  }
  return control;
}
