import type { BlockDevice } from "../../boot/devices/block-device.ts";
import type { GptPartition } from "../../boot/devices/gpt.ts";
import { type GptPair, readGptPair, type TableRewrite } from "../../boot/devices/gpt-table.ts";
import { IOCTL, O } from "../kernel/constants.ts";
import { readTextIfThere, withOpen } from "../kernel/files.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";

/** Bytes of a disk's logical sector, in which its partition table counts. */
export function sectorSizeOf(kernel: Kernel, disk: Pick<BlockDevice, "name">): number {
  const size = Number(readTextIfThere(kernel, `/sys/class/block/${disk.name}/queue/logical_block_size`) ?? 512);
  return size >= 512 && size <= 65536 ? size : 512;
}

/** Both copies of the disk's table. Throws KernelError where the disk cannot be read. */
export function readTable(kernel: Kernel, disk: BlockDevice): GptPair {
  const sectorSize = sectorSizeOf(kernel, disk);
  return withOpen(kernel, disk.path, O.RDONLY, (fd) =>
    readGptPair((offset, length) => kernel.read(fd, length, offset), disk.sizeBytes, sectorSize),
  );
}

/** Carries a rewrite out, each of its stages durable before the next one begins. Throws KernelError. */
export function writeTable(kernel: Kernel, disk: BlockDevice, rewrite: TableRewrite): void {
  withOpen(kernel, disk.path, O.RDWR, (fd) => {
    for (const stage of rewrite) {
      for (const { offset, bytes } of stage) kernel.write(fd, bytes, offset);
      kernel.sync(fd);
    }
  });
}

/**
 * Lets the kernel read the disk's table again. Where it refuses that, since a partition is in use, it is told of those that it
 * does not know; they have no label then until the next boot. Null: the kernel knows all; else what it did not take.
 *
 * @param unknown partitions that the table names and the kernel has not
 */
export function rereadTable(
  kernel: Kernel,
  disk: BlockDevice,
  unknown: readonly GptPartition[],
  sectorSize: number,
): string | null {
  return withOpen(kernel, disk.path, O.RDWR, (fd) => {
    const refused = attempt(() => kernel.ioctl(fd, IOCTL.BLKRRPART, 0));
    if (refused === null) return null;
    for (const partition of unknown) {
      const failure = attempt(() => addPartition(kernel, fd, partition, sectorSize));
      if (failure !== null) return `the kernel reads the table of ${disk.path} at the next boot only (${refused}; ${failure})`;
    }
    return `the kernel knows the labels of the partitions on ${disk.path} from the next boot on (${refused})`;
  });
}

function addPartition(kernel: Kernel, fd: Descriptor, partition: GptPartition, sectorSize: number): void {
  kernel.changePartition(fd, { how: "add", number: partition.number, ...placeOf(partition, sectorSize) });
}

/** Where a partition lies, bytes. */
export function placeOf({ firstLba, lastLba }: GptPartition, sectorSize: number): { start: bigint; length: bigint } {
  return { start: firstLba * BigInt(sectorSize), length: (lastLba - firstLba + 1n) * BigInt(sectorSize) };
}

/** Tells the kernel of a partition's new end; it may be in use. Null: it knows; else why not. */
export function resizePartition(kernel: Kernel, disk: BlockDevice, partition: GptPartition, sectorSize: number): string | null {
  return withOpen(kernel, disk.path, O.RDWR, (fd) => {
    const change = { how: "resize", number: partition.number, ...placeOf(partition, sectorSize) } as const;
    return attempt(() => kernel.changePartition(fd, change));
  });
}

/** Null, or what the kernel answered. */
function attempt(call: () => unknown): string | null {
  try {
    call();
    return null;
  } catch (error) {
    if (error instanceof KernelError) return error.code;
    throw error;
  }
}
