import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { BlockAssembler } from "../../boot/converge/assembler.ts";
import { LeafIndex } from "../../boot/converge/leaf-index.ts";
import { blocksOf, coalesce, MOST_OVERHEAD, type Run, WIDEST_GAP } from "../../boot/converge/ranges.ts";
import { type Copy, WindowPlan } from "../../boot/converge/window-plan.ts";
import { BLOCK } from "../../boot/image/verity.ts";
import { sha256Bytes } from "../../state-ops/sha256.ts";

const runs = (long: number) => (process.env.SLIPWAY_TIER === "long" ? long * 20 : long);

/** A block's content by a number; 0 is zeros. */
const digestOf = (content: number) => (content === 0 ? new Uint8Array(32) : sha256Bytes(`content ${content}`));
const ZERO = digestOf(0);
const FIRST = 1000;

interface World {
  image: number[];
  target: number[];
  donors: number[][];
}

/** A plan for the window that is the whole image, which begins with the block `FIRST` so that numbers cannot be mixed up. */
function planned({ image, target, donors }: World): WindowPlan {
  const plan = new WindowPlan(image.length + 3, ZERO);
  plan.begin(FIRST, image.length);
  for (const [index, content] of image.entries()) plan.setLeaf(FIRST + index, digestOf(content), 0);
  for (const [index, content] of image.entries()) {
    const found = target[index] ?? -1;
    if (found === content) plan.isThere(FIRST + index);
    else plan.isElse(FIRST + index, digestOf(found), 0);
  }
  for (const [donor, blocks] of donors.entries())
    for (const [index, content] of blocks.entries()) plan.hasDonor(donor, index, digestOf(content), 0);
  plan.settle();
  return plan;
}

class Cut extends Error {}

/** Carries the plan out on `target`; `writes` blocks are written before the cut. Returns how many were fetched. */
function carriedOut(world: World, plan: WindowPlan, writes = Number.POSITIVE_INFINITY): number {
  const { image, target, donors } = world;
  let left = writes;
  const put = (block: number, content: number | undefined): boolean => {
    if (content !== image[block - FIRST]) return false;
    if (left-- <= 0) throw new Cut();
    target[block - FIRST] = content ?? -1;
    return true;
  };
  const copy = ({ donor, from, to, count }: Copy) => {
    const source = donor === null ? target.slice(from - FIRST, from - FIRST + count) : donors[donor]?.slice(from, from + count);
    for (let index = 0; index < count; index++) {
      if (put(to + index, source?.[index])) plan.arrived(to + index);
      else plan.failed(to + index);
    }
  };
  for (const move of plan.moves()) copy(move);
  for (const { first, count } of plan.zeros()) for (let block = first; block < first + count; block++) put(block, 0);
  for (const donation of plan.donations(donors.length)) copy(donation);
  let fetched = 0;
  for (const { first, count } of plan.missing(0, 1e9)) {
    for (let block = first; block < first + count; block++) {
      put(block, image[block - FIRST]);
      plan.arrived(block);
      fetched++;
    }
  }
  for (const twin of plan.twins()) copy(twin);
  assert.is(plan.amounts(donors.length).source, 0, "nothing that was planned as a copy failed");
  return fetched;
}

const contents = fc.array(fc.integer({ min: 0, max: 40 }), { minLength: 1, maxLength: 60 });
/** An image that is another one with parts moved, dropped and new. */
const edited = (base: number[]) =>
  fc
    .array(fc.tuple(fc.nat(60), fc.nat(20), fc.nat(60), fc.boolean()), { maxLength: 5 })
    .map((edits) =>
      edits.reduce((image, [from, count, to, drop]) => {
        const rest = image.slice();
        const part = drop ? rest.splice(from, count) : rest.slice(from, from + count);
        rest.splice(to, 0, ...part, 1000 + to);
        return rest;
      }, base),
    )
    .map((image) => (image.length === 0 ? [1] : image));
const worlds = contents.chain((base) =>
  fc.record({ image: edited(base), target: edited(base), donors: fc.array(edited(base), { maxLength: 3 }) }),
);

test("plan: carried out it gives the image, and fetches what it said", () => {
  fc.assert(
    fc.property(worlds, (given) => {
      const world = { ...given, target: [...given.target] };
      const plan = planned(world);
      const amounts = plan.amounts(world.donors.length);
      const { there, zero, target, donors, source } = amounts;
      assert.is(there + zero + target + source + donors.reduce((sum, count) => sum + count, 0), world.image.length);
      assert.is(carriedOut(world, plan), source);
      assert.equal(world.target.slice(0, world.image.length), world.image);
    }),
    { numRuns: runs(1000) },
  );
});

