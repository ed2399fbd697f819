/** One request's worth of a range. */
export interface Piece {
  offset: number;
  length: number;
  /** The piece goes on where the one before it ended, in the same range. */
  continues: boolean;
}

/** Bytes of the largest request: big enough that asking costs nothing beside it, small enough to be held. */
export const LARGEST_PIECE = 1024 * 1024;

/** `ranges` in requests: a small range is one, a big one several that can be fetched at the same time. */
export function* splitRanges(
  ranges: Iterable<{ offset: number; length: number }>,
  largest = LARGEST_PIECE,
): Generator<Piece, void> {
  for (const { offset, length } of ranges) {
    for (let done = 0; done < length; done += largest) {
      yield { offset: offset + done, length: Math.min(largest, length - done), continues: done > 0 };
    }
  }
}
