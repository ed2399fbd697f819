import { test } from "uvu";
import * as assert from "uvu/assert";
import type { ToldRecovery } from "../../boot/recovery/step.ts";
import { slotOf, withSlot } from "../../boot/selection/slots.ts";
import { O } from "../../init/kernel/constants.ts";
import { KernelError } from "../../init/kernel/kernel.ts";
import { BlockDevice } from "../../init/kernel/recording/memory-devices.ts";
import { file } from "../../init/kernel/recording/memory-tree.ts";
import type { ControlRecovery } from "../../state-ops/recovery.ts";
import { matchesGolden } from "../golden.ts";
import { NO_RECOVERY } from "../samples/control-file.ts";
import { cutEverywhere } from "./golden-cuts.ts";
import { controlFile, ext4, type Image, image, MiB } from "./golden-machine.ts";
import { type Boot, World } from "./golden-world.ts";
import { report, sealed, signedControl, v1 } from "./sealed-world.ts";

const recovery = (change: Partial<ControlRecovery>) => ({ recovery: { ...NO_RECOVERY, ...change } });
const signed = (change: Partial<ControlRecovery>) => ({ ...signedControl(), ...recovery(change) });
const v2 = await sealed(2, { manifest: { rollbackIndex: 5 } });

/** Of what a boot tells, what its recovery did: "repair a: booted, …". */
const told = ({ steps }: ToldRecovery) =>
  steps.map(({ rung, slot, outcome, reason }) => `${rung} ${slot}: ${outcome}, ${reason}`);

function golden(name: string, boot: Boot): ToldRecovery {
  assert.is(boot.escaped, null, boot.end);
  matchesGolden(`recovery-${name}`, boot.kernel.trace);
  const held = [...boot.kernel.openDescriptors()].filter(([fd]) => fd > 2).map(([, path]) => path);
  assert.equal(held.toSorted(), ["/", "/dev/kmsg", "/dev/vda1"], "descriptors open until the exec");
  const { recovery: done } = report(boot);
  if (done === null) throw new Error("nothing is told of a recovery");
  return done;
}

/** A machine with slot a committed, and nothing that may be tried in either slot. */
async function spent(world: World, a: Image, b: Image | null): Promise<World> {
  assert.is((await world.boot()).end, "exec /sbin/init");
  world.commitAndShutDown("a", a.id, { rollbackIndex: 5, revokesBelow: null });
  if (b !== null) world.installInB(b);
  spend(world);
  return world;
}

function spend(world: World): void {
  world.change((record) => {
    const used = withSlot(record, "a", { tries: 0, reason: "tries used up without a good boot" });
    return slotOf(used, "b").imageId === null ? used : withSlot(used, "b", { tries: 0, reason: "marked bad by operator" });
  });
}

/** What happens to slot a while the machine is off, that the record knows as damage. */
function damage(world: World, offset: number, bytes: Uint8Array): void {
  world.a.storage.write(offset, bytes);
  world.a.storage.sync();
  world.change((record) => withSlot(record, "a", { damaged: "block 7 is not the image's" }));
}

const [plain1, plain2] = [image(1), image(2)];

test("previous-generation: the slot that was committed last, with the state from before", async () => {
  const world = new World({ a: plain1, control: recovery({ ladder: ["previous-generation"] }) });
  await world.boot();
  world.commitAndShutDown("a", plain1.id);
  world.installInB(plain2);
  assert.is(report(await world.boot()).generation, "000002");
  world.commitAndShutDown("b", plain2.id);
  world.change((record) => {
    const used = withSlot(record, "b", { tries: 0, reason: "tries used up without a good boot" });
    return withSlot(used, "a", { tries: 0, reason: "marked bad by operator" });
  });
  const boot = await world.boot();
  assert.is(boot.root, "/dev/vda3");
  const { rung, asked } = golden("previous-generation", boot);
  assert.equal([rung, asked], ["previous-generation", null]);
  assert.is(report(boot).generation, "000003");
  const { record } = world.readRecord();
  assert.equal(record?.recovery?.current, { rung: "previous-generation", slot: "b", imageId: plain2.id });
  const next = await world.boot();
  assert.equal(told(report(next).recovery ?? failTold()), [
    "previous-generation a: failed, marked bad by operator; then: there is no state from before generation 000001 of slot a: recovery cannot go back to one",
  ]);
  assert.is(report(next).slot, "b", "after a pause");
  world.commitAndShutDown("b", plain2.id);
  assert.is(world.readRecord().record?.recovery, undefined);
});

