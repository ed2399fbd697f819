import { BlockAssembler } from "../../boot/converge/assembler.ts";
import { blocksOf, coalesce, type Run } from "../../boot/converge/ranges.ts";
import { BLOCK } from "../../boot/image/verity.ts";
import { type ImageSource, SourceError } from "./source.ts";

/** When more blocks than this are wrong it is another image, and asking again would be for nothing. */
const MOST_WRONG = 16;

/**
 * Fetches the blocks of `runs`, which ascend and count from the image's start. `accept` gets each once, in any order, its bytes
 * only until it returns, and says whether it is right. One that is not is asked for once more.
 *
 * @param isWanted false for blocks between the runs, which come along where that costs less than leaving them out
 * @throws SourceError where a block is wrong again, or the source gives up
 */
export async function fetchBlocks(
  source: ImageSource,
  runs: readonly Run[],
  isWanted: (block: number) => boolean,
  accept: (block: number, bytes: Uint8Array) => boolean,
): Promise<void> {
  const assembler = new BlockAssembler();
  const wrong: number[] = [];
  let right = 0;
  const take = (block: number, bytes: Uint8Array): void => {
    if (!isWanted(block)) return;
    if (accept(block, bytes)) {
      right++;
      return;
    }
    wrong.push(block);
    if (wrong.length > MOST_WRONG) throw wrongBlocks(source, wrong);
  };
  const ranges = coalesce(runs).map(({ first, count }) => ({ offset: first * BLOCK, length: count * BLOCK }));
  if (ranges.length > 0) await source.fetch(ranges, (offset, bytes) => assembler.add(offset, bytes, take));
  for (const block of wrong) {
    if (!accept(block, await source.read({ offset: block * BLOCK, length: BLOCK }))) throw wrongBlocks(source, [block]);
    right++;
  }
  const asked = blocksOf(runs);
  if (right < asked) throw new SourceError(`${source.name} gave ${right} of ${asked} blocks that it was asked for; try again`);
}

function wrongBlocks(source: ImageSource, blocks: readonly number[]): SourceError {
  const [first = 0] = blocks;
  const which = blocks.length === 1 ? "the block" : `${blocks.length} blocks, the first of them`;
  return new SourceError(
    `${source.name}: ${which} at byte ${first * BLOCK}, is not what the image's seal says; the file there is damaged, or was replaced by another one meanwhile: publish it again, then repeat this (what has come is kept)`,
  );
}
