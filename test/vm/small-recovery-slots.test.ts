/** A machine whose slots are destroyed in one way after the other comes up again by itself, as the same machine. */

import { readFileSync, writeFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { BLOCK } from "../../boot/image/verity.ts";
import type { ToldRecovery } from "../../boot/recovery/step.ts";
import { fillWithGarbage, partition, writeInto } from "../../qemu/disk-partitions.ts";
import { changeRecord, twoSlots } from "./support/record-on-disk.ts";
import {
  committedMachine,
  fetchedBy,
  flipBit,
  offer,
  publish,
  recoverySystem,
  serve,
  signedImage,
  zeroSeal,
} from "./support/recovery-ground.ts";
import { smallControl, smallImage, smallSystem } from "./support/small-image.ts";
import { boot, part, smallInitrd, startSmall, type Told, toEnd } from "./support/small-machine.ts";

const served = await serve({
  // What a hotel's network answers to everything.
  lines: ['location /portal/ { default_type text/html; return 200 "<html>please log in</html>"; }'],
});
test.after(() => served.stop());

const system = await recoverySystem(`sources: ["${served.url}/stable/"]`);
const control = await smallControl(system);
const v1 = signedImage("v1", 3);
const image = readFileSync(await smallImage(v1, control));
const v2 = await smallImage(signedImage("v2", 4), control);
await publish(served.www, "stable", [await smallImage(v1, control), v2]);
const machine = await committedMachine(system, v1);
const { disk } = machine;

const net = [{}];
let machineId = "";

/** That the machine runs `version` and is the one that it was. */
function sameMachine(told: Told, version: string): ToldRecovery {
  assert.is(told.root, version);
  assert.is(part(told, "machine-id"), machineId);
  assert.is(part(told, "notes"), "written by v1");
  const { recovery } = told.report;
  if (recovery === null) throw new Error("boot.json tells of no recovery");
  return recovery;
}

/** Nobody listens on anything. */
function listensNowhere(told: Told): void {
  assert.not.match(part(told, "listening"), / 0A /, "a TCP port is open");
}

test("an ordinary boot: no network, no recovery", async () => {
  const told = await boot(machine, { net });
  assert.is(told.report.recovery, null);
  machineId = part(told, "machine-id");
  assert.match(machineId, /^[0-9a-f]{32}$/);
  assert.not.match(part(told, "links"), /eth0/, "its driver was loaded, though nobody wanted a network");
});

test("zeroed footers and seals: both come back, and next to nothing is fetched", async () => {
  for (const slot of ["a", "b"]) zeroSeal(disk, slot, image);
  const told = await boot(machine, { net });
  const recovery = sameMachine(told, "v1");
  assert.is(recovery.steps.at(-1)?.outcome, "booted");
  console.log(`zeroed seals: ${fetchedBy(recovery)} bytes of ${image.length} came over the network`);
  assert.ok(fetchedBy(recovery) > 0 && fetchedBy(recovery) < image.length / 10);
  assert.is(recovery.network?.by, "DHCP");
  // The system's own network manager finds the links as they were.
  assert.not.match(part(told, "links"), /inet 10\.0\.2\.15/);
  listensNowhere(told);
  assert.match(told.console, /no slot boots/i);
});

test("one flipped bit each in different blocks, and one block flipped in both: that one is fetched", async () => {
  flipBit(disk, "a", 100);
  flipBit(disk, "b", 200);
  for (const slot of ["a", "b"]) flipBit(disk, slot, 300);
  changeRecord(disk, twoSlots, (record) => ({ ...record, uncleanEnds: 5 }));
  const told = await boot(machine, { net });
  const recovery = sameMachine(told, "v1");
  console.log(`flipped bits: ${fetchedBy(recovery)} bytes came over the network for one block of ${BLOCK}`);
  assert.is(recovery.rung, "repair");
  assert.ok(fetchedBy(recovery) >= BLOCK && fetchedBy(recovery) < 20 * BLOCK);
});

test("garbage over both slots, and of seven sources the last is right: each of the others says why not", async () => {
  const stranger = await smallImage({ ...v1, seal: { keys: ["stranger"], rollbackIndex: 3 } }, control);
  const unsigned = await smallImage({ ...v1, seal: { keys: [], rollbackIndex: 3 } }, control);
  const old = await smallImage(signedImage("v0", 2), control);
  const otherControl = readFileSync(await smallControl(smallSystem().replace("system: small", "system: other")), "utf8");
  const foreign = { keys: ["release"], rollbackIndex: 3, system: "other" };
  const other = await smallImage({ ...v1, control: otherControl, seal: foreign }, control);
  for (const [name, file] of Object.entries({ stranger, unsigned, old, other, good: v2 })) offer(served.www, `${name}.img`, file);
  writeFileSync(`${served.www}/empty.img`, "");
  const names = ["portal/x.img", "empty.img", "stranger.img", "unsigned.img", "old.img", "other.img", "good.img"];
  const troubled = await recoverySystem(`sources: [${names.map((name) => `"${served.url}/${name}"`).join(", ")}]`);
  for (const slot of ["a", "b"]) fillWithGarbage(disk, `root-${slot}`);
  const told = await boot(machine, { net, initrd: await smallInitrd(troubled) });
  const recovery = sameMachine(told, "v2");
  assert.is(recovery.rung, "reinstall");
  for (const reason of [/log.?in|text\/html/i, /not trusted/, /not signed/, /old|below/, /system other/]) {
    assert.match(told.console, reason);
  }
  assert.is(recovery.steps.at(-1)?.installed?.version, "v2");
  assert.is(recovery.steps.at(-1)?.installed?.place, "mirror");
});

test("a sector of slot a cannot be read, slot b is gone: the last committed image is put into b", async () => {
  writeInto(disk, "root-b", new Uint8Array(4 * 1024 * 1024));
  const unreadable = [Number(partition(disk, "root-a").firstLba) * 512];
  const told = await toEnd(await startSmall(machine, { net, disks: [{ file: disk, unreadable }] }));
  const recovery = sameMachine(told, "v1");
  assert.is(told.report.slot, "b");
  assert.is(recovery.steps.at(-1)?.slot, "b");
});

test.run();
