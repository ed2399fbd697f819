/** An image to be fetched, and what is checked whenever it is. */
import { encodeFooter, footerOf } from "../../boot/image/footer.ts";
import type { ByteRange, ImageSource } from "../../init/converge/source.ts";
import { LIMITS, type Limits } from "../../init/network/limits.ts";
import { randomNumbers } from "./random.ts";

const BLOCK = 4096;

/** Bytes laid out as an image's, with an index of `indexBlocks` blocks; nothing in it but the footer means anything. */
export function sampleBytes(dataBlocks: number, indexBlocks = 4, seed = 1): { image: Uint8Array; index: Uint8Array } {
  const image = new Uint8Array((dataBlocks + indexBlocks) * BLOCK);
  const random = randomNumbers(seed);
  new Uint32Array(image.buffer).forEach((_, at, words) => {
    words[at] = random() * 2 ** 32;
  });
  const sealOffset = image.length - 2 * BLOCK;
  image.set(encodeFooter(footerOf(image.subarray(sealOffset, sealOffset + 1000), sealOffset)), image.length - BLOCK);
  return { image, index: image.subarray(dataBlocks * BLOCK) };
}

/** Takes what a source gives and complains about all that it must not do; `image` null where the content does not matter. */
export class Collector {
  given = 0;
  calls = 0;
  readonly #ends = new Map<ByteRange, number>();
  #inside = false;

  constructor(
    readonly image: Uint8Array | null,
    readonly ranges: readonly ByteRange[],
  ) {}

  readonly sink = async (offset: number, bytes: Uint8Array): Promise<void> => {
    if (this.#inside) throw new Error("the sink was called before it returned");
    if (bytes instanceof Buffer) throw new Error("a Buffer's slice() is no copy: whoever keeps bytes is deceived");
    this.#inside = true;
    this.calls += 1;
    const range = this.ranges.find((one) => offset >= one.offset && offset + bytes.length <= one.offset + one.length);
    if (range === undefined) throw new Error(`${bytes.length} bytes at ${offset} were not asked for`);
    const expected = this.#ends.get(range) ?? range.offset;
    if (offset !== expected) throw new Error(`bytes at ${offset} where ${expected} is next in its range`);
    this.#ends.set(range, offset + bytes.length);
    if (bytes.length === 0 || bytes.length % BLOCK !== 0) throw new Error(`${bytes.length} bytes are no whole blocks`);
    if (this.image !== null && Buffer.compare(bytes, this.image.subarray(offset, offset + bytes.length)) !== 0) {
      throw new Error(`the bytes at ${offset} are other ones`);
    }
    this.given += bytes.length;
    if (this.calls % 3 === 0) await Promise.resolve();
    this.#inside = false;
  };

  /** Whether everything was given. */
  get whole(): boolean {
    return this.given === this.ranges.reduce((sum, range) => sum + range.length, 0);
  }
}

/** Fetches `ranges` and returns what was given. Throws what the source throws, and for all that a source must not do. */
export async function fetchChecked(
  source: ImageSource,
  image: Uint8Array | null,
  ranges: readonly ByteRange[],
): Promise<Collector> {
  const collector = new Collector(image, ranges);
  await source.fetch(ranges, collector.sink);
  if (!collector.whole) throw new Error(`the source ended well after ${collector.given} bytes`);
  return collector;
}

/**
 * Limits with which no test waits between attempts; `pauses` takes what would be waited. Servers have all the time that a busy
 * machine may need: tests of those that say nothing use {@link IMPATIENT} besides.
 */
export function quickLimits(pauses: number[] = [], changes: Partial<Limits> = {}): Limits {
  return {
    ...LIMITS,
    connectMs: 10_000,
    headMs: 20_000,
    stallMs: 10_000,
    paceMs: 10_000,
    sleep: async (ms) => {
      pauses.push(ms);
      await Bun.sleep(1);
    },
    random: () => 0.5,
    ...changes,
  };
}

/** For servers that say nothing, or little: they are waited for, a few times. */
export const IMPATIENT: Partial<Limits> = { headMs: 500, stallMs: 300, paceMs: 600, retry: { ...LIMITS.retry, attempts: 4 } };

/** The ranges of blocks from `start` to `end`, each [start, end]. */
export function blocks(...ranges: [number, number][]): ByteRange[] {
  return ranges.map(([start, end]) => ({ offset: start * BLOCK, length: (end - start) * BLOCK }));
}
