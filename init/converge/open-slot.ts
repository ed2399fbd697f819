import { BLOCK } from "../../boot/image/verity.ts";
import { openRaw } from "../image/check-slot.ts";
import { O } from "../kernel/constants.ts";
import { sizeOf } from "../kernel/files.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";

/** Blocks that are read or written at once: 1 MiB. */
export const PIECE = 256;
/** What is written is flushed whenever it has come to so many bytes, so that the machine's memory does not fill with it. */
const MOST_DIRTY = 32 * 1024 * 1024;

/** The medium does not take what is written to it. */
export class WriteFailed extends Error {
  override readonly name = "WriteFailed";
}

/**
 * A slot, partition or regular file, that is open: for reading past the page cache, so that what comes back is what lies on the
 * medium, and where it is to be written, for that.
 */
export class OpenSlot {
  /** What is read lies here, in pieces of a block. All is made once: so much garbage would not be collected soon. */
  readonly #buffer = new Uint8Array(new ArrayBuffer(PIECE * BLOCK));
  readonly #blocks = Array.from({ length: PIECE }, (_, index) => this.#buffer.subarray(index * BLOCK, (index + 1) * BLOCK));
  #dirty = 0;
  #isClosed = false;
  /** Bytes that were written so far. */
  written = 0;

  private constructor(
    readonly kernel: Kernel,
    /** As people know it: "/dev/vda3", "images/c.img". */
    readonly path: string,
    /** Bytes that blocks can lie in: without what is less than a block at the end. */
    readonly size: number,
    readonly raw: Descriptor,
    /** Null where it is only read. */
    readonly writing: Descriptor | null,
  ) {}

  /** Opens what is at `path`, which people know as `shown`. Throws KernelError: EBUSY where a partition to be written is in use. */
  static open(kernel: Kernel, path: string, purpose: "read" | "write", shown = path): OpenSlot {
    const raw = openRaw(kernel, path);
    let writing: Descriptor | null = null;
    try {
      // O_EXCL without O_CREAT says for block devices only: nobody has it mounted or mapped.
      const exclusive = kernel.status(raw).kind === "block" ? O.EXCL : 0;
      if (purpose === "write") writing = kernel.open(path, O.RDWR | exclusive);
      const size = sizeOf(kernel, raw);
      return new OpenSlot(kernel, shown, Number(size - (size % BigInt(BLOCK))), raw, writing);
    } catch (error) {
      kernel.close(raw);
      if (writing !== null) kernel.close(writing);
      throw error;
    }
  }

  /**
   * `count` blocks from the block `first` on, at most {@link PIECE}: null for one that cannot be read. The memory is the same
   * at every call.
   */
  read(first: number, count: number): (Uint8Array | null)[] {
    const got = this.#readInto(this.#buffer.subarray(0, count * BLOCK), first);
    const blocks = this.#blocks.slice(0, count);
    if (got === count * BLOCK) return blocks;
    if (got !== null) return blocks.map((block, index) => ((index + 1) * BLOCK <= got ? block : null));
    // Somewhere in there the medium fails: the blocks around that can still be had.
    return blocks.map((block, index) => (this.#readInto(block, first + index) === BLOCK ? block : null));
  }

  /** One block in memory of its own, or in `into`; null where it cannot be read. */
  readBlock(block: number, into = new Uint8Array(new ArrayBuffer(BLOCK))): Uint8Array<ArrayBuffer> | null {
    return (block + 1) * BLOCK <= this.size && this.#readInto(into, block) === BLOCK ? into : null;
  }

  #readInto(into: Uint8Array<ArrayBuffer>, first: number): number | null {
    try {
      return this.kernel.readInto(this.raw, into, BigInt(first) * BigInt(BLOCK));
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      return null;
    }
  }

  /** Writes at `offset`. Throws WriteFailed. */
  write(offset: number, bytes: Uint8Array): void {
    const { writing } = this;
    if (writing === null) throw new RangeError(`${this.path} was opened for reading`);
    this.#must(`writing at byte ${offset}`, () => this.kernel.write(writing, bytes, BigInt(offset)));
    this.#dirty += bytes.length;
    this.written += bytes.length;
    if (this.#dirty < MOST_DIRTY) return;
    this.sync();
    // Left alone the collector waits for as much garbage as there is memory in use, and a view for each block is garbage.
    Bun.gc(true);
  }

  /** What was written is on the medium afterwards. Throws WriteFailed. */
  sync(): void {
    const { writing } = this;
    if (writing !== null) this.#must("flushing what was written", () => this.kernel.sync(writing));
    this.#dirty = 0;
  }

  #must(what: string, run: () => void): void {
    try {
      run();
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      throw new WriteFailed(`${this.path}: ${what} failed (${error.code}); ${remedyOf(error.code)}`);
    }
  }

  /** Once more does nothing. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.kernel.close(this.raw);
    if (this.writing !== null) this.kernel.close(this.writing);
  }
}

function remedyOf(code: string): string {
  if (code === "ENOSPC" || code === "EDQUOT") return "the filesystem that the slot's file lies on is full";
  if (code === "EROFS" || code === "EPERM") return "is it write-protected?";
  return "the disk is failing";
}
