/**
 * Where an image comes from. Converge asks a source for ranges of bytes and believes none of them: everything is checked
 * against the seal and its tree before it is used.
 */

import type { Manifest } from "../../boot/image/seal.ts";

/** Bytes of an image: offsets and lengths are bytes from the image's start, multiples of 4 KiB. */
export interface ByteRange {
  offset: number;
  length: number;
}

/** Takes bytes that belong at `offset`. They are the sink's only until it returns. */
export type Sink = (offset: number, bytes: Uint8Array) => void | Promise<void>;

export interface ImageSource {
  /** What people gave: "https://updates.example/v2.img". Never with credentials in it. */
  readonly name: string;
  /** Bytes of the image; asks the source where that is not known yet. */
  size(): Promise<number>;
  /** One range, whole: the footer, the seal, blocks of the tree. */
  read(range: ByteRange): Promise<Uint8Array>;
  /**
   * Gives `sink` all bytes of `ranges`, which ascend and do not overlap. Pieces of one range come in order, those of several
   * may come in any. Waits for the sink. Where the source breaks off it goes on by itself (its own retries), never giving a byte
   * twice; it throws {@link SourceError} when it gives up.
   */
  fetch(ranges: readonly ByteRange[], sink: Sink): Promise<void>;
  /** Bytes that came over the network, headers aside; 0 for a local source. */
  readonly transferred: number;
  /**
   * Why an image of `size` bytes with this manifest is another one than the source was opened for; null where it is that one.
   * Left out where any may come.
   */
  otherThanNamed?(manifest: Manifest, size: number): string | null;
  close(): Promise<void>;
}

/** A source that cannot or will not give what it was asked for. The message names the source, what was seen, and the remedy. */
export class SourceError extends Error {
  override readonly name = "SourceError";
}
