/** Structures of flash, little endian. Source: include/uapi/mtd/mtd-abi.h. */

/** MTD_RAM, MTD_NORFLASH…: kinds of flash. */
export const FLASH_TYPE = {
  ABSENT: 0,
  RAM: 1,
  ROM: 2,
  NORFLASH: 3,
  NANDFLASH: 4,
  DATAFLASH: 6,
  UBIVOLUME: 7,
  MLCNANDFLASH: 8,
} as const;

export interface FlashInfo {
  /** A number of {@link FLASH_TYPE}. */
  type: number;
  /** Bytes. */
  size: number;
  /** What is erased at once, bytes. */
  eraseSize: number;
}

/** struct mtd_info_user: type, flags, size, erasesize, writesize, oobsize, padding. */
export function flashInfoBuffer(): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new ArrayBuffer(32));
}

export function readFlashInfo(bytes: Uint8Array<ArrayBuffer>): FlashInfo {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return { type: view.getUint8(0), size: view.getUint32(8, true), eraseSize: view.getUint32(12, true) };
}

export function writeFlashInfo(bytes: Uint8Array<ArrayBuffer>, { type, size, eraseSize }: FlashInfo): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  view.setUint8(0, type);
  view.setUint32(8, size, true);
  view.setUint32(12, eraseSize, true);
}

/** struct erase_info_user: start, length. Bytes. */
export function eraseArgument(start: number, length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(new ArrayBuffer(8));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, start, true);
  view.setUint32(4, length, true);
  return bytes;
}

export function eraseRegion(bytes: Uint8Array<ArrayBuffer>): { start: number; length: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return { start: view.getUint32(0, true), length: view.getUint32(4, true) };
}
