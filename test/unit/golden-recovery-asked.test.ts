/** Recoveries that begin though slots may boot: somebody asks for them, or the power failed in the midst of one. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { BootRecord } from "../../boot/record/record.ts";
import { beginStep } from "../../boot/recovery/changes.ts";
import { slotOf, withSlot } from "../../boot/selection/slots.ts";
import { RUNGS, type Rung } from "../../state-ops/recovery.ts";
import { NO_RECOVERY } from "../samples/control-file.ts";
import { cutEverywhere } from "./golden-cuts.ts";
import { controlFile, type Image, image } from "./golden-machine.ts";
import { type Boot, World } from "./golden-world.ts";
import { report, sealed, signedControl, v1 } from "./sealed-world.ts";

const v2 = await sealed(2, { manifest: { rollbackIndex: 5 } });
const plain = image(1);
const good = (world: World, held: Image) => world.commitAndShutDown("a", held.id, { rollbackIndex: 5, revokesBelow: null });
const allowed = (ladder: readonly Rung[]) => ({ recovery: { ...NO_RECOVERY, ladder: [...ladder] } });

/** A machine whose slot a is committed, and boots. */
async function healthy(held: Image, ladder: readonly Rung[] = RUNGS): Promise<World> {
  const world = new World({ a: held, control: { ...(held === plain ? {} : signedControl()), ...allowed(ladder) } });
  assert.is((await world.boot()).end, "exec /sbin/init");
  good(world, held);
  return world;
}

const recordOf = (world: World): BootRecord => world.readRecord().record ?? fail();
const told = (boot: Boot) => report(boot).recovery?.steps.map(({ rung, slot, outcome }) => `${rung} ${slot} ${outcome}`);

function fail(): never {
  throw new Error("there is no boot record");
}

test("slipway.recover=RUNG: that rung, once; its slot keeps its tries, and the word that stays is obeyed no more", async () => {
  const world = await healthy(plain);
  world.commandLine = "quiet slipway.recover=safe-mode";
  const boot = await world.boot();
  assert.equal(told(boot), ["safe-mode a booted"]);
  assert.is(report(boot).recovery?.asked, "slipway.recover");
  assert.is(slotOf(recordOf(world), "a").tries, 9);
  world.shutDown();
  for (const tries of [9, 8]) {
    const next = await world.boot();
    assert.is(report(next).recovery, null);
    assert.is(slotOf(recordOf(world), "a").tries, tries);
  }
  assert.is(recordOf(world).recovery?.obeyed, "safe-mode");
  world.commandLine = "quiet slipway.recover=previous-generation";
  assert.is(report(await world.boot()).recovery?.asked, "slipway.recover", "another word is obeyed");
  world.commandLine = "quiet";
  await world.boot();
  assert.is(recordOf(world).recovery?.obeyed, undefined, "a boot without it forgets it");
  world.commandLine = "quiet slipway.recover=safe-mode";
  assert.equal(told(await world.boot()), ["safe-mode a booted"]);
});

test("slipway.recover=reinstall-fresh that stays on the command line sets the state aside once, also once it was committed", async () => {
  const whole = await sealed(1, { tree: { "usr/lib/slipway/control.json": controlFile().text }, manifest: { rollbackIndex: 5 } });
  const world = await healthy(whole, ["reinstall-fresh"]);
  world.commandLine = "quiet slipway.recover=reinstall-fresh";
  const first = await world.boot();
  assert.equal(told(first), ["reinstall-fresh a booted"]);
  assert.is(report(first).generation, "000002");
  good(world, whole);
  for (let boots = 0; boots < 2; boots++) {
    const next = await world.boot();
    assert.is(report(next).recovery, null);
    assert.is(report(next).generation, "000002");
    good(world, whole);
  }
});

