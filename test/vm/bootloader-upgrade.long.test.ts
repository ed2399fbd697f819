/**
 * The bootloader's own upgrade on a real firmware: OVMF with variables that outlive a start, GRUB and systemd-boot, efibootmgr. The
 * reset that gets a machine away from a loader that hangs is QEMU's: what a watchdog or a person does.
 */
import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  COMMIT,
  DIRECTORIES,
  install,
  orderShown,
  ranToEnd,
  readyMachine,
  STATUS,
  statusOf,
} from "./support/bootloader-ground.ts";
import { part } from "./support/small-machine.ts";

const [FACTORY_A, FACTORY_B] = DIRECTORIES;

test("GRUB gives way to another GRUB, that one to systemd-boot; each is tried once and committed by the slot's own commit", async () => {
  const machine = await readyMachine();
  const before = await machine.run(`${STATUS}${install("one")}report after efibootmgr -v\n`);
  assert.equal(before.loaders, ["factory a"]);
  assert.is(statusOf(before).running.edition?.path, FACTORY_A);
  assert.match(
    part(before, "install"),
    /EFI\/slipway-b\/000001 on PARTLABEL=esp-b holds 2 files of \d+ bytes, one; all was read back/,
  );
  assert.match(part(before, "after"), /^BootNext: /m);
  const trial = await machine.run(`${STATUS}${COMMIT}report after efibootmgr -v\n`);
  assert.equal(trial.loaders, ["one"]);
  assert.is(statusOf(trial).trial?.fate, "running");
  assert.equal(orderShown(trial), [FACTORY_A.toLowerCase(), FACTORY_B.toLowerCase()], "a trial changes no order");
  assert.match(part(trial, "commit"), /The bootloader EFI\/slipway-b\/000001 on PARTLABEL=esp-b is committed/);
  const next = await machine.run(`${STATUS}${install("systemd-boot", "'systemd-boot, from Debian'")}`);
  assert.equal(next.loaders, ["one"]);
  assert.equal(orderShown(next), [`${FACTORY_B}/000001`.toLowerCase(), FACTORY_A.toLowerCase()]);
  assert.is(statusOf(next).committed?.path, `${FACTORY_B}/000001`);
  const systemd = await machine.run(`${STATUS}${COMMIT}`);
  assert.equal(systemd.loaders, [], "systemd-boot says nothing");
  assert.match(statusOf(systemd).running.loader ?? "", /^systemd-boot 252/);
  assert.is(statusOf(systemd).running.edition?.path, `${FACTORY_A}/000002`);
  const last = await machine.run(`${STATUS}report check slipway bootloader check --json\n`);
  assert.match(statusOf(last).running.loader ?? "", /^systemd-boot 252/);
  assert.equal(orderShown(last), [`${FACTORY_A}/000002`.toLowerCase(), `${FACTORY_B}/000001`.toLowerCase()]);
  assert.equal([statusOf(last).wrong, statusOf(last).warnings], [[], []]);
  assert.match(part(last, "check"), /"changed":false/);
});

test("a loader that hangs: after the reset the firmware is back on the committed one, which says what happened", async () => {
  const machine = await readyMachine();
  await machine.run(install("bad"));
  const started = await machine.start(
    `${STATUS}${COMMIT}report after slipway bootloader status --json\nreport journal slipway journal --json\n`,
  );
  await started.expect("loader bad at (");
  await started.reset();
  const ran = await ranToEnd(started);
  assert.equal(ran.loaders, ["bad", "factory a"]);
  assert.is(statusOf(ran).trial?.fate, "failed");
  assert.match(
    part(ran, "commit"),
    /the trial of the bootloader EFI\/slipway-b\/000001 on PARTLABEL=esp-b failed: no system came up by it/,
  );
  const after = statusOf(ran, "after");
  assert.is(after.trial, null);
  assert.match(
    after.failed?.reason ?? "",
    /no system came up by it, and the firmware started EFI\/slipway-a on PARTLABEL=esp-a again/,
  );
  assert.match(part(ran, "journal"), /bootloader trial failed/);
  const next = await machine.run(STATUS);
  assert.equal(next.loaders, ["factory a"], "it is not tried again");
  assert.equal(orderShown(next), [FACTORY_A.toLowerCase(), FACTORY_B.toLowerCase()]);
});

test.run();
