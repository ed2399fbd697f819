/** Images whose health check fails, hangs or reboots: each ends in a rollback with the state it found. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Status } from "../../init/commands/status-shape.ts";
import { demoDisk, demoImage, demoSystem } from "../../qemu/demo-machine.ts";
import type { GuestShell } from "../../qemu/guest-shell.ts";
import { initrdFor } from "../../qemu/product.ts";
import { committed, type Debian, powerOff, reboot, slotOf, startDebian, statusOf } from "./support/debian.ts";

const long = process.env.SLIPWAY_TIER === "long";

/** One try for a trial saves boots; the deadline leaves a good boot time enough on a busy host. */
const system = `${demoSystem}tries: { trial: 1, committed: 10 }\ntrial-deadline: 60s\n`;

/** v2 runs whatever health check the state holds, so that one image fails in many ways. */
const unit = `[Unit]
Description=Health check
Before=boot-complete.target
[Service]
Type=oneshot
RemainAfterExit=yes
TimeoutStartSec=infinity
ExecStart=/bin/sh /var/lib/check
`;
const v1 = await demoImage({ version: "v1", system });
const v2 = await demoImage({
  version: "v2",
  system,
  files: {
    "/usr/lib/systemd/system/health.service": unit,
    "/usr/lib/systemd/system/boot-complete.target.d/health.conf": "[Unit]\nRequires=health.service\n",
  },
});
let debian: Debian;
let shell: GuestShell;

test.before(async () => {
  const initrd = await initrdFor(v1.control);
  debian = await startDebian({ initrd, copyOf: await demoDisk({ a: v1.image, b: v2.image }, system), timeoutMs: 880_000 });
  ({ shell } = debian);
  await shell.ready();
  await committed(shell, "a");
  await shell.must("echo written in a > /var/lib/notes");
});

test.after(async () => {
  await debian.machine.cutPower();
});

/** Tries v2 with a health check that ruins the state and then does `check`. Returns what a tells of it afterwards. */
async function tryWith(check: string): Promise<Status> {
  const ruin = "echo ruined > /var/lib/notes; echo ruined > /etc/ruined; sync; echo HEALTH CHECK > /dev/console";
  await shell.must(`echo '${ruin}; ${check}' > /var/lib/check; slipway activate b`);
  shell.type("systemctl reboot");
  await debian.machine.expect("HEALTH CHECK", 120_000);
  await debian.machine.expect("reboot: Restarting system", 240_000); // a shell on the console comes before that
  await shell.ready();
  const status = await committed(shell, "a");
  assert.is(await shell.must("cat /var/lib/notes"), "written in a");
  assert.is((await shell.run("test -e /etc/ruined")).exitCode, 1);
  assert.is(status.generation, "000001");
  assert.equal([slotOf(status, "b").state, slotOf(status, "b").tries], ["trial", 0]);
  assert.match(slotOf(status, "b").givenUp ?? "", /^trial used up without a commit/);
  assert.is(status.rollback?.from, "b");
  assert.is(status.rollback?.to, "a");
  assert.match(status.next.slot ?? "", /^a$/);
  const failed = status.boots[1];
  assert.equal([failed?.slot, failed?.trial, failed?.stage], ["b", true, "handover"]);
  return status;
}

test("a health check that fails ends the try at once, with the unit's name as the reason", async () => {
  const status = await tryWith("exit 1");
  assert.equal([status.boots[1]?.outcome, status.boots[1]?.reason], ["failed", "trial failed: health.service"]);
  assert.match(status.boots[1]?.ended ?? "", /^failed in the booted system: trial failed: health.service/);
  assert.match(await shell.must("slipway status"), /slot b was on trial .* rolled back to slot a/);
});

if (long) {
  test("a health check that hangs ends at the trial's deadline", async () => {
    const status = await tryWith("sleep infinity");
    assert.is(status.boots[1]?.outcome, "failed");
    assert.match(status.boots[1]?.reason ?? "", /^trial deadline of 60 s passed without commit/);
  });

  test("a health check that reboots in an orderly way gets no try back", async () => {
    const status = await tryWith("systemctl reboot; sleep 60");
    assert.is(status.boots[1]?.outcome, "clean");
    assert.match(status.boots[1]?.ended ?? "", /^shut down cleanly before it was good/);
  });

  test("a committed slot that is shut down before its good boot gets its try back, three times at most", async () => {
    await shell.must("systemctl mask slipway-commit.service");
    const credits = [9, 9, 9, 9, 8];
    for (const tries of credits) {
      await reboot(debian);
      await shell.run("systemctl is-system-running --wait");
      const status = await statusOf(shell);
      assert.is(status.running.slot, "a");
      assert.is(slotOf(status, "a").tries, tries);
      assert.is(status.boots[0]?.outcome, "running");
    }
    const status = await statusOf(shell);
    assert.is(status.boots[1]?.outcome, "clean");
    assert.is(status.record.uncleanEnds, 0);
    await powerOff(debian);
  });
}

test.run();
