import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { BLOCK } from "../../boot/image/verity.ts";
import { BadMedium } from "../../init/converge/converge.ts";
import { SourceError } from "../../init/converge/source.ts";
import { readSeal } from "../../init/image/read-seal.ts";
import { O } from "../../init/kernel/constants.ts";
import { blockOf, imageOf, MemorySource, OTHERS, SlotsWorld, TARGET } from "./converge-world.ts";

const [DONOR = "", OTHER = ""] = OTHERS;
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => from + index);

test("install into an empty slot: everything is fetched but zeros, and read back", async () => {
  const world = new SlotsWorld(400);
  const image = await imageOf(1, [...range(1, 200), 0, 0, ...range(300, 350)]);
  const source = new MemorySource(image.bytes);
  const planned = await world.plan(source);
  assert.is(world.withdrawals, 0);
  assert.equal({ ...planned }, { there: 2, zero: 0, target: 0, donors: [], source: 250, between: 2, tree: 3 });
  assert.ok(
    world.bytes(TARGET).every((byte) => byte === 0),
    "a plan writes nothing",
  );
  source.given.length = 0;
  const done = await world.install(source);
  assert.equal(done, { ...planned, changed: true });
  assert.ok(world.holds(image));
  assert.is(world.withdrawals, 1);
  // Footer, seal, tree, data, and the two zero blocks in the gap.
  assert.is(source.given.length, 2 + 3 + 252);
  assert.is(new Set(source.given).size, source.given.length, "nothing twice");
  assert.equal([...new Set(world.steps.map(({ phase }) => phase))], ["tree", "compare", "write", "verify"]);
  const last = world.steps.at(-1);
  assert.is(last?.done, last?.total);
});

test("an update: what donors and the target hold is not fetched", async () => {
  const world = new SlotsWorld(400);
  world.put(DONOR, await imageOf(1, range(1, 200)));
  world.put(TARGET, await imageOf(2, range(150, 300)));
  const image = await imageOf(3, [...range(50, 120), 900, 901, ...range(120, 250)]);
  const source = new MemorySource(image.bytes);
  const done = await world.install(source);
  assert.ok(world.holds(image));
  // The superblock and the two new blocks.
  assert.is(done.source, 3);
  assert.is(done.donors[0], 150);
  assert.is(done.target + done.there, 50);
  assert.equal(source.given.slice(-3), [0, 71, 72]);
});

test("the slot holds it already: nothing is written, nothing withdrawn", async () => {
  const world = new SlotsWorld(400);
  const image = await imageOf(1, range(1, 150));
  world.put(TARGET, image);
  const kernel = world.kernel();
  const done = await world.install(new MemorySource(image.bytes), kernel);
  assert.is(done.changed, false);
  assert.is(done.there, 150);
  assert.is(world.withdrawals, 0);
  assert.not.match(kernel.trace, /write/);
});

test("repair: damaged blocks alone, in place, from another slot first", async () => {
  const world = new SlotsWorld(400);
  const image = await imageOf(1, range(1, 150));
  world.put(TARGET, image);
  world.put(DONOR, await imageOf(2, range(1, 100)));
  const { storage } = world.device(TARGET);
  for (const block of [5, 60, 120]) storage.write(block * BLOCK + 100, new Uint8Array([1, 2, 3]));
  storage.sync();
  const kernel = world.kernel();
  const source = new MemorySource(image.bytes);
  const done = await world.install(source, kernel);
  assert.is(world.withdrawals, 0);
  assert.ok(world.holds(image));
  assert.is(done.donors[0], 2);
  assert.is(done.source, 1);
  assert.equal(
    kernel.trace.match(/^write.*/gm)?.map((line) => /0x[0-9a-f]+(?=\)$)/.exec(line)?.[0]),
    [`0x${(5 * BLOCK).toString(16)}`, `0x${(60 * BLOCK).toString(16)}`, `0x${(120 * BLOCK).toString(16)}`],
  );
});

