/**
 * Debian's U-Boot for QEMU's virt (arm64), boot/loaders/u-boot.cmd and slipway: who boots what, and who counted it.
 * `npm run test:vm -- --arch arm64 u-boot`
 */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { validRecord } from "./support/record-on-disk.ts";
import { smallSystem } from "./support/small-image.ts";
import { bootUBoot, hasUBoot, startedByUBoot, uBootMachine } from "./support/u-boot-machine.ts";

const bootnames = (system: string) =>
  system.replace(
    /PARTLABEL=root-([ab]) \}/g,
    (_match, name: string) => `PARTLABEL=root-${name}, bootname: ${name.toUpperCase()} }`,
  );

/** U-Boot's own environment lies in flash, which Debian's kernel for arm64 has no driver for: slipway's own record it is. */
const following = bootnames(smallSystem(["a", "b"], "ext4", "chooser: loader\ntries: { trial: 2, committed: 4 }\n"));

/** Fails before the handover. */
const broken = { facts: "broken", remove: ["/sbin/init"] };

if (hasUBoot) {
  test("saveenv fails, and U-Boot names slot a for ever: slipway follows, counts by itself, and boots it", async () => {
    const machine = await uBootMachine({
      system: following,
      slots: { a: { facts: "v1" }, b: { facts: "v2" } },
      settings: { counts: "own" },
    });
    const told = await bootUBoot(machine);
    assert.is(told.root, "v1");
    assert.match(told.console, "slipway: the counts cannot be written");
    assert.equal(startedByUBoot(told.console), ["A"]);
    assert.equal(told.report.loader, { chooser: "loader", named: "a", nonce: "unknown", store: null, merged: [] });
    assert.is(validRecord(machine.disk).slots.a?.tries, 1);
  });

  test("it names a broken slot for ever: slipway leaves it to U-Boot's count, and overrules what never counts", async () => {
    const machine = await uBootMachine({
      system: following,
      slots: { a: broken, b: { facts: "v2" } },
      settings: { counts: "own" },
    });
    const told = await bootUBoot(machine);
    assert.is(told.root, "v2");
    // Two tries of a, two boots in a row in which it is named all the same, and the one that overrules.
    assert.equal(startedByUBoot(told.console), ["A", "A", "A", "A", "A"]);
    assert.match(told.report.why, "the bootloader named slot a again in 2 boots or more, which cannot boot (trial used up");
    assert.is(told.report.rollback?.from, "a");
    assert.is(told.report.loader?.named, "a");
  });
}

test.run();
