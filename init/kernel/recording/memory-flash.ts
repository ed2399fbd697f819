import { IOCTL } from "../constants.ts";
import { eraseRegion, FLASH_TYPE, writeFlashInfo } from "../flash-layouts.ts";
import { Bytes, type Storage } from "./memory-bytes.ts";
import { Errno } from "./memory-nodes.ts";

export interface FlashDescription {
  /** Bytes. */
  size: number;
  eraseSize: number;
  /** A number of {@link FLASH_TYPE}; NOR if absent. */
  type?: number;
  /** What it holds; erased where nothing is said. */
  contents?: { offset: number; bytes: Uint8Array }[];
  /** All of it is locked until it is unlocked; null: it knows no locks. */
  locked?: boolean | null;
}

/** NOR flash as its driver shows it: erasing sets bits, writing clears them, both at once on the chip. */
export class MemoryFlash implements Storage {
  readonly size: number;
  readonly #description: FlashDescription;
  readonly #bytes: Bytes;
  locked: boolean | null;

  constructor(description: FlashDescription) {
    this.#description = description;
    this.size = description.size;
    this.locked = description.locked ?? null;
    this.#bytes = Bytes.of(new Uint8Array(description.size).fill(0xff));
    for (const { offset, bytes } of description.contents ?? []) this.#bytes.write(offset, bytes);
  }

  read(offset: number, length: number): Uint8Array<ArrayBuffer> {
    return this.#bytes.read(offset, length);
  }

  write(offset: number, bytes: Uint8Array): void {
    if (this.locked) throw new Errno("EROFS");
    if (offset + bytes.length > this.size) throw new Errno("ENOSPC");
    const before = this.#bytes.read(offset, bytes.length);
    this.#bytes.write(
      offset,
      before.map((byte, at) => byte & (bytes[at] ?? 0)),
    );
  }

  /** Answers an ioctl on it. */
  control(request: number, argument: number | Uint8Array<ArrayBuffer>): number {
    if (typeof argument === "number") throw new Errno("EFAULT");
    if (request === IOCTL.MEMGETINFO) {
      const { size, eraseSize, type = FLASH_TYPE.NORFLASH } = this.#description;
      writeFlashInfo(argument, { type, size, eraseSize });
      return 0;
    }
    if (request === IOCTL.MEMERASE) return this.#erase(argument);
    if (this.locked === null) throw new Errno("EOPNOTSUPP");
    if (request === IOCTL.MEMISLOCKED) return this.locked ? 1 : 0;
    if (request !== IOCTL.MEMLOCK && request !== IOCTL.MEMUNLOCK) throw new Errno("ENOTTY");
    this.locked = request === IOCTL.MEMLOCK;
    return 0;
  }

  #erase(argument: Uint8Array<ArrayBuffer>): number {
    const { start, length } = eraseRegion(argument);
    const { eraseSize } = this.#description;
    if (start % eraseSize !== 0 || length % eraseSize !== 0 || start + length > this.size) throw new Errno("EINVAL");
    if (this.locked) throw new Errno("EROFS");
    this.#bytes.write(start, new Uint8Array(length).fill(0xff));
    return 0;
  }
}
