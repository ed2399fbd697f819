/** RAUC 1.8 and slipway on GRUB's environment block: what either does the other sees. The kernel is started by itself; slipway chooses. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { GuestShell } from "../../qemu/guest-shell.ts";
import { committed, type Debian, powerOff, reboot, statusOf, waitingCheck } from "./support/debian.ts";
import {
  delivery,
  ground,
  groundImage,
  raucBundle,
  raucSays,
  rebootGround,
  slipwaySays,
  startGround,
} from "./support/rauc-ground.ts";

const store = "grubenv";
const v1 = await groundImage({ version: "v1", keys: ["release"] });
const v2 = await groundImage({ version: "v2", keys: ["release"], files: waitingCheck });
const delivered = await delivery({ "v2.raucb": await raucBundle(v2.image, "v2", "plain") });
let debian: Debian;
let shell: GuestShell;

test.before(async () => {
  debian = await startGround(store, await ground(store, v1.image), delivered);
  ({ shell } = debian);
});

test.after(async () => {
  await debian.machine.cutPower();
});

const variables = () => shell.must("grub-editenv /boot/grub/grubenv list | grep -v nonce | sort | xargs");

test("an environment block that says nothing of slots is told what the boot record knows", async () => {
  await committed(shell, "a");
  // PID 1 looks into a slot when it boots it: that b is empty only slipway's commands see.
  assert.is(await variables(), "A_OK=1 A_TRY=0 B_OK=1 B_TRY=0 ORDER=A B");
  await raucSays(shell, "A booted, A first, A good, B good");
  await slipwaySays(shell, "next a; a committed 10, b empty 0");
});

test("rauc install of a plain bundle: slipway's next boot is its trial", async () => {
  await shell.must("rauc install /mnt/v2.raucb", 600_000);
  assert.is(await variables(), "A_OK=1 A_TRY=0 B_OK=1 B_TRY=0 ORDER=B A");
  await slipwaySays(shell, "next b; a committed 10, b trial 3");
  await raucSays(shell, "A booted, B first, A good, B good");
});

test("on trial RAUC calls the running slot bad, as with GRUB's own script; mark-good ends the trial", async () => {
  await rebootGround(store, debian);
  const status = await statusOf(shell);
  assert.equal([status.running.slot, status.running.uncommitted], ["b", true]);
  assert.is(await variables(), "A_OK=1 A_TRY=0 B_OK=1 B_TRY=1 ORDER=B A");
  await raucSays(shell, "B booted, A first, A good, B bad");
  const { output, exitCode } = await shell.run("rauc install /mnt/v2.raucb", 300_000);
  assert.is.not(exitCode, 0, output);
  assert.match(output, /Pre-install handler error/);
  await shell.must("rauc status mark-good");
  await slipwaySays(shell, "next b; a committed 10, b committed 10");
  await raucSays(shell, "B booted, B first, A good, B good");
  await shell.must("touch /run/all-is-well");
  await committed(shell, "b");
});

test("mark-active, mark-bad and mark-good by either are seen by the other at once", async () => {
  await shell.must("rauc status mark-active other");
  await slipwaySays(shell, "next a; a committed 10, b committed 10");
  await shell.must("slipway activate b");
  await raucSays(shell, "B booted, B first, A good, B good");
  await shell.must("rauc status mark-bad other");
  await slipwaySays(shell, "next b; a committed 0, b committed 10");
  await shell.must("rauc status mark-good other");
  await slipwaySays(shell, "next b; a committed 10, b committed 10");
  await shell.must("slipway mark-bad a");
  await raucSays(shell, "B booted, B first, A bad, B good");
  await shell.must("slipway activate a");
  await raucSays(shell, "B booted, A first, A good, B good");
  await reboot(debian);
  await committed(shell, "a");
  await powerOff(debian);
});

test.run();
