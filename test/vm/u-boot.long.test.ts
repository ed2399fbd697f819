/**
 * Debian's U-Boot for QEMU's virt (arm64), boot/loaders/u-boot.cmd and slipway: who boots what, and who counted it.
 * `npm run test:vm -- --arch arm64 u-boot`
 */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { changeEnvironment, readEnvironment } from "../../boot/stores/uboot-env.ts";
import { throwAwayCopy } from "../../qemu/disks.ts";
import { putOnEsp } from "../../qemu/esp.ts";
import { BOOT_LABEL, scriptImage, uBootScript } from "../../qemu/u-boot.ts";
import { validRecord } from "./support/record-on-disk.ts";
import { smallSystem } from "./support/small-image.ts";
import { part } from "./support/small-machine.ts";
import {
  bootUBoot,
  ENVIRONMENT_BYTES,
  environmentConfig,
  environmentOn,
  hasUBoot,
  setEnvironmentOn,
  startedByUBoot,
  tearEnvironmentOn,
  type UBootMachine,
  uBootMachine,
} from "./support/u-boot-machine.ts";

const bootnames = (system: string) =>
  system.replace(
    /PARTLABEL=root-([ab]) \}/g,
    (_match, name: string) => `PARTLABEL=root-${name}, bootname: ${name.toUpperCase()} }`,
  );

/** U-Boot's own environment lies in flash, which Debian's kernel for arm64 has no driver for: slipway's own record it is. */
const following = bootnames(smallSystem(["a", "b"], "ext4", "chooser: loader\ntries: { trial: 2, committed: 4 }\n"));

/** The environment in a partition of its own: U-Boot's script and slipway both read and write it. */
const shared = bootnames(
  smallSystem(["a", "b"], "ext4", "chooser: loader\ntries: { trial: 2, committed: 9 }\n").replace(
    "{ store: record, device: PARTLABEL=boot-record }",
    "{ store: uboot-env, device: PARTLABEL=boot-record, uboot-env: { config: fw_env.config, dialect: rauc } }",
  ),
);

const OTHER_NONCE = "fedcba9876543210";