test("slipway.recover=reinstall-fresh is refused where nothing could be remembered of it", async () => {
  const world = await healthy(v1, ["reinstall-fresh"]);
  world.commandLine = "quiet slipway.recover=reinstall-fresh";
  const kernel = world.kernel();
  kernel.failOn({ call: "open", match: /^open\("\/dev\/vda1", RDWR/, code: "EROFS" });
  const boot = await world.boot(kernel);
  assert.is(report(boot).record.writable, false);
  assert.is(report(boot).recovery, null);
  assert.match(report(boot).warnings.join("\n"), /slipway\.recover=reinstall-fresh is refused/);
});

test("slipway.recover: the slots are looked after, and what is whole is booted as it is", async () => {
  const world = await healthy(v1);
  world.commandLine = "quiet slipway.recover";
  const boot = await world.boot();
  assert.equal(told(boot), ["repair a passed", "reinstall a booted"]);
  assert.is(report(boot).recovery?.steps.at(-1)?.writtenBytes, 0);
  assert.is(report(boot).trial, false, "it was committed there");
  good(world, v1);
  assert.equal(recordOf(world).recovery, { asked: null, tried: [], current: null, obeyed: "ladder" });
});

test("a rung that comes to nothing leaves the slots that boot, and is not asked for again", async () => {
  const world = await healthy(v1, ["repair"]);
  world.change((record) => ({ ...record, recovery: { asked: "repair", tried: [], current: null } }));
  const boot = await world.boot();
  assert.is(boot.end, "exec /sbin/init");
  assert.equal(told(boot), ["repair a passed"]);
  assert.is(report(boot).recovery?.asked, "slipway recover");
  assert.is(report(boot).recovery?.rung, null);
  assert.is(recordOf(world).recovery, undefined);
  assert.is(report(await world.boot()).recovery, null);
});

test("a rung that the control file does not allow is told, and forgotten", async () => {
  const world = await healthy(v1, ["repair"]);
  world.change((record) => ({ ...record, recovery: { asked: "safe-mode", tried: [], current: null } }));
  const boot = await world.boot();
  assert.is(report(boot).recovery, null);
  assert.match(report(boot).warnings.join("\n"), /a recovery by safe-mode was asked for: the control file does not allow it/);
  assert.is(recordOf(world).recovery, undefined);
});

test("what the power cut off goes on before a slot is tried, and ends up where it was going", async () => {
  const world = await healthy(v1);
  world.installInB(v2);
  world.b.storage.write(0, new Uint8Array(4096));
  world.b.storage.sync();
  world.change((record) => {
    const empty = withSlot(record, "b", { state: "empty", imageId: null, tries: 0 });
    return beginStep(empty, { rung: "reinstall", slot: "b", imageId: v1.id }, false);
  });
  const boot = await world.boot();
  assert.equal(told(boot)?.length, 1);
  assert.is(report(boot).recovery?.asked, null);
  assert.is(report(boot).recovery?.steps[0]?.installed?.imageId, v1.id);
  good(world, v1);
  assert.is(recordOf(world).recovery, undefined);
});

test("what was cut off and cannot go on leaves the slots that boot", async () => {
  const world = await healthy(v1);
  const lost = { rung: "reinstall", slot: "b", imageId: v2.id } as const;
  world.change((record) => beginStep(withSlot(record, "b", { state: "empty", imageId: null, tries: 0 }), lost, false));
  const boot = await world.boot();
  assert.is(report(boot).slot, "a");
  assert.is(report(boot).recovery?.steps[0]?.outcome, "passed");
  assert.is((await world.boot()).end, "exec /sbin/init");
});

test("the power fails at any effect of a recovery that was asked for: it is begun again, or over, and never twice", async () => {
  const world = await healthy(plain);
  world.change((record) => ({ ...record, recovery: { asked: "safe-mode", tried: [], current: null } }));
  let again = 0;
  const cuts = await cutEverywhere(world, 256, async (text) => {
    const next = await world.boot();
    assert.is(next.end, "exec /sbin/init", text);
    if (report(next).recovery?.rung === "safe-mode") again++;
    world.shutDown();
    assert.is(report(await world.boot()).recovery?.rung ?? "ordinary", "ordinary", `${text}: afterwards`);
  });
  assert.ok(again > 0 && again < cuts, `${again} of ${cuts}`);
});

test.run();
