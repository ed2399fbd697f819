/** `chooser: loader`: PID 1 follows the bootloader's word, counts beside it, and knows when to stop following. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { slotOf, withSlot } from "../../boot/selection/slots.ts";
import type { ControlFile } from "../../state-ops/control.ts";
import { matchesGolden } from "../golden.ts";
import { NO_RECOVERY } from "../samples/control-file.ts";
import { controlFile, image } from "./golden-machine.ts";
import { type Boot, World } from "./golden-world.ts";
import { report, sealed, signedControl } from "./sealed-world.ts";

const slots: ControlFile["slots"] = [
  { name: "a", device: "PARTLABEL=root-a", bootname: "A" },
  { name: "b", device: "PARTLABEL=root-b", bootname: "B" },
];
const follows: Partial<ControlFile> = { chooser: "loader", slots };
const plain = (number: number, change = {}) =>
  image(number, { "usr/lib/slipway/control.json": controlFile({ operators: [] }).text, ...change });
const [v1, v2] = [plain(1), plain(2)];
const noInit = plain(2, { "usr/sbin/init": {} });

function golden(name: string, boot: Boot): void {
  assert.is(boot.escaped, null, boot.end);
  matchesGolden(`loader-${name}`, boot.kernel.trace);
}

function console(boot: Boot): string {
  return [...boot.kernel.trace.matchAll(/^write\("\/dev\/ttyS0", (.*)\)$/gm)].map(([, text]) => text).join("\n");
}

/** A machine whose slot a is committed, with `trial` in b to be tried. */
async function beforeTrial(trial: typeof v2, control: Partial<ControlFile> = {}, a = v1): Promise<World> {
  const world = new World({ a, commandLine: "rauc.slot=A", control: { ...follows, ...control } });
  assert.is((await world.boot()).end, "exec /sbin/init");
  world.commitAndShutDown("a", a.id);
  world.installInB(trial);
  return world;
}

async function bootNamed(world: World, commandLine: string): Promise<Boot> {
  world.commandLine = commandLine;
  return world.boot();
}

function slotIn(world: World, name: string) {
  const { record } = world.readRecord();
  if (record === null) throw new Error("no record");
  return slotOf(record, name);
}

test("the slot that the loader named boots, whatever the record's order is, and its try is counted", async () => {
  const world = await beforeTrial(v2);
  const boot = await bootNamed(world, "quiet rauc.slot=A");
  assert.is(boot.root, "/dev/vda2");
  golden("followed", boot);
  const { why, loader, skipped } = report(boot);
  assert.is(why, "the bootloader chose it (committed, 10 of 10 tries left)");
  assert.equal(loader, { chooser: "loader", named: "a", nonce: "unknown", store: null, merged: [] });
  assert.equal(skipped, [{ slot: "b", reason: "the bootloader did not choose it" }]);
  assert.is(slotIn(world, "a").tries, 9);
  const trial = await bootNamed(world, "slipway.slot=b");
  assert.is(trial.root, "/dev/vda3", "the slot's name serves as well as its bootname");
  assert.is(slotIn(world, "b").tries, 2);
});

test("slipway's own choice understands bootnames too", async () => {
  const world = await beforeTrial(v2, { chooser: "slipway" });
  const boot = await bootNamed(world, "rauc.slot=A");
  assert.is(boot.root, "/dev/vda2");
  assert.match(report(boot).why, /^asked for/);
  assert.is("loader" in report(boot), false);
});

test("a loader that names no slot, or one that is not there: slipway chooses, loudly", async () => {
  const world = await beforeTrial(v2);
  const boot = await bootNamed(world, "quiet");
  assert.is(boot.root, "/dev/vda3");
  golden("none-named", boot);
  assert.match(report(boot).warnings.join("\n"), /the bootloader named no slot .*: slipway chooses in this boot/);
  const unknown = await bootNamed(world, "rauc.slot=C");
  assert.is(unknown.root, "/dev/vda3");
  assert.match(report(unknown).warnings.join("\n"), /not there \(rauc\.slot=C; this machine has a, b\)/);
});