test("plan: nothing is fetched that a donor has, or that lies in the target where nothing is written", () => {
  fc.assert(
    fc.property(worlds, (given) => {
      const world = { ...given, target: [...given.target] };
      const inDonors = new Set(world.donors.flat());
      const there = new Set(world.image.filter((content, index) => world.target[index] === content));
      const plan = planned(world);
      const fetched = plan.missing(0, 1e9).flatMap(({ first, count }) => world.image.slice(first - FIRST, first - FIRST + count));
      for (const content of fetched) {
        assert.not(inDonors.has(content), `${content} is in a donor`);
        assert.not(there.has(content), `${content} is in the target already`);
        assert.is.not(content, 0);
      }
      assert.is(new Set(fetched).size, fetched.length, "nothing is fetched twice");
    }),
    { numRuns: runs(1000) },
  );
});

test("plan: cut after any write, the next run needs no more than what was missing", () => {
  fc.assert(
    fc.property(worlds, fc.nat(80), (given, writes) => {
      const world = { ...given, target: [...given.target] };
      const plan = planned(world);
      const { source } = plan.amounts(world.donors.length);
      try {
        carriedOut(world, plan, writes);
      } catch (error) {
        if (!(error instanceof Cut)) throw error;
      }
      const again = planned(world);
      const rest = again.amounts(world.donors.length).source;
      assert.is(carriedOut(world, again), rest);
      assert.equal(world.target.slice(0, world.image.length), world.image);
      // Blocks that only the target had may be gone, those that only the source has are fetched once.
      if (world.target.length === 0) assert.ok(rest <= source);
    }),
    { numRuns: runs(1000) },
  );
});

test("plan: an image that lies in the target one block further is moved, in either direction", () => {
  const content = Array.from({ length: 600 }, (_, index) => index + 1);
  const up = planned({ image: content, target: [...content.slice(1), 9999], donors: [] });
  assert.is(up.amounts(0).source, 1);
  const { to, count } = [...up.moves()][0] ?? { to: 0, count: 0 };
  assert.is(to + count, FIRST + 600, "the last block first");
  const down = planned({ image: content, target: [9999, ...content.slice(0, -1)], donors: [] });
  assert.is(down.amounts(0).source, 1);
  assert.is([...down.moves()][0]?.to, FIRST, "the first block first");
});

test("plan: two halves that changed places: one is fetched", () => {
  const half = (first: number) => Array.from({ length: 50 }, (_, index) => first + index);
  const plan = planned({ image: [...half(1), ...half(101)], target: [...half(101), ...half(1)], donors: [] });
  assert.equal(plan.amounts(0), { there: 0, zero: 0, target: 50, donors: [], source: 50 });
});

test("plan: the blocks of a superblock are no place to copy from", () => {
  const plan = new WindowPlan(20, ZERO);
  plan.begin(0, 20);
  for (let block = 0; block < 20; block++) plan.setLeaf(block, digestOf(block === 5 ? 1 : block + 1), 0);
  plan.isThere(0);
  for (let block = 1; block < 20; block++) plan.isElse(block, digestOf(block === 16 ? 4 : 700), 0);
  plan.settle();
  assert.equal(plan.amounts(0), { there: 1, zero: 0, target: 1, donors: [], source: 18 });
  assert.equal([...plan.moves()], [], "4 in the block 16 is not taken");
  assert.equal([...plan.twins()], [{ donor: null, from: 0, to: 5, count: 1 }]);
});

test("plan: a second window knows nothing of the first", () => {
  const plan = new WindowPlan(4, ZERO);
  for (const first of [0, 4]) {
    plan.begin(first, 4);
    for (let block = first; block < first + 4; block++) plan.setLeaf(block, digestOf(block + 1), 0);
    if (first === 4) plan.hasDonor(0, 0, digestOf(1), 0);
    plan.settle();
    assert.is(plan.amounts(1).source, 4);
    assert.equal(plan.missing(first + 1, 1), [{ first: first + 1, count: 3 }]);
    assert.is(plan.isMissing(first === 0 ? 4 : 3), false);
  }
  assert.throws(() => plan.begin(0, 5), /a window of 5/);
});

