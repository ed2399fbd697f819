/** RAUC 1.8 with slipway as its custom bootloader backend: what it asks, what it does, what slipway refuses it. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { GuestShell } from "../../qemu/guest-shell.ts";
import { committed, type Debian, powerOff, slotOf, statusOf, waitingCheck } from "./support/debian.ts";
import { recordOn } from "./support/disk-file.ts";
import {
  delivery,
  ground,
  groundImage,
  raucBundle,
  raucSays,
  raucStatus,
  rebootGround,
  startGround,
} from "./support/rauc-ground.ts";

const store = "record";
const v1 = await groundImage({ version: "v1", keys: [] });
const v2 = await groundImage({ version: "v2", keys: [], files: waitingCheck });
const delivered = await delivery({
  "v2.raucb": await raucBundle(v2.image, "v2", "verity"),
  "plain.raucb": await raucBundle(v2.image, "v2-plain", "plain"),
});
let debian: Debian;
let shell: GuestShell;

test.before(async () => {
  debian = await startGround(store, await ground(store, v1.image), delivered);
  ({ shell } = debian);
});

test.after(async () => {
  await debian.machine.cutPower();
});

/** A command of RAUC's that fails, and changes nothing in the record. */
async function fails(command: string, said: RegExp): Promise<void> {
  const before = recordOn(debian.disk).reading;
  const { output, exitCode } = await shell.run(command, 300_000);
  assert.is.not(exitCode, 0, `${command}: ${output}`);
  assert.match(output, said);
  assert.equal(recordOn(debian.disk).reading, before, `${command} changed the boot record`);
}

const log = () => shell.must("journalctl --no-pager --output=cat --unit rauc.service | tail -n 30");

test("RAUC is told which slot runs, and sees the states that slipway knows", async () => {
  await committed(shell, "a");
  assert.not.match(await shell.must("cat /proc/cmdline"), /slot=|root=/, "nothing else tells RAUC");
  await raucSays(shell, "A booted, A first, A good, B bad");
  assert.equal((await raucStatus(shell)).activity, { A: "booted", B: "inactive" });
  assert.match(await shell.must("rauc --version"), /^rauc 1\.8$/);
});

test("what slipway would refuse, RAUC's user is refused", async () => {
  await fails("rauc status mark-active other", /failed to activate slot rootfs\.1: .*rauc-backend/);
  assert.match(await log(), /slot b is empty/);
  await fails("rauc status mark-good other", /Failed marking slot rootfs\.1 as good/);
  assert.match(await log(), /slot b is empty; install/);
  await fails("rauc status mark-bad booted", /Failed marking slot rootfs\.0 as bad/);
  assert.match(await log(), /slot a is the only one that can boot/);
});

test("rauc install of a verity bundle: the other slot is bad while it is written, and then next on trial", async () => {
  await shell.must("rauc install /mnt/v2.raucb", 600_000);
  const status = await statusOf(shell);
  assert.equal([status.next.slot, status.pendingTrial], ["b", "b"]);
  assert.equal([slotOf(status, "b").state, slotOf(status, "b").tries], ["trial", 3]);
  await raucSays(shell, "A booted, B first, A good, B good");
  assert.match(await log(), /The next boot is slot b/);
});

test("its image is proven at the next boot, and on trial: RAUC writes nothing meanwhile", async () => {
  await rebootGround(store, debian);
  const status = await statusOf(shell);
  assert.equal([status.running.slot, status.running.uncommitted], ["b", true]);
  assert.match(slotOf(status, "b").version ?? "", /v2/);
  const report = JSON.parse(await shell.must("cat /run/slipway/boot.json"));
  assert.equal([report.proof, report.image.version, report.verity.device], ["unsigned", "v2", "/dev/dm-0"]);
  await raucSays(shell, "B booted, B first, A good, B good");
  const written = "awk '{ print $7 }' /sys/class/block/vda2/stat";
  const before = await shell.must(written);
  await fails("rauc install /mnt/plain.raucb", /Pre-install handler error/);
  assert.match(await log(), /Error: slipway: the running slot b is on trial, slot a is its fallback; run "slipway commit" first/);
  await fails("rauc status mark-bad other", /Failed marking slot rootfs\.0 as bad/);
  await fails("rauc status mark-active other", /failed to activate slot rootfs\.0/);
  assert.is(await shell.must(written), before, "slot a was written to");
  // What is so already may be asked for.
  assert.match(await shell.must("rauc status mark-active booted"), /activated slot rootfs\.1/);
});

test("rauc status mark-good commits, as slipway commit does", async () => {
  assert.match(await shell.must("rauc status mark-good", 300_000), /marked slot rootfs\.1 as good/);
  const status = await statusOf(shell);
  assert.equal([slotOf(status, "b").state, slotOf(status, "b").tries, status.running.uncommitted], ["committed", 10, false]);
  assert.match(await log(), /Read slot b whole.*\n(.*\n)?Slot b is committed/);
  await shell.must("touch /run/all-is-well");
  await committed(shell, "b");
});

test("mark-active, mark-bad and mark-good by either are seen by the other at once", async () => {
  await shell.must("rauc status mark-active other");
  assert.is((await statusOf(shell)).next.slot, "a");
  await raucSays(shell, "B booted, A first, A good, B good");
  await shell.must("slipway activate b");
  await raucSays(shell, "B booted, B first, A good, B good");
  await shell.must("rauc status mark-bad other");
  assert.equal(
    [slotOf(await statusOf(shell), "a").givenUp, slotOf(await statusOf(shell), "a").state],
    ["marked bad through rauc-backend", "committed"],
  );
  await raucSays(shell, "B booted, B first, A bad, B good");
  await shell.must("rauc status mark-good other");
  await raucSays(shell, "B booted, B first, A good, B good");
  await shell.must("slipway mark-bad a");
  await raucSays(shell, "B booted, B first, A bad, B good");
  await shell.must("slipway activate a");
  await shell.must("slipway activate b");
});

test("a plain bundle over what slipway installed, whose footer would name the former image", async () => {
  await shell.must("rauc status mark-active other");
  await rebootGround(store, debian);
  await committed(shell, "a");
  await shell.must("slipway install --slot b /dev/disk/by-partlabel/root-a", 600_000);
  const last =
    "blockdev --getsz /dev/disk/by-partlabel/root-b | { read n; dd if=/dev/disk/by-partlabel/root-b bs=512 skip=$((n-8)) count=1 status=none; }";
  assert.match(await shell.must(`${last} | head -c 8`), /^slipwayF$/);
  await shell.must("rauc install /mnt/plain.raucb", 600_000);
  assert.is(await shell.must(`${last} | tr -d '\\000' | wc -c`), "0");
  assert.is((await statusOf(shell)).next.slot, "b");
  await rebootGround(store, debian);
  assert.equal((await statusOf(shell)).running.slot, "b");
  assert.match(slotOf(await statusOf(shell), "b").version ?? "", /v2/);
});

test("slipway rollback is RAUC's next slot", async () => {
  await shell.must("slipway rollback");
  await raucSays(shell, "B booted, A first, A good, B bad");
  await powerOff(debian);
});

test.run();
