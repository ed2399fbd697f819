/** Slots on disks in memory, and images for them of a few blocks whose content is told by numbers. */
import type { Step } from "../../boot/converge/progress-text.ts";
import { layoutOf } from "../../boot/image/seal.ts";
import { BLOCK } from "../../boot/image/verity.ts";
import { type Converged, converge, planConvergence, type Wanted } from "../../init/converge/converge.ts";
import { OpenSlot } from "../../init/converge/open-slot.ts";
import { readSourceSeal } from "../../init/converge/read-source-seal.ts";
import { type ByteRange, type ImageSource, type Sink, SourceError } from "../../init/converge/source.ts";
import { readSeal } from "../../init/image/read-seal.ts";
import { BlockDevice } from "../../init/kernel/recording/memory-devices.ts";
import { RecordingKernel } from "../../init/kernel/recording/recording.ts";
import { sha256Bytes } from "../../state-ops/sha256.ts";
import { type SealedImage, sealedImage } from "../samples/sealed-image.ts";

/** A block of this content: 0 is zeros, others are told apart in every sector. */
export function blockOf(content: number): Uint8Array {
  const block = new Uint8Array(BLOCK);
  if (content !== 0) for (let at = 0; at < BLOCK; at += 32) block.set(sha256Bytes(`${content} at ${at}`), at);
  return block;
}

/** A filesystem of these blocks behind its superblock, which is erofs's; `tag` tells it from others. */
export function filesystemOf(tag: number, contents: readonly number[]): Uint8Array {
  const bytes = new Uint8Array((contents.length + 1) * BLOCK);
  for (const [index, content] of contents.entries()) bytes.set(blockOf(content), (index + 1) * BLOCK);
  const view = new DataView(bytes.buffer);
  view.setUint32(1024, 0xe0f5e1e2, true);
  view.setUint8(1024 + 12, 12);
  view.setUint32(1024 + 36, contents.length + 1, true);
  view.setUint32(1024 + 48, tag, true);
  return bytes;
}

export function imageOf(tag: number, contents: readonly number[]): Promise<SealedImage> {
  return sealedImage(filesystemOf(tag, contents), [], { version: `${tag}` });
}

/** An image in memory, given in pieces of odd lengths, two ranges at a time mixed. */
export class MemorySource implements ImageSource {
  readonly name = "memory";
  transferred = 0;
  /** Blocks that were given, in order. */
  readonly given: number[] = [];
  /** How often a block is given wrong, by its number. */
  readonly wrong = new Map<number, number>();
  /** The source breaks off after so many bytes. */
  breaksAfter = Number.POSITIVE_INFINITY;

  constructor(readonly bytes: Uint8Array) {}

  async size(): Promise<number> {
    return this.bytes.length;
  }

  async read({ offset, length }: ByteRange): Promise<Uint8Array> {
    return this.#give(offset, length);
  }

  async fetch(ranges: readonly ByteRange[], sink: Sink): Promise<void> {
    const left = ranges.map((range) => ({ ...range }));
    for (let step = 0; left.length > 0; step++) {
      const at = step % Math.min(2, left.length);
      const range = left[at];
      if (range === undefined) break;
      const length = Math.min(range.length, 1 + ((step * 2741) % 9973));
      await sink(range.offset, this.#give(range.offset, length));
      range.offset += length;
      range.length -= length;
      if (range.length === 0) left.splice(at, 1);
    }
  }

  #give(offset: number, length: number): Uint8Array {
    if (this.transferred + length > this.breaksAfter) throw new SourceError("memory broke off");
    this.transferred += length;
    const bytes = this.bytes.slice(offset, offset + length);
    for (let block = Math.floor(offset / BLOCK); block * BLOCK < offset + length; block++) {
      const begins = block * BLOCK - offset;
      if (begins < 0) continue;
      this.given.push(block);
      const times = this.wrong.get(block) ?? 0;
      if (times > 0) bytes[begins] = 255 - (bytes[begins] ?? 0);
      this.wrong.set(block, times - 1);
    }
    return bytes;
  }

  async close(): Promise<void> {}
}

export const TARGET = "/dev/vda3";
export const OTHERS = ["/dev/vda2", "/dev/vda4"];

/** A target and two other slots of `blocks` blocks each. */
export class SlotsWorld {
  readonly devices: BlockDevice[];
  /** How often the target's image was withdrawn. */
  withdrawals = 0;
  steps: Step[] = [];

  constructor(blocks: number) {
    const paths = [TARGET, ...OTHERS];
    this.devices = paths.map(
      (path, index) => new BlockDevice({ path, number: { major: 8, minor: index }, size: blocks * BLOCK }),
    );
  }

  device(path: string): BlockDevice {
    const found = this.devices.find((device) => device.path === path);
    if (found === undefined) throw new Error(`no ${path}`);
    return found;
  }

  /** Puts an image into a slot as an install does: the footer at the slot's end. */
  put(path: string, { bytes }: SealedImage): void {
    const { storage } = this.device(path);
    storage.write(0, new Uint8Array(storage.size));
    storage.write(0, bytes.subarray(0, bytes.length - BLOCK));
    storage.write(storage.size - BLOCK, bytes.subarray(bytes.length - BLOCK));
    storage.sync();
  }

  /** The bytes of a slot. */
  bytes(path: string): Uint8Array {
    const { storage } = this.device(path);
    return storage.read(0, storage.size);
  }

  kernel(): RecordingKernel {
    const kernel = new RecordingKernel();
    for (const device of this.devices) kernel.addDevice(device);
    return kernel;
  }

  /** Runs `use` with what converge wants of this machine. */
  async with<Result>(
    kernel: RecordingKernel,
    source: ImageSource | null,
    use: (wanted: Wanted) => Promise<Result>,
  ): Promise<Result> {
    const target = OpenSlot.open(kernel, TARGET, "write");
    const own = readSeal(kernel, target.raw, BigInt(target.size));
    const sealed = source === null && own.is === "sealed" ? own : source === null ? null : await readSourceSeal(source);
    if (sealed === null) throw new Error("no seal");
    const donors = OTHERS.flatMap((path) => {
      const slot = OpenSlot.open(kernel, path, "read");
      const reading = readSeal(kernel, slot.raw, BigInt(slot.size));
      return reading.is === "sealed" ? [{ name: path, slot, manifest: reading.seal.manifest }] : [];
    });
    const { seal } = sealed;
    return use({
      ...{ seal, layout: layoutOf(seal.manifest), source, target, donors },
      withdraw: () => {
        this.withdrawals++;
        if (kernel.trace.includes("write(")) throw new Error("written before it was withdrawn");
      },
      told: (step) => void this.steps.push(step),
    });
  }

  install(source: ImageSource | null, kernel = this.kernel(), change: Partial<Wanted> = {}): Promise<Converged> {
    return this.with(kernel, source, (wanted) => converge({ ...wanted, ...change }));
  }

  plan(source: ImageSource | null, change: Partial<Wanted> = {}) {
    return this.with(this.kernel(), source, (wanted) => planConvergence({ ...wanted, ...change }));
  }

  /** Whether the target is this image, whole, with its footer at the end. */
  holds({ bytes }: SealedImage): boolean {
    const there = this.bytes(TARGET);
    const body = Buffer.compare(there.subarray(0, bytes.length - BLOCK), bytes.subarray(0, bytes.length - BLOCK)) === 0;
    return body && Buffer.compare(there.subarray(there.length - BLOCK), bytes.subarray(bytes.length - BLOCK)) === 0;
  }
}
