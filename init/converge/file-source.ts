import { imageSizeOf } from "../../boot/image/seal.ts";
import { BLOCK } from "../../boot/image/verity.ts";
import { readSeal } from "../image/read-seal.ts";
import { O } from "../kernel/constants.ts";
import { sizeOf } from "../kernel/files.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";
import { type ByteRange, type ImageSource, type Sink, SourceError } from "./source.ts";

/** Bytes that are read at once. */
const PIECE = 1024 * 1024;

/** An image in a file, or on a device: a stick that it was copied to, or another machine's slot. */
export class FileSource implements ImageSource {
  readonly transferred = 0;
  readonly #buffer = new Uint8Array(new ArrayBuffer(PIECE));

  private constructor(
    readonly name: string,
    readonly kernel: Kernel,
    readonly fd: Descriptor,
    readonly bytes: number,
  ) {}

  /** Takes over the descriptor. Throws SourceError where nothing can be read. */
  static of(kernel: Kernel, name: string, fd: Descriptor): FileSource {
    try {
      return new FileSource(name, kernel, fd, imageBytes(kernel, fd));
    } catch (error) {
      kernel.close(fd);
      throw error instanceof KernelError ? unreadable(name, error) : error;
    }
  }

  async size(): Promise<number> {
    return this.bytes;
  }

  async read(range: ByteRange): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    await this.fetch([range], (_, bytes) => void parts.push(bytes.slice()));
    return Buffer.concat(parts);
  }

  async fetch(ranges: readonly ByteRange[], sink: Sink): Promise<void> {
    for (const { offset, length } of ranges) {
      for (let at = offset; at < offset + length; at += PIECE) {
        const wanted = Math.min(PIECE, offset + length - at);
        await sink(at, this.#piece(at, wanted));
      }
    }
  }

  #piece(offset: number, length: number): Uint8Array {
    const into = this.#buffer.subarray(0, length);
    try {
      const got = this.kernel.readInto(this.fd, into, BigInt(offset));
      if (got === length) return into;
      throw new SourceError(`${this.name} ends at byte ${offset + got}, before its image does; was it cut off?`);
    } catch (error) {
      throw error instanceof KernelError ? unreadable(`${this.name} at byte ${offset}`, error) : error;
    }
  }

  async close(): Promise<void> {
    this.kernel.close(this.fd);
  }
}

function unreadable(what: string, { code }: KernelError): SourceError {
  return new SourceError(`${what} cannot be read (${code}); is the medium damaged?`);
}

/** A file's size; of a device only as much as its image, where that does not fill it and has no footer at the device's end. */
function imageBytes(kernel: Kernel, fd: Descriptor): number {
  const size = sizeOf(kernel, fd);
  if (kernel.status(fd).kind !== "block") return Number(size);
  const reading = readSeal(kernel, fd, size);
  const found = reading.is === "sealed" && reading.by === "search";
  return found ? imageSizeOf(reading.seal.manifest, reading.seal.bytes.length) : Number(size - (size % BigInt(BLOCK)));
}

/** Opens what a path leads to for {@link FileSource.of}. Throws SourceError. */
export function openToRead(kernel: Kernel, path: string): Descriptor {
  try {
    return kernel.open(path, O.RDONLY | O.NONBLOCK);
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    throw new SourceError(`${path} cannot be opened (${error.code}); is the path right?`);
  }
}
