import { IOCTL, O } from "../kernel/constants.ts";
import { exists, withOpen } from "../kernel/files.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";
import { LOOP_FLAG, loopConfiguration, loopStatusBuffer, readLoopStatus } from "../kernel/layouts.ts";
import { list } from "./scan.ts";

const CONTROL = "/dev/loop-control";

/** Where sysfs shows the kernel's disks. */
const DISKS = "/sys/block";

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

/** The loop device over an open file, "/dev/loop1"; null where there is none. By the file itself, whatever it is called. */
export function loopOver(kernel: Kernel, file: Descriptor): string | null {
  const { device, inode } = kernel.status(file);
  const names = list(kernel, DISKS).filter((name) => /^loop\d+$/.test(name) && exists(kernel, `${DISKS}/${name}/loop`));
  return (
    names
      .map((name) => `/dev/${name}`)
      .find((path) => {
        const backing = backingFile(kernel, path);
        return backing?.inode === inode && backing.device.major === device.major && backing.device.minor === device.minor;
      }) ?? null
  );
}

/** Null where the device has been freed meanwhile. */
function backingFile(kernel: Kernel, path: string): ReturnType<typeof readLoopStatus> | null {
  try {
    const status = loopStatusBuffer();
    withOpen(kernel, path, O.RDONLY | O.NONBLOCK, (fd) => kernel.ioctl(fd, IOCTL.LOOP_GET_STATUS64, status));
    return readLoopStatus(status);
  } catch (error) {
    if (error instanceof KernelError) return null;
    throw error;
  }
}
