import { test } from "uvu";
import * as assert from "uvu/assert";
import { recordText } from "../../init/explain/record-text.ts";
import { O } from "../../init/kernel/constants.ts";
import { cutEverywhere } from "./golden-cuts.ts";
import { image } from "./golden-machine.ts";
import { World } from "./golden-world.ts";

const [v1, v2] = [image(1), image(2)];

/** Tries left of a slot; -1 where there is no record. */
function tries(world: World, slot: string): number {
  return world.readRecord().record?.slots[slot]?.tries ?? -1;
}

/** What the committed slot's state is: its pointer, and what the application wrote there. */
function committedState(world: World): string {
  const kernel = world.kernel();
  kernel.mount("/dev/vda4", "/sysroot", "ext4", 0, "");
  const pointer = Buffer.from(kernel.readLink("/sysroot/slots/a")).toString();
  const store = `/sysroot/slots/${pointer}/tree/var-lib-app`;
  return `${pointer}: ${kernel.peek(`${store}/default`)} ${kernel.peek(`${store}/own`)}`;
}

/** What the application leaves in the committed slot's state. */
function writeState(world: World, text: string): void {
  const kernel = world.kernel();
  kernel.mount("/dev/vda4", "/sysroot", "ext4", 0, "");
  const file = kernel.open("/sysroot/gens/000001/tree/var-lib-app/own", O.WRONLY | O.CREAT, { mode: 0o644 });
  kernel.write(file, new TextEncoder().encode(text), 0n);
  kernel.syncFilesystem(file);
  kernel.close(file);
}

test("a trial cut at any effect: the next boot has a slot, the tries are right, the committed state is as it was", async () => {
  const world = new World({ a: v1 });
  await world.boot();
  world.commitAndShutDown("a", v1.id);
  world.installInB(v2);
  writeState(world, "of the device\n");
  const state = committedState(world);
  for (const torn of [0, 256]) {
    const cuts = await cutEverywhere(world, torn, async (text, counted) => {
      const { condition, record } = world.readRecord();
      assert.is(condition, "valid", text);
      assert.is(tries(world, "b"), counted ? 2 : 3, `${text}: ${record && recordText(record)}`);
      assert.is(tries(world, "a"), 10, text);
      const next = await world.boot();
      assert.is(next.end, "exec /sbin/init", text);
      assert.is(next.root, "/dev/vda3", text);
      assert.is(tries(world, "b"), counted ? 1 : 2, text);
      assert.is(committedState(world), state, text);
      assert.is(next.kernel.peek("/var/lib/app/own"), "of the device\n", `${text}: the trial has a whole clone`);
      assert.is(next.kernel.peek("/var/lib/app/default"), "from image 2\n", `${text}: what nobody changed follows the image`);
    });
    console.log(`${cuts} power cuts in a trial boot, torn writes of ${torn} bytes`);
  }
});

test("a machine whose every trial boot is cut ends up in the committed slot", async () => {
  const world = new World({ a: v1 });
  await world.boot();
  world.commitAndShutDown("a", v1.id);
  world.installInB(v2);
  const back = world.checkpoint();
  const total = (await world.boot()).kernel.effects;
  for (let effects = 12; effects < total; effects += 7) {
    back();
    for (let boot = 0; boot < 3; boot++) {
      const kernel = world.kernel();
      kernel.crashAfter(effects, 0, boot % 2 === 0 ? "lost" : "kept");
      assert.is((await world.boot(kernel)).end, "power cut");
    }
    const next = await world.boot();
    assert.is(next.root, "/dev/vda2", `cut three times after ${effects} effects`);
    assert.is(next.kernel.peek("/var/lib/app/default"), "from image 1\n");
  }
});

test("the first boot of a machine cut at any effect: the next boot starts it", async () => {
  const world = new World({ a: v1 });
  const cuts = await cutEverywhere(world, 256, async (text, counted) => {
    assert.is(tries(world, "a"), counted ? 2 : -1, text);
    const next = await world.boot();
    assert.is(next.root, "/dev/vda2", text);
    assert.is(tries(world, "a"), counted ? 1 : 2, text);
    assert.is(next.kernel.peek("/var/lib/app/default"), "from image 1\n", text);
    assert.match(next.kernel.peek("/etc/machine-id") ?? "", /^[0-9a-f]{32}\n$/, text);
  });
  console.log(`${cuts} power cuts in a first boot`);
});

test.run();
