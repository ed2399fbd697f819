/** Mounted filesystems are made as large as their device by the kernel itself, without a program. */
import type { DataFilesystem } from "../../state-ops/control.ts";
import { IOCTL } from "../kernel/constants.ts";
import type { Descriptor, Kernel } from "../kernel/kernel.ts";

/** So much at a time, bytes: a large step takes seconds, in which nobody would feed the watchdog. */
const STEP = 64n * 1024n ** 3n;

/** struct xfs_fsop_geom_v1, fs/xfs/libxfs/xfs_fs.h. */
const XFS_GEOMETRY = { bytes: 112, blockSize: 0, largestInodes: 28 } as const;

/** struct btrfs_ioctl_vol_args: fd, name[4088]. */
const BTRFS_ARGUMENTS = { bytes: 4096, name: 8 } as const;

/**
 * Grows the mounted filesystem whose root is `root` to `deviceBytes`, or as far towards that as it can be. Throws KernelError.
 *
 * @param fromBytes as large as it is now
 * @param chores called between two steps
 */
export function growFilesystem(
  kernel: Kernel,
  root: Descriptor,
  filesystem: DataFilesystem,
  sizes: { fromBytes: bigint; deviceBytes: bigint },
  chores: () => void,
): void {
  switch (filesystem) {
    case "ext4": {
      const block = BigInt(kernel.filesystemStatus(root).blockSize);
      inSteps(sizes, chores, (bytes) => {
        kernel.ioctl(root, IOCTL.EXT4_IOC_RESIZE_FS, word(bytes / block));
      });
      break;
    }
    case "xfs": {
      const { block, largestInodes } = xfsGeometry(kernel, root);
      inSteps(sizes, chores, (bytes) => {
        // struct xfs_growfs_data: newblocks, imaxpct, which stays as it is.
        const request = new Uint8Array(new ArrayBuffer(16));
        const view = new DataView(request.buffer);
        view.setBigUint64(0, bytes / block, true);
        view.setUint32(8, largestInodes, true);
        kernel.ioctl(root, IOCTL.XFS_IOC_FSGROWFSDATA, request);
      });
      break;
    }
    case "btrfs": {
      const request = new Uint8Array(new ArrayBuffer(BTRFS_ARGUMENTS.bytes));
      request.set(new TextEncoder().encode("max"), BTRFS_ARGUMENTS.name);
      kernel.ioctl(root, IOCTL.BTRFS_IOC_RESIZE, request);
    }
  }
}

function inSteps(
  { fromBytes, deviceBytes }: { fromBytes: bigint; deviceBytes: bigint },
  chores: () => void,
  growTo: (bytes: bigint) => void,
): void {
  for (let bytes = fromBytes + STEP; bytes < deviceBytes; bytes += STEP) {
    growTo(bytes);
    chores();
  }
  growTo(deviceBytes);
}

function word(value: bigint): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(new ArrayBuffer(8));
  new DataView(bytes.buffer).setBigUint64(0, value, true);
  return bytes;
}

function xfsGeometry(kernel: Kernel, root: Descriptor): { block: bigint; largestInodes: number } {
  const bytes = new Uint8Array(new ArrayBuffer(XFS_GEOMETRY.bytes));
  kernel.ioctl(root, IOCTL.XFS_IOC_FSGEOMETRY_V1, bytes);
  const view = new DataView(bytes.buffer);
  return {
    block: BigInt(view.getUint32(XFS_GEOMETRY.blockSize, true)),
    largestInodes: view.getUint32(XFS_GEOMETRY.largestInodes, true),
  };
}
