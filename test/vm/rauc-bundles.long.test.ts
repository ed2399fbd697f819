/** RAUC's bundles on GRUB's environment block: an image without a seal, and a power cut in the middle of an install. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { GuestShell } from "../../qemu/guest-shell.ts";
import { committed, type Debian, powerOff, slotOf, statusOf } from "./support/debian.ts";
import {
  bootGround,
  delivery,
  ground,
  groundImage,
  groundInitrd,
  raucBundle,
  raucSays,
  rebootGround,
  startGround,
} from "./support/rauc-ground.ts";

const store = "grubenv";
const v1 = await groundImage({ version: "v1", keys: ["release"] });
const unsealed = await groundImage({ version: "v3", keys: null });
const delivered = await delivery({
  "v1.raucb": await raucBundle(v1.image, "v1", "plain"),
  "unsealed.raucb": await raucBundle(unsealed.image, "v3", "verity"),
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

/** The same disk with an initrd that trusts signed images only. */
async function startTrusting(): Promise<void> {
  const initrd = await groundInitrd(store, ["release"]);
  debian = await bootGround(store, { initrd, disk: debian.disk, images: [delivered] });
  ({ shell } = debian);
}

test("an image without a seal boots where unsigned ones are trusted, loudly", async () => {
  await committed(shell, "a");
  await shell.must("rauc install /mnt/unsealed.raucb", 600_000);
  await rebootGround(store, debian);
  const status = await committed(shell, "b");
  assert.equal(status.trust.proof, "none");
  assert.match(slotOf(status, "b").version ?? "", /v3/);
  assert.match(status.warnings.join("\n"), /IMAGES ARE NOT PROVEN/);
  assert.is(status.trust.summary, "without a seal: nothing was proven");
});

test("with keys it is refused, and the other slot boots, saying why", async () => {
  await powerOff(debian);
  await startTrusting();
  const status = await committed(shell, "a");
  const report = JSON.parse(await shell.must("cat /run/slipway/boot.json"));
  assert.is(report.skipped[0].slot, "b");
  assert.match(report.skipped[0].reason, /seal/);
  assert.match(await shell.must("slipway status"), /b .*seal/);
  assert.is(status.trust.proof, "signed");
  await raucSays(shell, "A booted, A first, A good, B bad");
});

test("a cut in the middle of rauc install leaves the running slot booting, and half of an image is not tried", async () => {
  await shell.must("rauc install /mnt/v1.raucb", 600_000);
  assert.is((await statusOf(shell)).next.slot, "b");
  await raucSays(shell, "A booted, B first, A good, B good");
  // Sectors that were written to the slot: some MB of some 190.
  const written = "awk '{ print $7 }' /sys/class/block/vda4/stat";
  shell.type("rauc install /mnt/unsealed.raucb >/dev/null 2>&1 &");
  await shell.must(`since=$(${written}); until test $(($(${written}) - since)) -gt 8192; do sleep 0.05; done`, 300_000);
  await debian.machine.cutPower();
  await startTrusting();
  await committed(shell, "a");
  const status = await statusOf(shell);
  assert.equal([status.next.slot, slotOf(status, "b").tries], ["a", 0]);
  await raucSays(shell, "A booted, A first, A good, B bad");
  // What is there is no image, whoever asks for it.
  const { output, exitCode } = await shell.run("slipway activate b");
  assert.is.not(exitCode, 0, output);
  await shell.must("rauc install /mnt/v1.raucb", 600_000);
  assert.is((await statusOf(shell)).next.slot, "b");
  await powerOff(debian);
});

test.run();
