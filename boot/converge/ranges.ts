/** What is asked of a source at once: runs of missing blocks, joined where the gap costs less than a request. */

/** Blocks one after the other. */
export interface Run {
  first: number;
  count: number;
}

/** A gap of more blocks than this is a request of its own: 32 KiB take about as long as asking does. */
export const WIDEST_GAP = 8;
/** Blocks that are fetched though they are not missing, as a share of the missing ones, at most. */
export const MOST_OVERHEAD = 0.03;

/**
 * `runs`, which ascend, with gaps between them closed: the narrowest first, none wider than {@link WIDEST_GAP} blocks, all
 * together no more than {@link MOST_OVERHEAD} of the missing blocks.
 */
export function coalesce(runs: readonly Run[]): Run[] {
  const missing = runs.reduce((sum, { count }) => sum + count, 0);
  const limit = narrowEnough(runs, Math.floor(missing * MOST_OVERHEAD));
  let left = limit.exactly;
  const joined: Run[] = [];
  for (const run of runs) {
    const last = joined.at(-1);
    const gap = last === undefined ? Number.POSITIVE_INFINITY : run.first - last.first - last.count;
    const closes = gap < limit.below || (gap === limit.below && left >= gap);
    if (gap === limit.below && closes) left -= gap;
    if (last !== undefined && closes) last.count = run.first + run.count - last.first;
    else joined.push({ ...run });
  }
  return joined;
}

/** All gaps narrower than `below` fit into the budget of blocks, and of those as wide as that `exactly` so many blocks. */
function narrowEnough(runs: readonly Run[], budget: number): { below: number; exactly: number } {
  const ofWidth = new Array<number>(WIDEST_GAP + 1).fill(0);
  for (let index = 1; index < runs.length; index++) {
    const [before, run] = [runs[index - 1], runs[index]];
    if (before === undefined || run === undefined) continue;
    const gap = run.first - before.first - before.count;
    if (gap <= WIDEST_GAP) ofWidth[gap] = (ofWidth[gap] ?? 0) + 1;
  }
  let left = budget;
  for (let width = 0; width <= WIDEST_GAP; width++) {
    const blocks = width * (ofWidth[width] ?? 0);
    if (blocks > left) return { below: width, exactly: left };
    left -= blocks;
  }
  return { below: WIDEST_GAP + 1, exactly: 0 };
}

/** Blocks of all runs together. */
export function blocksOf(runs: readonly Run[]): number {
  return runs.reduce((sum, { count }) => sum + count, 0);
}

/**
 * Runs of the numbers from 0 up to `count` that are wanted, none longer than `longest`, from the first or from the last on; where
 * `follows` is given, the numbers of a run follow its first one. What is changed while the generator waits does not change the run
 * that it gave.
 */
export function* runsIn(
  count: number,
  longest: number,
  descending: boolean,
  isWanted: (index: number) => boolean,
  follows: (begin: number, index: number) => boolean = () => true,
): Generator<Run> {
  const step = descending ? -1 : 1;
  const end = descending ? -1 : count;
  for (let index = descending ? count - 1 : 0; index !== end; ) {
    if (!isWanted(index)) {
      index += step;
      continue;
    }
    // No closure over the loop's own variable: one for each block would be memory that is not collected soon.
    const begin = index;
    index += step;
    while (index !== end && Math.abs(index - begin) < longest && isWanted(index) && follows(begin, index)) index += step;
    yield { first: descending ? index + 1 : begin, count: Math.abs(index - begin) };
  }
}