test("a slot that fails restarts the machine for the loader's count, and is told as the rollback that follows", async () => {
  const world = await beforeTrial(noInit);
  const failed = await bootNamed(world, "rauc.slot=B");
  assert.is(failed.end, "reboot restart");
  golden("failed", failed);
  assert.match(console(failed), /does not boot.*b .*init.*restarts in 5 s, and the bootloader chooses next/s);
  assert.is(slotIn(world, "b").tries, 2);
  assert.match(world.journal()[0]?.reason ?? "", /init/);
  const next = await bootNamed(world, "rauc.slot=A");
  assert.is(next.root, "/dev/vda2");
  const { rollback } = report(next);
  assert.is(rollback?.from, "b");
  assert.match(rollback?.reason ?? "", /^the bootloader did not choose it; last: .*init/);
});

test("a loader that names a used-up slot for ever is overruled after three restarts", async () => {
  const world = await beforeTrial(noInit);
  const ends: string[] = [];
  for (let boot = 0; boot < 9; boot++) ends.push((await bootNamed(world, "rauc.slot=B")).root ?? "restart");
  assert.equal(ends, [...new Array(6).fill("restart"), "/dev/vda2", "/dev/vda2", "/dev/vda2"]);
  assert.is(world.readRecord().record?.spentNamed, 4);
  const boot = await bootNamed(world, "rauc.slot=B");
  golden("overruled", boot);
  assert.match(report(boot).warnings.join("\n"), /named slot b again in 3 boots or more.*: slipway boots slot a/);
  assert.is(report(boot).rollback?.from, "b");
  await bootNamed(world, "rauc.slot=A");
  assert.is("spentNamed" in (world.readRecord().record ?? {}), false, "the loader came to its senses");
});

test("a damaged slot is known as damaged at the loader's next choice of it", async () => {
  const [good, bad] = [await sealed(1), await sealed(2, { spoil: (bytes) => void bytes.fill(0x55, 8192, 12288) })];
  const world = new World({ a: good, commandLine: "rauc.slot=A", control: { ...signedControl(), ...follows } });
  await world.boot();
  world.commitAndShutDown("a", good.id);
  world.installInB(bad);
  const boot = await bootNamed(world, "rauc.slot=B");
  assert.is(boot.end, "reboot restart");
  assert.is.not(slotIn(world, "b").damaged, null);
});

test("no slot has tries left: a recovery begins whatever the loader says, and boots at once what it made", async () => {
  const control = { recovery: { ...NO_RECOVERY, ladder: ["previous-generation" as const] } };
  const [stateful1, stateful2] = [image(1), image(2)];
  const world = await beforeTrial(stateful2, control, stateful1);
  assert.is((await bootNamed(world, "rauc.slot=B")).root, "/dev/vda3");
  world.commitAndShutDown("b", stateful2.id);
  world.change((record) => {
    const used = withSlot(record, "b", { tries: 0, reason: "tries used up without a good boot" });
    return withSlot(used, "a", { tries: 0, reason: "marked bad by operator" });
  });
  const boot = await bootNamed(world, "rauc.slot=A");
  assert.is(boot.root, "/dev/vda3", "not the one that the loader named");
  golden("recovery", boot);
  assert.is(report(boot).recovery?.rung, "previous-generation");
});

test("without a recovery a slot is re-armed after a pause, and boots though the loader names another", async () => {
  const world = await beforeTrial(noInit);
  world.change((record) => withSlot(record, "a", { tries: 0, reason: "tries used up without a good boot" }));
  const ends: string[] = [];
  for (let boot = 0; boot < 12; boot++) ends.push((await bootNamed(world, "rauc.slot=B")).root ?? "restart");
  assert.ok(ends.includes("/dev/vda2"), ends.join(" "));
});

test("a record that cannot be written bounds no restarts: the boot goes on with a committed slot", async () => {
  const world = await beforeTrial(noInit);
  world.commandLine = "rauc.slot=B";
  const kernel = world.kernel();
  kernel.failOn({ call: "write", match: /^write\("\/dev\/vda1"/, code: "EIO" });
  const boot = await world.boot(kernel);
  assert.is(boot.root, "/dev/vda2");
});

test.run();
