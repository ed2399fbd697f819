/** GRUB that starts a kernel and says what it read, with `chooser: slipway` and the environment block kept beside the record for others. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { grubUnderTest } from "./support/grub-loader.ts";
import { loaderBoot, loaderDisk, toldLoader } from "./support/loader-scenarios.ts";
import { part } from "./support/small-machine.ts";

const grub = grubUnderTest({ firmware: "bios", settings: { chooser: "slipway" } });
let disk: string;

test("slipway chooses and counts, and the block says what it decided", async () => {
  disk = await loaderDisk(grub, { chooser: "slipway" });
  const orders = "report commit slipway commit\nreport activate slipway activate b\nreport status slipway status\nclean_end";
  const told = await loaderBoot(grub, disk, orders);
  assert.is(told.root, "v1");
  const { chooser, named, nonce, store } = toldLoader(told);
  assert.equal([chooser, named, nonce], ["slipway", null, "unknown"]);
  assert.is(store?.kind, "grubenv");
  assert.match(told.console, /Command line: BOOT_IMAGE=\/slots\/a\/vmlinuz console=ttyS0\r?\n/);
  const view = await grub.view(disk);
  assert.equal([view.slots.a?.good, view.slots.b?.priority], [true, 2]);
  assert.match(view.nonce ?? "", /^[0-9a-f]{16}$/);
});

test("GRUB starts the first slot's kernel, names nothing, and echoes the nonce", async () => {
  const { nonce } = await grub.view(disk);
  const told = await loaderBoot(grub, disk, "report status slipway status\nclean_end");
  assert.is(told.root, "v2");
  assert.is(told.report.trial, true);
  assert.ok(told.console.includes(`Command line: BOOT_IMAGE=/slots/b/vmlinuz console=ttyS0 slipway.nonce=${nonce}`));
  assert.equal([toldLoader(told).named, toldLoader(told).nonce], [null, "same"]);
  console.log(part(told, "status"));
});

test.run();
