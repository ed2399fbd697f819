/** Installs and repairs that are cut short after every write and flush: what is left boots whole or not at all, and goes on. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { readSuperblock, SUPERBLOCK_BYTES } from "../../boot/devices/superblock.ts";
import { BLOCK } from "../../boot/image/verity.ts";
import { checkSlot } from "../../init/image/check-slot.ts";
import { readSeal } from "../../init/image/read-seal.ts";
import { O } from "../../init/kernel/constants.ts";
import { PowerCut } from "../../init/kernel/recording/script.ts";
import type { SealedImage } from "../samples/sealed-image.ts";
import { imageOf, MemorySource, OTHERS, SlotsWorld, TARGET } from "./converge-world.ts";

const [RUNNING = ""] = OTHERS;
const SLOT = 60;
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => from + index);
const fates = ["kept", "lost", "mixed"] as const;

/** Runs an install with the power cut after every number of effects. `after` sees what is left, before and after a second run. */
async function cutEverywhere(
  prepare: () => Promise<SlotsWorld>,
  image: SealedImage,
  after: (world: SlotsWorld, text: string) => void | Promise<void>,
): Promise<number> {
  const first = await prepare();
  const kernel = first.kernel();
  await first.install(new MemorySource(image.bytes), kernel);
  const total = kernel.effects;
  let cuts = 0;
  for (const unsynced of fates) {
    for (let effects = 0; effects < total; effects++) {
      for (const torn of [0, 512 + 4096]) {
        const world = await prepare();
        const kernel = world.kernel();
        kernel.crashAfter(effects, torn, unsynced);
        // Every other time as with an image of many GiB, whose leaves are read again as they are needed.
        const change = effects % 2 === 0 ? {} : { mostKept: 0 };
        const error = await world.install(new MemorySource(image.bytes), kernel, change).then(
          () => null,
          (thrown: unknown) => thrown,
        );
        assert.instance(error, PowerCut);
        cuts++;
        await after(world, `cut after ${effects} of ${total} effects, ${torn} bytes of the write, unsynced ${unsynced}`);
      }
    }
  }
  return cuts;
}

/** What a machine would find in the target that never heard of a boot record. */
function found(world: SlotsWorld): { seal: string | null; damaged: number[]; filesystem: boolean } {
  const kernel = world.kernel();
  const fd = kernel.open(TARGET, O.RDONLY);
  const reading = readSeal(kernel, fd, BigInt(SLOT * BLOCK));
  const filesystem = readSuperblock(world.bytes(TARGET).subarray(0, SUPERBLOCK_BYTES)) !== null;
  if (reading.is !== "sealed") return { seal: null, damaged: [], filesystem };
  const damaged = [...checkSlot(kernel, fd, reading.seal.manifest)].flatMap((step) => step.damaged.map(({ block }) => block));
  return { seal: reading.seal.manifest.version, damaged, filesystem };
}

const data = (bytes: Uint8Array, blocks: number) => Buffer.from(bytes.subarray(0, blocks * BLOCK));

test("install cut anywhere: the old image, the new one, or nothing to boot; the second run completes it", async () => {
  const running = await imageOf(1, range(1, 30));
  const old = await imageOf(2, [...range(20, 40), 0, 0, ...range(100, 110)]);
  const image = await imageOf(3, [...range(5, 25), 500, 501, 0, ...range(100, 112), ...range(30, 36)]);
  const prepare = async () => {
    const world = new SlotsWorld(SLOT);
    world.put(RUNNING, running);
    world.put(TARGET, old);
    return world;
  };
  const seen = new Map<string, number>();
  const untouched = (await prepare()).bytes(RUNNING);
  const cuts = await cutEverywhere(prepare, image, async (world, text) => {
    assert.is(Buffer.compare(world.bytes(RUNNING), untouched), 0, `${text}: the running slot`);
    const left = found(world);
    if (left.seal !== null) {
      assert.equal(left.damaged, [], text);
      assert.ok(left.seal === "2" || left.seal === "3", text);
    } else if (left.filesystem) {
      // Without a seal it may be mounted where nothing is proven: then it is one of the two, whole.
      const bytes = world.bytes(TARGET);
      const isOne = [old, image].some(({ bytes: whole, manifest }) => {
        const blocks = manifest.filesystemSize / BLOCK;
        return Buffer.compare(data(bytes, blocks), data(whole, blocks)) === 0;
      });
      assert.ok(isOne, `${text}: a filesystem without its data`);
    }
    const key = left.seal ?? (left.filesystem ? "unsealed" : "nothing");
    seen.set(key, (seen.get(key) ?? 0) + 1);
    await world.install(new MemorySource(image.bytes));
    assert.ok(world.holds(image), `${text}: the second run`);
    assert.is(Buffer.compare(world.bytes(RUNNING), untouched), 0, `${text}: the running slot, second run`);
  });
  assert.ok((seen.get("nothing") ?? 0) > 20 && (seen.get("2") ?? 0) > 0 && (seen.get("3") ?? 0) > 0, [...seen].join(" "));
  console.log(`${cuts} power cuts in an install: ${[...seen].map(([key, count]) => `${key} ${count}`).join(", ")}`);
});

test("repair cut anywhere: seal and footer stay, no block gets worse; the second run completes it", async () => {
  const image = await imageOf(1, range(1, 30));
  const hurt = [3, 17, 29];
  const prepare = async () => {
    const world = new SlotsWorld(SLOT);
    world.put(TARGET, image);
    const { storage } = world.device(TARGET);
    for (const block of hurt) storage.write(block * BLOCK + 600, new Uint8Array(3000).fill(7));
    storage.sync();
    return world;
  };
  const cuts = await cutEverywhere(prepare, image, async (world, text) => {
    const left = found(world);
    assert.is(left.seal, "1", text);
    assert.ok(
      left.damaged.every((block) => hurt.includes(block)),
      `${text}: ${left.damaged}`,
    );
    const source = new MemorySource(image.bytes);
    const done = await world.install(source);
    assert.is(done.source, left.damaged.length, text);
    assert.ok(world.holds(image), text);
    assert.is(world.withdrawals, 0, text);
  });
  console.log(`${cuts} power cuts in a repair`);
});

test("repair of a damaged seal cut anywhere: it is never another image, and the second run completes it", async () => {
  const image = await imageOf(1, range(1, 30));
  for (const broken of ["seal", "footer"]) {
    const prepare = async () => {
      const world = new SlotsWorld(SLOT);
      world.put(TARGET, image);
      const { storage } = world.device(TARGET);
      const at = broken === "seal" ? image.bytes.length - 2 * BLOCK : storage.size - BLOCK;
      storage.write(at + 30, new Uint8Array(20).fill(7));
      storage.write(7 * BLOCK, new Uint8Array(20).fill(7));
      storage.sync();
      return world;
    };
    await cutEverywhere(prepare, image, async (world, text) => {
      const left = found(world);
      assert.ok(left.seal === null || left.seal === "1", text);
      await world.install(new MemorySource(image.bytes));
      assert.ok(world.holds(image), text);
      assert.is(world.withdrawals, 0, text);
    });
  }
});

test.run();
