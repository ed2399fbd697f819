/** The kernel and the initrd that an image brings for itself. */
import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { bannerInside, KERNEL_HEAD, kernelBanner } from "../../../boot/kexec/kernel-file.ts";
import type { ControlFile } from "../../../state-ops/control.ts";
import { BadInput } from "../../../state-ops/outcome.ts";
import { type OptionValues, text } from "../../commands/verb.ts";
import { O } from "../../kernel/constants.ts";
import { withOpen } from "../../kernel/files.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { checkInitrd, INITRD_NAME, KERNEL_NAME, KERNELS, openSlotKernel, WrongKernel } from "../../kexec/slot-kernel.ts";
import { readInput } from "../input.ts";

/**
 * What gives the files that --kernel and --initrd put into a tree, by path.
 *
 * @throws BadInput where a file cannot be read, or the tree has no modules for that kernel
 */
export function kernelSource(values: OptionValues): (tree: string) => Map<string, Uint8Array> {
  const [kernel, initrd] = [text(values, "kernel"), text(values, "initrd")];
  const kernelBytes = kernel === undefined ? null : readInput(`--kernel ${kernel}`, kernel);
  const initrdBytes = initrd === undefined ? null : readInput(`--initrd ${initrd}`, initrd);
  return (tree) => {
    if (kernelBytes === null && initrdBytes === null) return new Map();
    const directory = `${KERNELS}/${kernelBytes === null ? releaseIn(tree) : releaseOf(`--kernel ${kernel}`, kernelBytes, tree)}`;
    return new Map([
      ...(kernelBytes === null ? [] : [[`${directory}/${KERNEL_NAME}`, kernelBytes] as const]),
      ...(initrdBytes === null ? [] : [[`${directory}/${INITRD_NAME}`, initrdBytes] as const]),
    ]);
  };
}

/** Kernels that the tree has modules for. */
function releases(tree: string): string[] {
  const directory = join(tree, KERNELS);
  if (lstatSync(directory, { throwIfNoEntry: false })?.isDirectory() !== true) return [];
  return readdirSync(directory).filter((name) => lstatSync(join(directory, name)).isDirectory());
}

function releaseOf(option: string, bytes: Uint8Array, tree: string): string {
  const image = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const said = kernelBanner(image.subarray(0, KERNEL_HEAD)) ?? bannerInside(image);
  const known = releases(tree);
  const [only] = known;
  if (said === null && only !== undefined && known.length === 1) return only;
  if (said !== null && known.includes(said.release)) return said.release;
  const what = said === null ? "does not say which kernel it is" : `is the kernel ${said.release}`;
  throw new BadInput(`${option} ${what}, and the tree has modules for ${known.join(", ") || "none"} below ${KERNELS}`);
}

/** The kernel in the tree for which --initrd alone is. */
function releaseIn(tree: string): string {
  const own = releases(tree).filter((name) => lstatSync(join(tree, KERNELS, name, KERNEL_NAME), { throwIfNoEntry: false }));
  const [only] = own;
  if (only !== undefined && own.length === 1) return only;
  const found = own.length === 0 ? "no kernel" : `several kernels (${own.join(", ")})`;
  throw new BadInput(`--initrd goes with the kernel that it is for, and the tree has ${found} at ${KERNELS}/VERSION/vmlinuz`);
}

/** What would stand in the way of a start of the tree's own kernel, a line each. */
export function kernelWarnings(kernel: Kernel, root: string, control: ControlFile | null): string[] {
  return withOpen(kernel, root, O.RDONLY | O.DIRECTORY, (tree) => {
    try {
      const own = openSlotKernel(kernel, tree);
      if (own === null) {
        return control?.kernel === "slot" ? [`the control file says kernel: slot, and the image has none; give --kernel`] : [];
      }
      try {
        if (control !== null && (own.initrd !== null || control.kernel === "slot")) checkInitrd(kernel, own, control);
        return [];
      } finally {
        own.close();
      }
    } catch (error) {
      if (!(error instanceof WrongKernel)) throw error;
      return [`its own kernel cannot be started by kexec: ${error.message}`];
    }
  });
}