test("safe mode: memory in the place of persistent state, once, and held against nobody", async () => {
  const world = await spent(
    new World({ a: plain1, control: recovery({ ladder: ["safe-mode"], longestPause: 5 }) }),
    plain1,
    null,
  );
  const boot = await world.boot();
  assert.equal(told(golden("safe-mode", boot)), ["safe-mode a: booted, tries used up without a good boot"]);
  assert.is(boot.kernel.peek("/var/lib/app/default"), "from image 1\n");
  world.shutDown();
  const next = await world.boot();
  assert.is(next.root, "/dev/vda2", "a clean shutdown gave a committed slot its try back");
  assert.is(report(next).recovery, null, "with its own state: somebody may have mended it");
  assert.is((await world.boot()).end, "reboot restart");
  assert.equal(world.readRecord().record?.quarantined, []);
});

test("repair: a damaged block comes from the other slot", async () => {
  const world = await spent(new World({ a: v1, control: signed({ ladder: ["repair"] }) }), v1, v1);
  damage(world, 7 * 4096, new Uint8Array(4096).fill(1));
  const boot = await world.boot();
  assert.is(report(boot).slot, "a");
  const done = golden("repair", boot);
  assert.equal(told(done), ["repair a: booted, image 1.0 was repaired in slot a from slot b, 4096 bytes"]);
  assert.is(done.steps[0]?.writtenBytes, 4096);
  assert.equal(slotOf(world.readRecord().record ?? fail(), "a").state, "committed");
  assert.is(slotOf(world.readRecord().record ?? fail(), "a").tries, 9);
  const [entry] = world.journal();
  assert.match(
    entry?.notes?.join("\n") ?? "",
    /^repair of slot a: booted, image 1\.0 was repaired in slot a from slot b, 4096 bytes$/,
  );
  const next = await world.boot();
  assert.is(report(next).recovery?.rung, "repair", "further tries are told");
  world.commitAndShutDown("a", v1.id, { rollbackIndex: 5, revokesBelow: null });
  assert.is(report(await world.boot()).recovery, null);
});

function fail(): never {
  throw new Error("there is no boot record");
}

test("repair: what is whole is passed over", async () => {
  const world = await spent(new World({ a: v1, control: signed({ ladder: ["repair", "safe-mode"] }) }), v1, v1);
  const boot = await world.boot();
  assert.equal(told(report(boot).recovery ?? failTold()), [
    "repair a: passed, image 1.0 is whole in slot a: there is nothing to repair",
    "repair b: passed, image 1.0 is whole in slot b: there is nothing to repair",
    "safe-mode a: booted, tries used up without a good boot",
  ]);
});

function failTold(): never {
  throw new Error("nothing is told of a recovery");
}

/** A machine whose slot a is spent, and whose slot b holds nothing until `held` is put there. */
async function withEmptySlot(world: World, held: Image): Promise<World> {
  const there = await spent(world, v1, held);
  there.b.storage.write(0, new Uint8Array(held.head.length));
  there.b.storage.sync();
  there.change((record) => withSlot(record, "b", { state: "empty", imageId: null, tries: 0, reason: null }));
  return there;
}

/** A partition for factory images on the machine's disk, with an image in a file. */
function factory(world: World, held: Image): BlockDevice {
  return new BlockDevice({
    path: "/dev/vda5",
    number: { major: 254, minor: 5 },
    size: 8 * MiB,
    partition: { of: world.disk, number: 5, start: 48 * MiB, label: "factory" },
    contents: ext4(0xfa),
    filesystem: { type: "ext4", tree: { slipway: { "acme.img": file(held.head) } } },
  });
}

test("reinstall: from an image on the factory partition, into the slot that nobody misses", async () => {
  const control = signed({ ladder: ["repair", "reinstall"], factory: "PARTLABEL=factory" });
  const world = await withEmptySlot(new World({ a: v1, control }), v2);
  const kernel = world.kernel();
  kernel.addDevice(factory(world, v2));
  const boot = await world.boot(kernel);
  assert.is(report(boot).slot, "b");
  assert.is(report(boot).image?.version, "2.0");
  const done = golden("reinstall", boot);
  assert.equal(done.steps.at(-1)?.installed?.place, "factory");
  assert.is(slotOf(world.readRecord().record ?? fail(), "b").tries, 2);
  assert.is(report(await world.boot()).slot, "b", "a second try of its trial, without the factory partition");
});