test("index: finds the first block with a digest, among many", () => {
  const index = new LeafIndex(5000);
  for (let block = 0; block < 5000; block++) {
    assert.is(index.add(block, digestOf(1 + (block % 3000)), 0), block < 3000 ? null : block - 3000);
  }
  for (let block = 0; block < 3000; block++) assert.is(index.find(digestOf(1 + block), 0), block);
  assert.is(index.find(digestOf(9999), 0), null);
});

/** Runs from their gaps and lengths. */
const someRuns = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 200 })), { minLength: 1, maxLength: 40 })
  .map((pairs) => {
    let at = 0;
    return pairs.map(([gap, count]): Run => {
      const first = at + gap;
      at = first + count;
      return { first, count };
    });
  });

test("ranges: joined they hold every block, no wide gap, and no more than 3 % beside", () => {
  fc.assert(
    fc.property(someRuns, (given) => {
      const joined = coalesce(given);
      const missing = blocksOf(given);
      assert.ok(blocksOf(joined) - missing <= missing * MOST_OVERHEAD);
      for (const { first, count } of given)
        assert.ok(joined.some((range) => range.first <= first && first + count <= range.first + range.count));
      for (const [index, { first, count }] of joined.entries()) {
        const next = joined[index + 1];
        if (next) assert.ok(next.first > first + count);
      }
      // As many gaps as the budget allows are closed: the narrowest of those left open would not fit.
      const gaps = (ranges: readonly Run[]) => ranges.slice(1).map((run, index) => run.first - end(ranges[index]));
      const open = gaps(joined).filter((gap) => gap <= WIDEST_GAP);
      const room = Math.floor(missing * MOST_OVERHEAD) - (blocksOf(joined) - missing);
      for (const gap of open) assert.ok(gap > room, `a gap of ${gap} is open, with room for ${room}`);
    }),
    { numRuns: runs(1000) },
  );
});

function end(run: Run | undefined): number {
  return run === undefined ? 0 : run.first + run.count;
}

test("ranges: tables", () => {
  assert.equal(coalesce([]), []);
  const lone = [
    { first: 5, count: 1 },
    { first: 7, count: 1 },
  ];
  assert.equal(coalesce(lone), lone, "3 % of two blocks is none");
  const wide = [
    { first: 0, count: 1000 },
    { first: 1009, count: 1000 },
  ];
  assert.equal(coalesce(wide), wide, "nine blocks cost more than a request");
  assert.equal(
    coalesce([
      { first: 0, count: 1000 },
      { first: 1008, count: 1000 },
    ]),
    [{ first: 0, count: 2008 }],
  );
  assert.equal(
    coalesce([
      { first: 0, count: 4 },
      { first: 4, count: 4 },
    ]),
    [{ first: 0, count: 8 }],
    "neighbours always",
  );
});

test("assembler: blocks of pieces of any length, of ranges that come mixed", () => {
  const ranges = [
    { first: 2, count: 3 },
    { first: 9, count: 2 },
  ];
  const bytes = new Uint8Array(12 * BLOCK).map((_, index) => (index * 7 + Math.floor(index / BLOCK)) % 251);
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 9000 })), fc.array(fc.boolean()), (lengths, choices) => {
      const assembler = new BlockAssembler();
      const seen: number[] = [];
      const at = ranges.map(({ first, count }) => ({ next: first * BLOCK, end: (first + count) * BLOCK }));
      for (let step = 0; at.some(({ next, end }) => next < end); step++) {
        const range = at[choices[step % Math.max(1, choices.length)] ? 1 : 0];
        const other = at.find(({ next, end }) => next < end);
        const given = range !== undefined && range.next < range.end ? range : other;
        if (given === undefined) break;
        const length = Math.min(
          lengths.length === 0 || step > 500 ? 5000 : (lengths[step % lengths.length] ?? 1),
          given.end - given.next,
        );
        assembler.add(given.next, bytes.subarray(given.next, given.next + length), (block, piece) => {
          seen.push(block);
          assert.is(Buffer.compare(piece, bytes.subarray(block * BLOCK, (block + 1) * BLOCK)), 0);
        });
        given.next += length;
      }
      assert.equal(
        seen.sort((a, b) => a - b),
        [2, 3, 4, 9, 10],
      );
    }),
    { numRuns: runs(300) },
  );
  assert.throws(() => new BlockAssembler().add(100, new Uint8Array(10), () => {}), /go on with no block/);
});

test.run();
