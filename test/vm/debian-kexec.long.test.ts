/** A Debian tries another version on that version's own kernel: systemd shuts down in order, and no firmware starts anything. */
import { cpSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { readReport } from "../../init/commands/read-facts.ts";
import { demoDisk, demoImage, demoSystem } from "../../qemu/demo-machine.ts";
import { guestKernel } from "../../qemu/kernel.ts";
import { initrdFor } from "../../qemu/product.ts";
import { trustLine } from "../../qemu/seal.ts";
import { demoNetwork } from "../../scripts/demo/ground.ts";
import { committed, powerOff, startDebian, statusOf } from "./support/debian.ts";
import { recordOn } from "./support/disk-file.ts";
import { serve } from "./support/recovery-ground.ts";

const system = demoSystem.replace("trust: unsigned\n", await trustLine(["release"]));
const seal = { keys: ["release"], rollbackIndex: 1 };
const v1 = await demoImage({ version: "v1", system, files: demoNetwork, seal });
const v2 = await demoImage({ version: "v2", system, files: demoNetwork, seal, kernel: "generic" });
const modules = ["virtio_pci", "virtio_blk", "virtio_net", "erofs", "ext4", "overlay"];
const { version } = await guestKernel("generic");

test("install --kexec: an orderly shutdown, the slot's own kernel and initrd, a trial that is counted and committed", async () => {
  const served = await serve();
  cpSync(v2.image, `${served.www}/v2.img`);
  const initrd = await initrdFor(v1.control, { modules });
  const copyOf = await demoDisk({ a: v1.image, b: v2.image }, system, "2G");
  const debian = await startDebian({ initrd, copyOf, net: [{}], memoryMiB: 1536 });
  const { machine, shell } = debian;
  try {
    await shell.ready();
    await committed(shell, "a");
    await shell.must("echo written in a > /var/lib/notes");
    assert.match(await shell.must("cat /sys/kernel/kexec_loaded"), /^0$/);
    shell.type(`slipway install ${served.url}/v2.img --kexec`);
    await machine.expect(`wait: the kernel ${version} in slot b starts once this system is down`, 120_000);
    await shell.ready();
    assert.is(await shell.must("uname -r"), version);
    assert.is(machine.boots, 1, "the firmware started one kernel only");
    const report = readReport(await shell.must("cat /run/slipway/boot.json"));
    assert.equal([report.slot, report.trial, report.proof, report.attempt], ["b", true, "signed", 2]);
    assert.match(await shell.must("cat /proc/cmdline"), /panic=10 slipway\.slot=b$/);
    assert.is(await shell.must("cat /var/lib/notes"), "written in a");
    const status = await committed(shell, "b");
    assert.is(status.record.uncleanEnds, 0, "the first system ended cleanly");
    assert.equal(recordOn(debian.disk).journal.find(({ attempt }) => attempt === 1)?.reason ?? null, "shut down cleanly");
    assert.is((await statusOf(shell)).running.slot, "b");
    await powerOff(debian);
  } finally {
    await machine.cutPower();
    await served.stop();
  }
});

test.run();
