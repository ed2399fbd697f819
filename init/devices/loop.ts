import { IOCTL, O } from "../kernel/constants.ts";
import { withOpen } from "../kernel/files.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";
import { LOOP_FLAG, loopConfiguration } from "../kernel/layouts.ts";

const CONTROL = "/dev/loop-control";

/** How often another device is asked for when somebody else took the one that was free. */
const ATTEMPTS = 16;

/** A block device whose bytes are those of a file. The kernel frees it when nobody has it open or mounted any more. */
export interface LoopDevice {
  /** "/dev/loop1" */
  path: string;
  /** Keeps it until something else does. */
  held: Descriptor;
}

/**
 * Makes a block device of an open file, for reading only. It reads past the page cache where the filesystem can: the blocks of
 * what is mounted from it are cached once, not twice.
 *
 * @param name what losetup(8) shows where it cannot show the path
 */
export function attachLoop(kernel: Kernel, file: Descriptor, name: string): LoopDevice {
  const flags = LOOP_FLAG.READ_ONLY | LOOP_FLAG.AUTOCLEAR | LOOP_FLAG.DIRECT_IO;
  for (let attempt = 1; ; attempt++) {
    const number = withOpen(kernel, CONTROL, O.RDWR, (fd) => kernel.ioctl(fd, IOCTL.LOOP_CTL_GET_FREE, 0));
    const path = `/dev/loop${number}`;
    const held = kernel.open(path, O.RDONLY);
    try {
      kernel.ioctl(held, IOCTL.LOOP_CONFIGURE, loopConfiguration(file, flags, name));
      return { path, held };
    } catch (error) {
      kernel.close(held);
      if (!(error instanceof KernelError) || error.code !== "EBUSY" || attempt === ATTEMPTS) throw error;
    }
  }
}
