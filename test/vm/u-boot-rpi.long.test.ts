/**
 * Debian's U-Boot for a Raspberry Pi with an environment of its own, uboot.env on FAT, which it saves and slipway reads and writes.
 * `npm run test:vm -- --arch arm64 u-boot-rpi`. Reading the card takes a minute a boot.
 */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { BootReport } from "../../boot/report.ts";
import { readEnvironment } from "../../boot/stores/uboot-env.ts";
import { bytesOnEsp } from "../../qemu/esp.ts";
import { startMachine } from "../../qemu/machine.ts";
import { BOOT_LABEL, raspberryUBoot } from "../../qemu/u-boot.ts";
import { smallSystem } from "./support/small-image.ts";
import { part, partsOf } from "./support/small-machine.ts";
import { hasUBoot, uBootMachine } from "./support/u-boot-machine.ts";

const system = smallSystem(["a", "b"], "ext4", "chooser: loader\n")
  .replace(/PARTLABEL=root-([ab]) \}/g, (_match, name: string) => `PARTLABEL=root-${name}, bootname: ${name.toUpperCase()} }`)
  .replace("device-timeout: 3s", "device-timeout: 60s")
  .replace(
    "{ store: record, device: PARTLABEL=boot-record }",
    "{ store: uboot-env, device: PARTLABEL=boot-record, uboot-env: { config: fw_env.config, dialect: rauc, device: PARTLABEL=boot } }",
  );

if (hasUBoot) {
  test("saveenv on FAT: U-Boot counts, slipway adds its nonce and keeps what else U-Boot saved, U-Boot echoes it", async () => {
    const { disk } = await uBootMachine({
      system,
      size: "1G",
      beside: { "fw_env.config": "/boot/uboot.env 0x0 0x4000\n" },
      slots: { a: { facts: "v1", ending: "hang" }, b: { facts: "v2", ending: "hang" } },
      settings: { counts: "own" },
      initrd: { flavour: "generic" },
      console: "console=ttyAMA0",
    });
    const boot = async (): Promise<{ report: BootReport; uBoot: string; variables: ReadonlyMap<string, string> }> => {
      const firmware = await raspberryUBoot();
      const disks = [{ file: disk, interface: "sd" as const }];
      const machine = await startMachine({ board: "raspi3b", firmware, disks, timeoutMs: 280_000 });
      await machine.expectResult("small root ends: hang\n");
      await machine.cutPower();
      const { text } = machine.results;
      const reading = readEnvironment([await bytesOnEsp(disk, "uboot.env", BOOT_LABEL)], "single");
      assert.is(reading.condition, "valid");
      return {
        report: JSON.parse(part({ parts: partsOf(text) }, "boot")),
        uBoot: text,
        variables: reading.variables ?? new Map(),
      };
    };
    const first = await boot();
    assert.match(first.uBoot, /Saving Environment to FAT\.\.\. OK\s+slipway: slot A, 3 boots left with this one/);
    const nonce = first.variables.get("slipway_nonce") ?? "";
    assert.match(nonce, /^[0-9a-f]{16}$/);
    assert.is(first.variables.get("BOOT_A_LEFT"), "2");
    assert.is(first.variables.get("bootcmd"), "run distro_bootcmd");
    const second = await boot();
    assert.match(second.uBoot, "slipway: slot A, 2 boots left with this one");
    const { loader } = second.report;
    assert.equal([loader?.named, loader?.nonce, loader?.store?.condition, loader?.merged], ["a", "same", "valid", []]);
    assert.is(second.variables.get("slipway_nonce"), nonce);
    assert.is(second.variables.get("BOOT_A_LEFT"), "1");
  });
}

test.run();
