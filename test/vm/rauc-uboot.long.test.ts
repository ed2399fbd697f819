/** RAUC 1.8 and slipway on U-Boot's variables: what either does the other sees. The kernel is started by itself; slipway chooses. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { GuestShell } from "../../qemu/guest-shell.ts";
import { committed, type Debian, powerOff, statusOf, waitingCheck } from "./support/debian.ts";
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

const store = "uboot-env";
const v1 = await groundImage({ version: "v1", keys: ["release"] });
const v2 = await groundImage({ version: "v2", keys: ["release"], files: waitingCheck });
const delivered = await delivery({ "v2.raucb": await raucBundle(v2.image, "v2", "verity"), "v1.img": v1.image });
let debian: Debian;
let shell: GuestShell;

test.before(async () => {
  debian = await startGround(store, await ground(store, v1.image, ["release"]), delivered);
  ({ shell } = debian);
});

test.after(async () => {
  await debian.machine.cutPower();
});

const variables = () => shell.must("fw_printenv BOOT_ORDER BOOT_A_LEFT BOOT_B_LEFT");

test("an environment that says nothing of slots is told what the boot record knows", async () => {
  await committed(shell, "a");
  // PID 1 looks into a slot when it boots it: that b is empty only slipway's commands see.
  assert.is(await variables(), "BOOT_ORDER=A B\nBOOT_A_LEFT=3\nBOOT_B_LEFT=3");
  assert.is(await shell.must("fw_printenv board"), "board=gateway");
  assert.match(await shell.must("fw_printenv slipway_nonce"), /^slipway_nonce=[0-9a-f]{16}$/);
  await raucSays(shell, "A booted, A first, A good, B good");
  await slipwaySays(shell, "next a; a committed 10, b empty 0");
});

test("rauc install of a verity bundle: slipway's next boot is its trial", async () => {
  await shell.must("rauc install /mnt/v2.raucb", 600_000);
  assert.is(await variables(), "BOOT_ORDER=B A\nBOOT_A_LEFT=3\nBOOT_B_LEFT=3");
  await slipwaySays(shell, "next b; a committed 10, b trial 3");
  await raucSays(shell, "A booted, B first, A good, B good");
});

test("its image is proven, and on trial: RAUC writes nothing meanwhile", async () => {
  await shell.must("fw_setenv acme_serial 4711");
  await rebootGround(store, debian);
  const report = JSON.parse(await shell.must("cat /run/slipway/boot.json"));
  assert.equal([report.slot, report.trial, report.proof, report.image.version], ["b", true, "signed", "v2"]);
  assert.is(await variables(), "BOOT_ORDER=B A\nBOOT_A_LEFT=3\nBOOT_B_LEFT=2");
  await raucSays(shell, "B booted, B first, A good, B good");
  const { output, exitCode } = await shell.run("rauc install /mnt/v2.raucb", 300_000);
  assert.is.not(exitCode, 0, output);
  assert.match(output, /Pre-install handler error/);
  assert.is(await variables(), "BOOT_ORDER=B A\nBOOT_A_LEFT=3\nBOOT_B_LEFT=2", "RAUC wrote before it was refused");
});

test("rauc status mark-good ends the trial for slipway at once", async () => {
  assert.is((await statusOf(shell)).running.uncommitted, true);
  await shell.must("rauc status mark-good");
  await slipwaySays(shell, "next b; a committed 10, b committed 10");
  assert.is((await statusOf(shell)).running.uncommitted, false);
  await shell.must("touch /run/all-is-well");
  await committed(shell, "b");
  assert.is((await shell.run("test -e /run/slipway/uncommitted")).exitCode, 1);
});

test("mark-active, mark-bad and mark-good by either are seen by the other at once", async () => {
  await shell.must("rauc status mark-active other");
  await slipwaySays(shell, "next a; a committed 10, b committed 10");
  await shell.must("slipway activate b");
  await raucSays(shell, "B booted, B first, A good, B good");
  await shell.must("rauc status mark-bad other");
  await slipwaySays(shell, "next b; a committed 0, b committed 10");
  await raucSays(shell, "B booted, B first, A bad, B good");
  await shell.must("slipway activate a");
  await raucSays(shell, "B booted, A first, A good, B good");
  await shell.must("slipway activate b && slipway mark-bad a");
  await raucSays(shell, "B booted, B first, A bad, B good");
  await shell.must("rauc status mark-active other");
  await slipwaySays(shell, "next a; a committed 10, b committed 10");
});

test("the next boot is what RAUC activated, and other variables are still there", async () => {
  await rebootGround(store, debian);
  await committed(shell, "a");
  assert.is(await shell.must("fw_printenv acme_serial"), "acme_serial=4711");
  await shell.must("slipway rollback");
  await raucSays(shell, "A booted, B first, A good, B good");
  await shell.must("slipway activate a");
});

test("what slipway installs is RAUC's next slot; what RAUC noted of the bundle there stays as it was", async () => {
  await shell.must("slipway install --slot b /mnt/v1.img", 600_000);
  await raucSays(shell, "A booted, B first, A good, B good");
  const detailed = await shell.must("rauc status --detailed --output-format=shell");
  assert.match(detailed, /RAUC_SLOT_STATUS_BUNDLE_VERSION_\d='?v2/);
  await powerOff(debian);
});

test.run();
