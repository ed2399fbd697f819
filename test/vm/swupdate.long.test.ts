/** SWUpdate 2022.12 and slipway on U-Boot's variables: a signed .swu goes to the slot that does not run, and boots on trial. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { GuestShell } from "../../qemu/guest-shell.ts";
import { committed, type Debian, powerOff, statusOf, waitingCheck } from "./support/debian.ts";
import { delivery, ground, groundImage, rebootGround, startGround, swuFile } from "./support/rauc-ground.ts";

const store = "uboot-env";
const v1 = await groundImage({ version: "v1", keys: ["release"] });
const v2 = await groundImage({ version: "v2", keys: ["release"], files: waitingCheck });
const delivered = await delivery({ "v2.swu": await swuFile(v2.image, "v2") });
let debian: Debian;
let shell: GuestShell;

test.before(async () => {
  debian = await startGround(store, await ground(store, v1.image, ["release"]), delivered);
  ({ shell } = debian);
});

test.after(async () => {
  await debian.machine.cutPower();
});

const variable = async (name: string) => (await shell.run(`fw_printenv -n ${name}`)).output;
const slots = async () => `${await variable("BOOT_ORDER")}, ${await variable("BOOT_A_LEFT")}, ${await variable("BOOT_B_LEFT")}`;

test("swupdate installs to the other slot and puts it first; slipway's next boot is its trial", async () => {
  await committed(shell, "a");
  assert.is(await slots(), "A B, 3, 3");
  assert.match(await shell.must("dpkg-query --show swupdate"), /2022\.12/);
  const said = await shell.must("install-other /mnt/v2.swu 2>&1", 600_000);
  assert.match(said, /SWUPDATE successful/);
  assert.match(said, /Slot b boots no more \(marked bad through rauc-backend\)/);
  assert.is(await slots(), "B A, 3, 3");
  const status = await statusOf(shell);
  assert.equal([status.next.slot, status.pendingTrial], ["b", "b"]);
  // SWUpdate's own: installed, and no transaction under way.
  assert.is(await variable("ustate"), "1");
});

test("its image is proven and on trial; SWUpdate's variables are still there, and it writes nothing meanwhile", async () => {
  await rebootGround(store, debian);
  const report = JSON.parse(await shell.must("cat /run/slipway/boot.json"));
  assert.equal([report.slot, report.trial, report.proof, report.image.version], ["b", true, "signed", "v2"]);
  assert.is(await slots(), "B A, 3, 2");
  assert.is(await variable("ustate"), "1");
  const { output, exitCode } = await shell.run("install-other /mnt/v2.swu 2>&1", 600_000);
  assert.is.not(exitCode, 0, output);
  assert.match(output, /the running slot b is on trial, slot a is its fallback/);
  assert.is(await slots(), "B A, 3, 2");
  await shell.must("touch /run/all-is-well");
  await committed(shell, "b");
  assert.is(await slots(), "B A, 3, 3");
  assert.is(await variable("ustate"), "1");
  await powerOff(debian);
});

test.run();