test("reinstall: a slot that takes nothing is passed over for another one, with the same image", async () => {
  const control = signed({ ladder: ["reinstall"], factory: "PARTLABEL=factory" });
  const world = await withEmptySlot(new World({ a: v1, control }), v2);
  const kernel = world.kernel();
  kernel.addDevice(factory(world, v2));
  kernel.failOn({ call: "write", match: /^write\("\/dev\/vda3"/, code: "EIO" });
  const boot = await world.boot(kernel);
  const steps = report(boot).recovery?.steps ?? [];
  assert.equal(
    steps.map(({ slot, installed }) => [slot, installed?.imageId]),
    [["a", v2.id]],
  );
  const { record } = world.readRecord();
  assert.equal(record?.recovery?.tried, [
    { rung: "reinstall", slot: "b", imageId: v2.id },
    { rung: "reinstall", slot: "a", imageId: v2.id },
  ]);
});

test("no boot record at all: recovery works within the boot", async () => {
  const control = signed({ ladder: ["repair", "reinstall"], factory: "PARTLABEL=factory" });
  const world = await withEmptySlot(new World({ a: v1, control }), v2);
  world.a.storage.write(0, new Uint8Array(v1.head.length));
  world.a.storage.sync();
  const kernel = world.kernel(["vda1"]);
  kernel.addDevice(factory(world, v2));
  const boot = await world.boot(kernel);
  assert.is(boot.end, "exec /sbin/init");
  assert.is(report(boot).record.device, null);
  assert.is(report(boot).recovery?.rung, "reinstall");
  assert.is(report(boot).image?.version, "2.0");
});

test("reinstall-fresh: nothing is fetched where a slot holds the image, and its state begins anew", async () => {
  const whole = await sealed(1, { tree: { "usr/lib/slipway/control.json": controlFile().text }, manifest: { rollbackIndex: 5 } });
  const control = { ...signed({ ladder: ["reinstall", "reinstall-fresh"] }), operators: controlFile().control.operators };
  const world = await spent(new World({ a: whole, control }), whole, null);
  const boot = await world.boot();
  assert.is(report(boot).slot, "a");
  assert.equal(told(golden("reinstall-fresh", boot)), [
    "reinstall b: passed, no image was found",
    "reinstall-fresh a: booted, slot a holds image 1.0 whole, nothing was to be written",
  ]);
  assert.is(report(boot).generation, "000002");
});

test("no source can be reached: state is not set aside until the machine has waited for long, and that is told", async () => {
  const whole = await sealed(1, { tree: { "usr/lib/slipway/control.json": controlFile().text }, manifest: { rollbackIndex: 5 } });
  const recovery: Partial<ControlRecovery> = {
    ladder: ["reinstall", "reinstall-fresh"],
    sources: ["http://127.0.0.1:1/stable/"],
    network: { mode: "dhcp" },
    longestPause: 20,
  };
  const control = { ...signed(recovery), operators: controlFile().control.operators };
  const world = await spent(new World({ a: whole, control }), whole, null);
  const boot = await world.boot();
  assert.is(report(boot).recovery?.rung, null);
  assert.match(JSON.stringify(report(boot).recovery?.steps), /put off, since no source could be reached/);
  assert.is(report(boot).generation, "000001");
  world.change((record) => ({ ...withSlot(record, "a", { tries: 0 }), exhausted: 2 }));
  const late = await world.boot();
  assert.is(report(late).recovery?.rung, "reinstall-fresh");
});

test("nothing helps: it holds, tries again in the same boot, and restarts once it has come to wait for long", async () => {
  const control = signed({ ladder: ["repair", "reinstall"], longestPause: 20 });
  const world = await spent(new World({ a: v1, control }), v1, null);
  damage(world, 0, new Uint8Array(64 * 1024).fill(1));
  const boot = await world.boot();
  assert.is(boot.end, "reboot restart");
  matchesGolden("recovery-hold", boot.kernel.trace);
  assert.is(world.readRecord().record?.exhausted, 3, "pauses of 5, 10 and 20 s");
  const waited = boot.kernel.clocks.bootMs;
  assert.ok(waited > 28_000 && waited < 60_000, `${waited} ms`);
});

test("a medium that is plugged in ends the pause, and what lies on it is installed", async () => {
  const control = signed({ ladder: ["reinstall"], media: true });
  const world = await withEmptySlot(new World({ a: v1, control }), v2);
  world.change((record) => ({ ...record, exhausted: 9 }));
  const kernel = world.kernel();
  const stick = new BlockDevice({
    path: "/dev/sda",
    number: { major: 8, minor: 0 },
    size: 8 * MiB,
    contents: ext4(0x5d),
    filesystem: { type: "ext4", tree: { "acme.img": file(v2.head) } },
  });
  kernel.addDevice(stick, 30_000);
  const boot = await world.boot(kernel);
  assert.is(boot.end, "exec /sbin/init");
  assert.is(report(boot).recovery?.steps.at(-1)?.installed?.place, "media");
  assert.ok(boot.kernel.clocks.bootMs < 60_000, `${boot.kernel.clocks.bootMs} ms of a pause of 600 s`);
});

test("an exception that nobody expected in a step: the next one is taken, and the reason told", async () => {
  const world = await spent(new World({ a: v1, control: signed({ ladder: ["repair", "safe-mode"] }) }), v1, null);
  const kernel = world.kernel();
  kernel.readInto = () => {
    throw new TypeError("undefined is not a function");
  };
  const boot = await world.boot(kernel);
  assert.equal(told(report(boot).recovery ?? failTold()), [
    "repair a: failed, slot a: undefined is not a function",
    "safe-mode a: booted, tries used up without a good boot",
  ]);
});

test("the record cannot be written: recovery works within the boot, and says so", async () => {
  const world = await spent(new World({ a: v1, control: signed({ ladder: ["repair"] }) }), v1, v1);
  damage(world, 7 * 4096, new Uint8Array(4096).fill(1));
  const kernel = world.kernel();
  kernel.failOn({ call: "write", match: /^write\("\/dev\/vda1"/, code: "EIO" });
  const boot = await world.boot(kernel);
  assert.is(report(boot).slot, "a");
  assert.is(report(boot).recovery?.rung, "repair");
  assert.match(report(boot).warnings.join("\n"), /boot record cannot be written/);
});

test("the power fails at any effect of a recovery: the next boot goes on, and ends up in the same system", async () => {
  const world = await spent(new World({ a: v1, control: signed({ ladder: ["repair"] }) }), v1, v1);
  damage(world, 0, new Uint8Array(v1.head.length));
  for (const torn of [0, 512]) {
    const cuts = await cutEverywhere(world, torn, async (text) => {
      const next = await world.boot();
      assert.is(next.end, "exec /sbin/init", text);
      assert.is(report(next).slot, "a", text);
      const { record } = world.readRecord();
      assert.is(slotOf(record ?? fail(), "a").state, "committed", text);
      const begun = record?.recovery?.begun ?? 1;
      assert.ok(begun <= 2 && (record?.recovery?.tried.length ?? 0) <= 1, `${text}: ${JSON.stringify(record?.recovery)}`);
      const bytes = world.a.storage.read(0, v1.head.length);
      assert.ok(Buffer.compare(bytes.subarray(0, 64 * 1024), v1.head.subarray(0, 64 * 1024)) === 0, text);
    });
    console.log(`${cuts} power cuts in a repair, torn writes of ${torn} bytes`);
  }
});

test("recovery itself fails: a slot gets one try after a pause that grows", async () => {
  const world = await spent(new World({ a: v1, control: signed({ ladder: ["repair", "safe-mode"] }) }), v1, null);
  for (const [exhausted, rearmed] of [
    [1, "a"],
    [2, "b"],
  ] as const) {
    const kernel = world.kernel();
    const open = kernel.open.bind(kernel);
    kernel.open = (path, flags, ...more) => {
      if (path === "/dev/kmsg" && (flags & 3) === O.RDONLY) throw new TypeError("undefined is not a function");
      return open(path, flags, ...more);
    };
    const boot = await world.boot(kernel);
    assert.is(boot.end, "reboot restart");
    assert.ok(kernel.clocks.bootMs >= exhausted * 5000, `${kernel.clocks.bootMs} ms`);
    const record = world.readRecord().record ?? fail();
    assert.equal([record.exhausted, slotOf(record, rearmed).tries], [exhausted, 1]);
    spend(world);
  }
});

test("what goes wrong once the slot holds its image does not send the machine to the next rung", async () => {
  const control = signed({ ladder: ["reinstall", "reinstall-fresh"], factory: "PARTLABEL=factory" });
  const world = await withEmptySlot(new World({ a: v1, control }), v2);
  const kernel = world.kernel();
  kernel.addDevice(factory(world, v2));
  const close = kernel.close.bind(kernel);
  let failed = 0;
  kernel.close = (fd) => {
    close(fd);
    if (failed > 0 || (world.readRecord().record?.recovery?.current ?? null) === null) return;
    failed++;
    throw new KernelError("close", String(fd), "EIO");
  };
  const boot = await world.boot(kernel);
  assert.is(failed, 1);
  assert.is(report(boot).slot, "b");
  assert.is(report(boot).recovery?.rung, "reinstall");
});

test.run();