/** Commits itself, and says what slipway thinks of the loader. */
const good = {
  facts: "v1",
  slipway: true,
  script: `slipway commit >/tmp/commit 2>&1; report commit cat /tmp/commit; report status slipway status
if grep -q ${OTHER_NONCE} /proc/cmdline; then slipway activate b >/tmp/activate 2>&1; echo "exit $?" >>/tmp/activate; report activate cat /tmp/activate; fi
`,
};
/** Never commits, and restarts. */
const untried = { facts: "v2", ending: "reboot" as const };

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

  let machine: UBootMachine;

  test("the first boot: U-Boot finds no counts and writes them, slipway adds its own and a nonce; the image commits itself", async () => {
    const beside = { "fw_env.config": environmentConfig };
    machine = await uBootMachine({ system: shared, beside, slots: { a: good, b: untried } });
    const told = await bootUBoot(machine);
    assert.match(told.console, "slipway: no counts found, all slots have three boots");
    assert.equal(startedByUBoot(told.console), ["A"]);
    const { loader } = told.report;
    assert.equal(
      [loader?.named, loader?.nonce, loader?.store?.kind, loader?.store?.condition],
      ["a", "unknown", "uboot-env", "valid"],
    );
    assert.match(part(told, "commit"), "Slot a is committed");
    const { slipway_nonce: nonce, ...variables } = environmentOn(machine.disk);
    assert.equal(variables, { BOOT_ORDER: "A B", BOOT_A_LEFT: "3", BOOT_B_LEFT: "2" });
    assert.match(nonce ?? "", /^[0-9a-f]{16}$/);
    assert.is(validRecord(machine.disk).slots.a?.state, "committed");
  });

  test("the second boot: U-Boot counts in it and echoes the nonce; the good boot gives the count back", async () => {
    const before = environmentOn(machine.disk);
    const told = await bootUBoot(machine);
    assert.match(told.console, "slipway: slot A, 3 boots left with this one");
    assert.equal([told.report.loader?.named, told.report.loader?.nonce, told.report.loader?.merged], ["a", "same", []]);
    assert.match(told.console, `slipway.slot=A slipway.nonce=${before.slipway_nonce}`);
    assert.equal(environmentOn(machine.disk), before);
  });

  test("fw_setenv, as RAUC's mark-active: slot b is on trial, fails it, and U-Boot goes back to a", async () => {
    const before = environmentOn(machine.disk);
    await setEnvironmentOn(machine.disk, { BOOT_ORDER: "B A", BOOT_B_LEFT: "2" });
    const told = await bootUBoot(machine);
    assert.equal(startedByUBoot(told.console), ["B", "B", "A"]);
    assert.equal(told.roots, ["v2", "v2", "v1"]);
    assert.match(told.console, "slot b was put first in the bootloader's store: it boots next, on trial");
    const { loader, rollback, trial } = told.report;
    assert.equal([loader?.named, loader?.nonce, rollback?.from, trial], ["a", "same", "b", false]);
    const record = validRecord(machine.disk);
    assert.equal([record.slots.a?.state, record.slots.b?.tries, record.quarantined.length], ["committed", 0, 1]);
    const { slipway_nonce: nonce, ...variables } = environmentOn(machine.disk);
    assert.equal(variables, { BOOT_ORDER: "A", BOOT_A_LEFT: "3", BOOT_B_LEFT: "0" });
    assert.ok(nonce !== before.slipway_nonce, "another slot comes first: another nonce");
  });

  test("a torn environment: U-Boot takes its defaults, and slipway writes it again from its record", async () => {
    tearEnvironmentOn(machine.disk);
    const told = await bootUBoot(machine);
    assert.match(told.console, "slipway: no counts found, all slots have three boots");
    assert.equal([told.root, told.report.loader?.nonce], ["v1", "none"]);
    assert.equal(told.report.loader?.merged, [
      "the bootloader's store was lost and begun anew, without the nonce: it is written again from the boot record",
    ]);
    assert.is(validRecord(machine.disk).slots.b?.tries, 0, "what was given up is given up still");
    const { slipway_nonce: nonce, ...variables } = environmentOn(machine.disk);
    assert.equal(variables, { BOOT_ORDER: "A", BOOT_A_LEFT: "3", BOOT_B_LEFT: "0" });
    assert.match(nonce ?? "", /^[0-9a-f]{16}$/);
  });

  test("U-Boot reads another environment than slipway writes: told, and nothing is activated", async () => {
    const other = new Map([["slipway_nonce", OTHER_NONCE]]);
    const change = changeEnvironment(readEnvironment([null], "single"), "single", ENVIRONMENT_BYTES, other);
    const disk = throwAwayCopy(machine.disk);
    const files = {
      "boot.scr": await scriptImage(uBootScript({ counts: "file" })),
      "boot.env": change.writes?.[0]?.bytes ?? new Uint8Array(),
    };
    await putOnEsp(disk, files, BOOT_LABEL);
    const told = await bootUBoot({ ...machine, disk });
    assert.is(told.report.loader?.nonce, "other");
    assert.match(part(told, "status"), "the bootloader reads another store than");
    assert.match(part(told, "activate"), /the bootloader reads another store than[\s\S]*exit 3/);
  });

  test("fw_setenv, as RAUC's mark-bad of both: U-Boot names none, and slipway comes back with the last committed slot", async () => {
    await setEnvironmentOn(machine.disk, { BOOT_ORDER: "", BOOT_A_LEFT: "0", BOOT_B_LEFT: "0" });
    const told = await bootUBoot(machine);
    assert.match(told.console, "slipway: no slot has a boot left");
    assert.match(told.console, "slot a was marked bad in the bootloader's store");
    assert.is(told.root, "v1");
    assert.is(environmentOn(machine.disk).BOOT_ORDER, "A");
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
