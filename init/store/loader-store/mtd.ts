/** Flash that is written by itself, /dev/mtdN: sectors are erased before they are written, and single bits cleared without. */

import { Refusal } from "../../../state-ops/outcome.ts";
import { IOCTL, O } from "../../kernel/constants.ts";
import { eraseArgument, FLASH_TYPE, type FlashInfo, flashInfoBuffer, readFlashInfo } from "../../kernel/flash-layouts.ts";
import { type Descriptor, type Kernel, KernelError } from "../../kernel/kernel.ts";

/** Bytes of a flash. */
export interface FlashPlace {
  /** "/dev/mtd1" */
  device: string;
  offset: number;
  size: number;
  /** What fw_env.config says is erased at once; 0: nothing. */
  sectorSize: number;
}

/**
 * What lies there. Throws KernelError where it cannot be read, Refusal where the flash is of a kind that is read otherwise, or
 * the place is not in it.
 */
export function readFlash(kernel: Kernel, place: FlashPlace): Uint8Array {
  return opened(kernel, place, O.RDONLY, (fd) => {
    const bytes = kernel.read(fd, place.size, BigInt(place.offset));
    if (bytes.length !== place.size)
      throw new Refusal(`${place.device}: only ${bytes.length} bytes at ${place.offset} can be read`);
    return bytes;
  });
}

/**
 * Writes `bytes` from `at` on, an offset in the place. At 0 all of its sectors are erased before; what else lies in them is put
 * back, and lost by a power cut meanwhile, as it is when U-Boot writes. Anywhere else only bits that are 1 can be made 0. When
 * it returns, the flash holds the bytes: they were read back. A lock is as before.
 *
 * Throws as {@link readFlash}, and Refusal where the flash did not take the bytes.
 */
export function writeFlash(kernel: Kernel, place: FlashPlace, at: number, bytes: Uint8Array): void {
  opened(kernel, place, O.RDWR, (fd, { eraseSize }) => {
    const from = place.offset + at;
    const start = from - (from % eraseSize);
    const length = Math.ceil((from + bytes.length - start) / eraseSize) * eraseSize;
    unlocked(kernel, fd, start, length, () => {
      if (at === 0) writeSectors(kernel, fd, { start, length, eraseSize }, from, bytes);
      else kernel.write(fd, bytes, BigInt(from));
      if (Buffer.compare(kernel.read(fd, bytes.length, BigInt(from)), bytes) !== 0) {
        throw new Refusal(`${place.device} does not hold what was written at ${from}: is it worn out, or write-protected?`);
      }
    });
  });
}

function writeSectors(
  kernel: Kernel,
  fd: Descriptor,
  { start, length, eraseSize }: { start: number; length: number; eraseSize: number },
  from: number,
  bytes: Uint8Array,
): void {
  const before = kernel.read(fd, from - start, BigInt(start));
  const end = from + bytes.length;
  const behind = kernel.read(fd, start + length - end, BigInt(end));
  for (let sector = start; sector < start + length; sector += eraseSize) {
    kernel.ioctl(fd, IOCTL.MEMERASE, eraseArgument(sector, eraseSize));
  }
  for (const [offset, rest] of [
    [from, bytes],
    [start, before],
    [end, behind],
  ] as const) {
    if (rest.some((byte) => byte !== 0xff)) kernel.write(fd, rest, BigInt(offset));
  }
}

/** Not every flash knows locks, and not every one tells whether it is locked. */
function unlocked(kernel: Kernel, fd: Descriptor, start: number, length: number, work: () => void): void {
  const region = () => eraseArgument(start, length);
  const supported = (request: number): number | null => {
    try {
      return kernel.ioctl(fd, request, region());
    } catch (error) {
      if (error instanceof KernelError) return null;
      throw error;
    }
  };
  const wasLocked = supported(IOCTL.MEMISLOCKED) === 1;
  supported(IOCTL.MEMUNLOCK);
  try {
    work();
  } finally {
    if (wasLocked) supported(IOCTL.MEMLOCK);
  }
}

function opened<Result>(
  kernel: Kernel,
  place: FlashPlace,
  flags: number,
  work: (fd: Descriptor, info: FlashInfo) => Result,
): Result {
  const fd = kernel.open(place.device, flags);
  try {
    const buffer = flashInfoBuffer();
    kernel.ioctl(fd, IOCTL.MEMGETINFO, buffer);
    const info = readFlashInfo(buffer);
    const fault = whyNot(place, info);
    if (fault !== null) throw new Refusal(`${place.device} ${fault}`);
    return work(fd, info);
  } finally {
    // The driver of a flash that caches writes lets go of them here: it knows no fsync(2).
    kernel.close(fd);
  }
}

function whyNot({ offset, size, sectorSize }: FlashPlace, { type, size: bytes, eraseSize }: FlashInfo): string | null {
  if (type === FLASH_TYPE.NANDFLASH || type === FLASH_TYPE.MLCNANDFLASH) {
    return "is NAND, which has bad blocks that slipway does not step over; keep the environment in UBI's place on eMMC, or NOR";
  }
  if (type !== FLASH_TYPE.NORFLASH && type !== FLASH_TYPE.RAM)
    return `is flash of a kind that slipway does not write (type ${type})`;
  if (eraseSize === 0) return "says that nothing of it can be erased";
  if (offset + size > bytes) return `has ${bytes} bytes, the environment is to lie at ${offset} with ${size}; see fw_env.config`;
  if (sectorSize % eraseSize !== 0) {
    return `erases ${eraseSize} bytes at once, fw_env.config says ${sectorSize}; write what /proc/mtd says`;
  }
  return null;
}
