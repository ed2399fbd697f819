/** The kernel and the initrd that a slot's image brings, where ostree and bootc have them too: beside the kernel's modules. */
import { controlInInitrd } from "../../boot/kexec/initrd-control.ts";
import { isRunning, KERNEL_HEAD, type KernelBanner, kernelBanner } from "../../boot/kexec/kernel-file.ts";
import { policyDrift } from "../../state-ops/control-drift.ts";
import { BadInput } from "../../state-ops/outcome.ts";
import { readControl } from "../../state-ops/read-control.ts";
import { O } from "../kernel/constants.ts";
import { readText } from "../kernel/files.ts";
import type { Descriptor, Kernel } from "../kernel/kernel.ts";
import { isCode, openBeneath, withDescriptor } from "../state/beneath.ts";

/** Directory of the directories of modules, one for each kernel. */
export const KERNELS = "usr/lib/modules";
/** Names in the directory of a kernel's modules. */
export const KERNEL_NAME = "vmlinuz";
export const INITRD_NAME = "initramfs.img";

/** No initrd is larger, bytes: numbers in its archive are of 32 bits. */
const LARGEST = 2n ** 31n;

/** What is wrong with the kernel or the initrd in an image: another image is wanted, or none of its own. */
export class WrongKernel extends Error {
  override readonly name = "WrongKernel";
}

/** A slot's kernel; its files are open until {@link SlotKernel.close}. */
export interface SlotKernel {
  release: string;
  /** What its file says; null for files that say nothing. */
  banner: KernelBanner | null;
  file: Descriptor;
  /** Null where the image has none for it. */
  initrd: Descriptor | null;
  close(): void;
}

/** The kernel that runs. */
export function runningKernel(kernel: Kernel): KernelBanner {
  const said = (name: string) => readText(kernel, `/proc/sys/kernel/${name}`).trim();
  return { release: said("osrelease"), version: said("version") };
}

/** Whether the slot's kernel is the one that runs. */
export function runs({ release, banner }: SlotKernel, running: KernelBanner): boolean {
  return isRunning(running, release, banner);
}

/**
 * Opens the kernel in the image below `root`; null where it has none. Links are not followed: what is opened lies in the image.
 *
 * @throws WrongKernel where it has several, or one with the name of another; KernelError
 */
export function openSlotKernel(kernel: Kernel, root: Descriptor): SlotKernel | null {
  const directory = openIfThere(kernel, root, KERNELS, O.RDONLY | O.DIRECTORY);
  if (directory === null) return null;
  return withDescriptor(
    kernel,
    () => directory,
    () => {
      const found: Found[] = [];
      try {
        for (const { name } of kernel.readDirectory(directory)) {
          const release = new TextDecoder().decode(name);
          const file = openFile(kernel, directory, `${release}/${KERNEL_NAME}`);
          if (file !== null) found.push({ release, file });
        }
        const [only, ...others] = found;
        if (only === undefined) return null;
        if (others.length > 0) {
          const paths = found.map(({ release }) => `/${KERNELS}/${release}/${KERNEL_NAME}`).join(", ");
          throw new WrongKernel(`the image has several kernels (${paths}), and nothing says which one is meant; leave one in it`);
        }
        return opened(kernel, directory, only);
      } catch (error) {
        for (const { file } of found) kernel.close(file);
        throw error;
      }
    },
  );
}

interface Found {
  release: string;
  file: Descriptor;
}

function opened(kernel: Kernel, directory: Descriptor, { release, file }: Found): SlotKernel {
  const banner = kernelBanner(kernel.read(file, KERNEL_HEAD, 0n));
  if (banner !== null && banner.release !== release) {
    throw new WrongKernel(`/${KERNELS}/${release}/${KERNEL_NAME} is the kernel ${banner.release}; make the image again`);
  }
  const initrd = openFile(kernel, directory, `${release}/${INITRD_NAME}`);
  const close = () => {
    for (const fd of [file, initrd]) if (fd !== null) kernel.close(fd);
  };
  return { release, banner, file, initrd, close };
}

/** A regular file; null where there is none. Throws WrongKernel for a link or something else in its place. */
function openFile(kernel: Kernel, directory: Descriptor, path: string): Descriptor | null {
  const file = openIfThere(kernel, directory, path, O.RDONLY | O.NONBLOCK);
  if (file === null) return null;
  if (kernel.status(file).kind === "file") return file;
  kernel.close(file);
  throw new WrongKernel(`/${KERNELS}/${path} is no regular file; put the file itself into the image`);
}

function openIfThere(kernel: Kernel, at: Descriptor, path: string, flags: number): Descriptor | null {
  try {
    return openBeneath(kernel, at, path, flags);
  } catch (error) {
    if (isCode(error, "ENOENT", "ENOTDIR")) return null;
    if (isCode(error, "ELOOP")) throw new WrongKernel(`/${KERNELS}: a link is on the way to ${path}; put the file itself there`);
    throw error;
  }
}

/**
 * Checks that the initrd which starts with the slot's kernel obeys the same as the one that rules this machine, whose control file
 * says `own`; with `delegate: true` it may be any.
 *
 * @throws WrongKernel that says what is different
 */
export function checkInitrd(kernel: Kernel, { release, initrd }: SlotKernel, own: object & { delegate?: unknown }): Descriptor {
  const path = `/${KERNELS}/${release}/${INITRD_NAME}`;
  if (initrd === null)
    throw new WrongKernel(`the image has no ${path} for its kernel; put one there (slipway image build --initrd)`);
  if (own.delegate === true) return initrd;
  const drift = policyDrift(own, controlOf(kernel, initrd, path));
  if (drift.length === 0) return initrd;
  const remedy = "build it with this machine's control file, or say delegate: true in both";
  throw new WrongKernel(`${path} says something else of ${drift.join(", ")} than the initrd that rules this machine; ${remedy}`);
}

function controlOf(kernel: Kernel, initrd: Descriptor, path: string): object {
  const { size } = kernel.status(initrd);
  if (size > LARGEST) throw new WrongKernel(`${path} has ${size} bytes, which no initrd has`);
  try {
    return readControl(controlInInitrd((offset, length) => kernel.read(initrd, length, BigInt(offset)), Number(size)));
  } catch (error) {
    if (!(error instanceof BadInput)) throw error;
    throw new WrongKernel(`${path}: ${error.message}`);
  }
}