test("repair without a source: a twin slot gives tree and data; without one it says that blocks are missing", async () => {
  const image = await imageOf(1, range(1, 300));
  for (const twin of [true, false]) {
    const world = new SlotsWorld(400);
    world.put(TARGET, image);
    if (twin) world.put(OTHER, image);
    const { storage } = world.device(TARGET);
    for (const block of [0, 16, 40, 303, 306]) storage.write(block * BLOCK + 2000, new Uint8Array([1, 2, 3]));
    storage.sync();
    if (twin) {
      const done = await world.install(null);
      assert.ok(world.holds(image));
      assert.equal([done.donors[0], done.tree], [3, 0]);
    } else {
      const error = await world.install(null).then(
        () => null,
        (thrown: unknown) => thrown,
      );
      assert.match(String(error), /of the hash tree a block is damaged/);
    }
  }
});

test("repair of a damaged seal, footer, superblock or tree: from the source, and nothing is withdrawn", async () => {
  const image = await imageOf(1, range(1, 300));
  const size = 400 * BLOCK;
  const layout = { superblock: 300, tree: 301, leaves: 304, seal: 305 };
  for (const [name, offset] of Object.entries({ footer: size - 100, ...layout }).map(
    ([name, at]) => [name, at > 400 ? size - 4000 : at * BLOCK + 5] as const,
  )) {
    const world = new SlotsWorld(400);
    world.put(TARGET, image);
    const { storage } = world.device(TARGET);
    storage.write(offset, new Uint8Array([9, 9, 9]));
    storage.sync();
    const done = await world.install(new MemorySource(image.bytes));
    assert.is(world.withdrawals, 0, name);
    assert.ok(done.changed && world.holds(image), name);
    assert.is(done.source, 0, name);
  }
});

test("a seal that merely lies about is no reason to write in place", async () => {
  const world = new SlotsWorld(400);
  const image = await imageOf(1, range(1, 300));
  world.put(TARGET, image);
  // A smaller image came since: its own footer, and the old seal far behind it.
  const smaller = await imageOf(2, range(1, 50));
  const { storage } = world.device(TARGET);
  storage.write(0, smaller.bytes.subarray(0, smaller.bytes.length - BLOCK));
  storage.write(storage.size - BLOCK, smaller.bytes.subarray(smaller.bytes.length - BLOCK));
  storage.sync();
  await world.install(new MemorySource(image.bytes));
  assert.is(world.withdrawals, 1);
  assert.ok(world.holds(image));
});

