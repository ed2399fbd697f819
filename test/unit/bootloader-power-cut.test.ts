/** The power goes at every effect of an install, a commit, a rollback and a check: what the firmware starts then is whole. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { walkEntries } from "../../init/kernel/recording/memory-nodes.ts";
import { PowerCut } from "../../init/kernel/recording/script.ts";
import { BootloaderWorld, source } from "./bootloader-world.ts";

const fates = ["kept", "lost"] as const;

/** In the first tier each third cut, others for each fate. */
const stride = process.env.SLIPWAY_TIER === "long" ? 1 : 3;

/** A machine that runs what was installed once already, so that both directories hold an edition. */
async function upgraded(): Promise<BootloaderWorld> {
  const world = new BootloaderWorld();
  world.start();
  world.settle(true);
  world.start();
  for (const name of ["one", "two"]) {
    await world.install(source(name));
    assert.equal(world.start(), { by: name });
    world.settle(true);
  }
  assert.equal(world.start(), { by: "two" });
  world.settle(true);
  return world;
}

/**
 * Does `work` with the power cut after every number of effects, then starts, lets the system commit, starts again, and upgrades.
 * `allowed`: who may have been started first, and who boots once all is settled.
 */
async function cutEverywhere(
  world: BootloaderWorld,
  work: () => unknown,
  allowed: { first: string[]; settled: string[] },
): Promise<number> {
  const back = world.checkpoint();
  back();
  await work();
  const total = world.kernel.effects;
  assert.ok(total > 3, `${total} effects`);
  for (const [index, unsynced] of fates.entries()) {
    for (let effects = index % stride; effects < total; effects += stride) {
      back();
      const text = `cut after ${effects} of ${total} effects, unsynced ${unsynced}`;
      world.kernel.crashAfter(effects, 0, unsynced);
      try {
        await work();
        assert.unreachable(text);
      } catch (error) {
        if (!(error instanceof PowerCut)) throw error;
      }
      const first = world.start();
      assert.ok("by" in first && allowed.first.includes(first.by), `${text}: ${JSON.stringify(first)} started`);
      world.settle(true);
      const second = world.start();
      assert.ok("by" in second && allowed.settled.includes(second.by), `${text}: ${JSON.stringify(second)} started then`);
      assert.equal(world.settle(true).warnings, [], text);
      assert.equal(world.status().wrong, [], text);
      assert.is(world.next, null, text);
      await world.install(source("later"));
      assert.equal(world.start(), { by: "later" }, text);
      world.settle(true);
      assert.equal(world.start(), { by: "later" }, text);
      assert.equal(world.settle(true).warnings, [], text);
    }
  }
  back();
  return total;
}

test("an install that is cut anywhere leaves the running loader first, and the next install works", async () => {
  const world = await upgraded();
  const total = await cutEverywhere(world, () => world.install(source("new")), {
    first: ["two", "new"],
    settled: ["two", "new"],
  });
  assert.ok(total > 40, `${total} effects`);
});

test("an install that is cut where room is for one more edition alone: what it left is no reason to refuse the next one", async () => {
  const world = await upgraded();
  const { filesystem } = world.device("esp-b");
  if (filesystem === null) throw new Error("no filesystem");
  const used = [...walkEntries(filesystem.root)].reduce((sum, { node }) => sum + node.bytes.allocated, 0);
  // Of 4 KiB: three files, the manifest, and what FAT takes besides.
  filesystem.capacity = { bytes: Math.ceil(used / 4096) * 4096 + 11 * 4096, inodes: 1000 };
  await cutEverywhere(world, () => world.install(source("new")), { first: ["two", "new"], settled: ["two", "new"] });
  await cutEverywhere(world, () => world.install(source("bad", "hangs")), { first: ["two"], settled: ["two"] });
});

test("the install of a loader that hangs, cut anywhere, always ends on the running one", async () => {
  const world = await upgraded();
  await cutEverywhere(world, () => world.install(source("bad", "hangs")), { first: ["two"], settled: ["two"] });
});

test("a commit that is cut anywhere leaves the former loader or the new one first", async () => {
  const world = await upgraded();
  await world.install(source("new"));
  assert.equal(world.start(), { by: "new" });
  await cutEverywhere(world, () => world.settle(true), { first: ["two", "new"], settled: ["two", "new"] });
});

test("the end of a failed trial, cut anywhere, is made up for", async () => {
  const world = await upgraded();
  await world.install(source("bad", "hangs"));
  assert.equal(world.start(), { by: "two" });
  await cutEverywhere(world, () => world.settle(true), { first: ["two"], settled: ["two"] });
});

test("a rollback that is cut anywhere leaves one of both loaders first", async () => {
  const world = await upgraded();
  await cutEverywhere(world, () => world.rollBack(), { first: ["one", "two"], settled: ["one", "two"] });
});

test("a trial that is given up, cut anywhere, never ends on a half", async () => {
  const world = await upgraded();
  await world.install(source("new"));
  await cutEverywhere(world, () => world.rollBack(), { first: ["two", "new"], settled: ["two", "new"] });
});

test("entries that are put right, cut anywhere, always lead to a whole loader", async () => {
  const world = await upgraded();
  const [first = 0, second = 0, ...rest] = world.order;
  const option = world.entry(second);
  world.setEntry(0x30, option);
  world.order = [...rest, 0x30, second];
  world.setEntry(first, null);
  await cutEverywhere(world, () => world.settle(true), { first: ["last resort", "one", "two"], settled: ["two"] });
});

test.run();
