/** The watchdog, made of software: who feeds it, and what it does to hangs before and after the handover. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { demoDisk, demoImage, demoSystem } from "../../qemu/demo-machine.ts";
import { initrdFor } from "../../qemu/product.ts";
import { committed, initrdControl, powerOff, startDebian, statusOf } from "./support/debian.ts";
import { recordOn } from "./support/disk-file.ts";

/** These replace the default set: drivers of this machine and what its filesystems need. */
const modules = ["virtio_pci", "virtio_blk", "erofs", "ext4", "overlay", "softdog"];

/** The images' own control file has no watchdog: that of the initrd rules. */
const v1 = await demoImage({ version: "v1" });

if (process.env.SLIPWAY_TIER === "long") {
  test("systemd takes the watchdog over, and a systemd that hangs is reset and counted", async () => {
    const system = `${demoSystem}watchdog: { timeout: 20s, after: systemd }\n`;
    const initrd = await initrdFor(await initrdControl(system), { modules });
    const debian = await startDebian({ initrd, copyOf: await demoDisk({ a: v1.image }, system) });
    const { machine, shell } = debian;
    try {
      await shell.ready();
      const before = await committed(shell, "a");
      assert.equal([before.watchdog.declared?.timeout, before.watchdog.running], [20, true]);
      assert.match(before.watchdog.summary, /^Software Watchdog, 20 s, fed by systemd/);
      assert.is(await shell.must("systemctl show --property=RuntimeWatchdogUSec"), "RuntimeWatchdogUSec=20s");
      await shell.must("sleep 25"); // fed for longer than its timeout
      shell.type("kill -SEGV 1");
      const hung = machine.ms;
      await machine.expect("softdog: Initiating system reboot", 60_000);
      assert.ok(machine.ms - hung > 5_000, "the reset came before the timeout");
      await shell.ready();
      const after = await committed(shell, "a");
      assert.is(machine.boots, 2);
      assert.is(after.running.attempt, 2);
      assert.is(after.record.uncleanEnds, 1);
      assert.match(after.boots[1]?.ended ?? "", /ended without a clean shutdown|no clean shutdown was seen/);
      await powerOff(debian);
      assert.is(recordOn(debian.disk).reading.record?.uncleanEnds, 0);
    } finally {
      await machine.cutPower();
    }
  });
}

test("PID 1 of the initrd feeds it as long as it lives, a hang of PID 1 is reset and counted, and stop disarms it", async () => {
  const system = `${demoSystem}watchdog: { timeout: 8s, after: stop }\n`;
  const initrd = await initrdFor(await initrdControl(system), { modules, debug: true });
  const debian = await startDebian({ initrd, copyOf: await demoDisk({ a: v1.image }, system), append: "rd.break=handover" });
  const { machine, shell } = debian;
  try {
    await machine.expect("slipway# ", 60_000);
    machine.send("sleep 15; echo awake\n"); // nearly twice the timeout
    await machine.expect(/^awake/m, 40_000);
    assert.is(machine.boots, 1);
    // A frozen cgroup stops even PID 1, which no signal does.
    const freeze = "mount -t cgroup2 none /sys/fs/cgroup; mkdir /sys/fs/cgroup/hang; echo 1 > /sys/fs/cgroup/hang/cgroup.procs";
    machine.send(`${freeze}; echo 1 > /sys/fs/cgroup/hang/cgroup.freeze\n`);
    const hung = machine.ms;
    await machine.expect("softdog: Initiating system reboot", 40_000);
    assert.ok(machine.ms - hung > 3_000, "the reset came before the timeout");
    await machine.expect("slipway# ", 60_000);
    machine.send("exit\n");
    await shell.ready();
    const status = await committed(shell, "a");
    assert.is(machine.boots, 2);
    assert.equal([status.running.attempt, status.record.uncleanEnds], [2, 1]);
    assert.equal([status.boots[1]?.outcome, status.boots[1]?.stage], ["unclean", "state"]);
    assert.match(status.watchdog.summary, /guards PID 1 of the initrd only/);
    assert.is(await shell.must("cat /sys/class/watchdog/watchdog0/state"), "inactive");
    assert.is(await shell.must("systemctl show --property=RuntimeWatchdogUSec"), "RuntimeWatchdogUSec=0");
    assert.is((await statusOf(shell)).running.slot, "a");
  } finally {
    await machine.cutPower();
  }
});

test.run();