test("a block that the source has wrong once is asked for again; twice stops, and what came is kept", async () => {
  const image = await imageOf(1, range(1, 300));
  const world = new SlotsWorld(400);
  const source = new MemorySource(image.bytes);
  source.wrong.set(70, 1);
  await world.install(source);
  assert.ok(world.holds(image));

  const second = new SlotsWorld(400);
  const bad = new MemorySource(image.bytes);
  bad.wrong.set(70, 100);
  const error = await second.install(bad).then(
    () => null,
    (thrown: unknown) => thrown,
  );
  assert.instance(error, SourceError);
  assert.match(String(error), new RegExp(`the block at byte ${70 * BLOCK}, is not what the image's seal says`));
  const kernel = second.kernel();
  assert.is(readSeal(kernel, kernel.open(TARGET, O.RDONLY), BigInt(400 * BLOCK)).is, "unsealed");
  const again = new MemorySource(image.bytes);
  const done = await second.install(again);
  assert.ok(second.holds(image));
  // The wrong one, and the two blocks of a superblock, which are written last.
  assert.is(done.source, 3);

  const replaced = new MemorySource((await imageOf(2, range(1001, 1300))).bytes);
  const other = new SlotsWorld(400);
  const mixed = new MemorySource(image.bytes);
  mixed.fetch = (ranges, sink) => replaced.fetch(ranges, sink);
  const stopped = await other.install(mixed).then(
    () => null,
    (thrown: unknown) => thrown,
  );
  assert.match(String(stopped), /memory: .* is not what the image's seal says/);
  assert.ok(
    other
      .bytes(TARGET)
      .subarray(0, 300 * BLOCK)
      .every((byte) => byte === 0),
    "nothing of its data was written",
  );
});

test("resume: a source that breaks off anywhere; the next run fetches what is missing", async () => {
  const image = await imageOf(1, range(1, 300));
  const whole = new MemorySource(image.bytes);
  await new SlotsWorld(400).install(whole);
  for (let share = 1; share < 10; share++) {
    const world = new SlotsWorld(400);
    const first = new MemorySource(image.bytes);
    first.breaksAfter = Math.floor((whole.transferred * share) / 10);
    await world.install(first).then(
      () => assert.unreachable(),
      (error: unknown) => assert.instance(error, SourceError),
    );
    const second = new MemorySource(image.bytes);
    await world.install(second);
    assert.ok(world.holds(image));
    // Footer and seal again, the superblock, and what was in the pieces on their way.
    const twice = first.transferred + second.transferred - whole.transferred;
    assert.ok(twice <= 300 * BLOCK * 0.1 + 40 * BLOCK, `${twice / BLOCK} blocks were fetched twice at ${share}/10`);
  }
});

test("a donor whose blocks or tree are damaged: those are fetched", async () => {
  const world = new SlotsWorld(400);
  const old = await imageOf(1, range(1, 300));
  world.put(DONOR, old);
  const { storage } = world.device(DONOR);
  storage.write(20 * BLOCK, new Uint8Array([1]));
  // The second block of leaves: those of the blocks 128 to 255.
  storage.write(303 * BLOCK, new Uint8Array([1]));
  storage.sync();
  const image = await imageOf(2, range(1, 300));
  const source = new MemorySource(image.bytes);
  const done = await world.install(source);
  assert.ok(world.holds(image));
  assert.is(done.donors[0], 299 - 128);
  assert.ok(source.given.includes(20));
});

test("a medium that gives back other bytes than were written", async () => {
  const world = new SlotsWorld(400);
  const image = await imageOf(1, range(1, 150));
  const { storage } = world.device(TARGET);
  const read = storage.read.bind(storage);
  storage.read = (offset: number, length: number) => {
    const bytes = read(offset, length);
    const at = 33 * BLOCK - offset;
    if (at >= 0 && at < length) bytes[at] = 1;
    return bytes;
  };
  const error = await world.install(new MemorySource(image.bytes)).then(
    () => null,
    (thrown: unknown) => thrown,
  );
  assert.instance(error, BadMedium);
  assert.match(String(error), /block 33 of the data .* the disk is failing/);
});

test("any old content, any donor, windows of any size: the image, as planned", async () => {
  const contents = fc.array(fc.integer({ min: 0, max: 60 }), { minLength: 20, maxLength: 180 });
  // Windows of a few blocks, and leaves that are read again as they are needed, as an image of many GiB has them.
  const limits = fc.record({ windowBlocks: fc.integer({ min: 1, max: 200 }), mostKept: fc.constantFrom(0, 1000) });
  await fc.assert(
    fc.asyncProperty(contents, contents, contents, limits, async (old, donor, wanted, limit) => {
      const world = new SlotsWorld(220);
      world.put(TARGET, await imageOf(1, old));
      world.put(DONOR, await imageOf(2, donor));
      const image = await imageOf(3, wanted);
      const planned = await world.plan(new MemorySource(image.bytes), limit);
      const source = new MemorySource(image.bytes);
      const done = await world.install(source, world.kernel(), limit);
      assert.ok(world.holds(image));
      assert.is(planned.there + planned.zero + planned.target + planned.source + (planned.donors[0] ?? 0), wanted.length + 1);
      // The old seal and head, which withdrawing takes away, may have been counted on.
      assert.ok(Math.abs(done.source - planned.source) <= 2, `${done.source} fetched, ${planned.source} planned`);
      // Leaves that are not kept are asked for when they are proven, and when they are written.
      const twice = source.given.length - (2 + done.tree + done.source + done.between);
      assert.ok(limit.mostKept === 0 ? twice >= 0 && twice <= done.tree : twice === 0, `${twice} blocks too many`);
    }),
    { numRuns: process.env.SLIPWAY_TIER === "long" ? 500 : 40 },
  );
});

test("blocks are told apart", () => {
  assert.not.equal(blockOf(1), blockOf(2));
});

test.run();
