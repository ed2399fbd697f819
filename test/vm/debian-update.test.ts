/** An update of a Debian as its administrator does it: install, trial, commit, and back again. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { demoDisk, demoImage } from "../../qemu/demo-machine.ts";
import type { GuestShell } from "../../qemu/guest-shell.ts";
import { initrdFor } from "../../qemu/product.ts";
import { committed, type Debian, powerOff, reboot, slotOf, startDebian, statusOf, waitingCheck } from "./support/debian.ts";
import { recordOn } from "./support/disk-file.ts";

const v1 = await demoImage({ version: "v1" });
const v2 = await demoImage({ version: "v2", files: waitingCheck });
let debian: Debian;
let shell: GuestShell;

test.before(async () => {
  const initrd = await initrdFor(v1.control);
  debian = await startDebian({ initrd, copyOf: await demoDisk({ a: v1.image }), images: [v2.image] });
  ({ shell } = debian);
  await shell.ready();
});

test.after(async () => {
  await debian.machine.cutPower();
});

async function refused(command: string, message: RegExp): Promise<void> {
  const before = recordOn(debian.disk).reading;
  const { output, exitCode } = await shell.run(command);
  assert.is(exitCode, 3, `${command}: ${output}`);
  assert.match(output, message);
  assert.equal(recordOn(debian.disk).reading, before, `${command} changed the boot record`);
}

test("before the update: refusals leave the record as it is, a second commit changes nothing", async () => {
  await committed(shell, "a");
  await refused("slipway activate b", /slot b is empty/);
  await refused("slipway mark-bad a", /slot a is the only one that can boot \(b: empty\)/);
  assert.is((await shell.run("slipway activate c")).exitCode, 2);
  assert.match(await shell.must("slipway commit"), /nothing to change/);
  assert.match(await shell.must("slipway mark-good --json"), /"changed":false/);
  await shell.must("echo written in a > /var/lib/notes; echo a > /etc/notes");
});

test("what is declared, what it takes, and what differs from the image is told", async () => {
  const explained = JSON.parse(await shell.must("slipway state explain /etc/notes --json"));
  assert.equal([explained.rule, explained.operator.path, explained.degraded], ["persistent", "/etc", null]);
  assert.match(explained.store, /^gens\/000001\/ovl\/.*\/notes$/);
  assert.match(await shell.must("slipway state explain /usr/bin/new"), /immutable.*EROFS/);
  const list = JSON.parse(await shell.must("slipway state list --json"));
  assert.equal(list.warnings, []);
  assert.equal(
    list.generations.map(({ number, fate }: { number: string; fate: string }) => `${number} ${fate}`),
    ["000001 kept"],
  );
  assert.match(await shell.must("slipway state diff /etc"), /^ {2}A \/etc\/notes$/m);
  assert.not.match(await shell.must("slipway state diff"), /could not be read|undefined/);
  // Logs of each slot lie in its own state.
  await shell.must("mkdir -p /var/log/journal && systemctl restart systemd-journald && journalctl --flush");
  assert.is(
    await shell.must("systemctl show --property=Result,ConditionResult slipway-collect.service"),
    "Result=success\nConditionResult=yes",
  );
});

test("v2 is copied into slot b and activated", async () => {
  await shell.must("dd if=/dev/vdb of=/dev/disk/by-partlabel/root-b bs=1M conv=fsync status=none");
  assert.match(await shell.must("slipway activate b"), /The next boot is slot b .* on trial with 3 tries/);
  const status = await statusOf(shell);
  assert.is(status.pendingTrial, "b");
  assert.is(status.next.slot, "b");
  assert.not.equal(slotOf(status, "b").imageId, slotOf(status, "a").imageId);
});

test("slot b boots on trial with a clone of a's state, and is not committed before its health check passed", async () => {
  await reboot(debian);
  const status = await statusOf(shell);
  assert.is(status.running.slot, "b");
  assert.is(status.running.uncommitted, true);
  assert.is(status.generation, "000002");
  assert.match(slotOf(status, "b").version ?? "", /image v2$/);
  assert.equal([slotOf(status, "b").state, slotOf(status, "b").tries], ["trial", 2]);
  assert.is(await shell.must("cat /var/lib/notes /etc/notes"), "written in a\na");
  assert.match(await shell.must("cat /run/slipway/uncommitted"), /^slot b, attempt 2$/);
  assert.is(await shell.must("systemctl is-active slipway-trial-deadline.timer"), "active");
  await refused("slipway activate a", /on trial/);
  await refused("slipway state gc", /slot b is on trial, and what it is rolled back to must stay/);
  await shell.must("logger --tag story word of b; journalctl --sync");
  await shell.must("echo written in b > /var/lib/notes; rm /etc/notes");
  assert.is((await statusOf(shell)).running.uncommitted, true);
});

test("once the health check passed, its unit commits", async () => {
  await shell.must("touch /run/all-is-well");
  const status = await committed(shell, "b");
  assert.is((await shell.run("test -e /run/slipway/uncommitted")).exitCode, 1);
  assert.equal([slotOf(status, "a").state, slotOf(status, "b").tries], ["committed", 10]);
  assert.is(recordOn(debian.disk).reading.record?.lastCommitted?.slot, "b");
});

test("commands that write at the same time wait for each other", async () => {
  const before = recordOn(debian.disk).reading.sequence;
  const commands = [1, 2, 3, 4].map((number) => `slipway mark-bad a --reason 'reason ${number}' & pids="$pids $!"`);
  const codes = await shell.must(`pids=; ${commands.join("; ")}; for p in $pids; do wait $p; echo exit $?; done`);
  assert.equal(codes.match(/exit \d+/g), ["exit 0", "exit 0", "exit 0", "exit 0"]);
  const { sequence, condition, record } = recordOn(debian.disk).reading;
  // Two that had read the same record would have written the same sequence.
  assert.equal([condition, sequence - before], ["valid", 4]);
  assert.match(record?.slots.a?.reason ?? "", /^reason [1-4]$/);
  await refused(
    "flock /run/slipway/lock sleep 30 & holder=$!; sleep 1; slipway activate a; code=$?; kill $holder; exit $code",
    /the boot record is being changed by/,
  );
});

test("a slot that was marked bad is no target for a rollback until it is activated", async () => {
  await refused("slipway rollback", /no other slot than b can boot \(a: reason/);
  assert.match(await shell.must("slipway activate a"), /slot a .* as a committed slot with 10 tries/);
  assert.match(await shell.must("slipway activate b"), /next boot is slot b .* as a committed slot/);
});

test("slipway rollback --reboot goes back to a, and to a's state", async () => {
  shell.type("slipway rollback --reboot");
  await shell.ready();
  const status = await committed(shell, "a");
  assert.is(status.generation, "000001");
  assert.is(await shell.must("cat /var/lib/notes /etc/notes"), "written in a\na");
  assert.match(slotOf(status, "a").version ?? "", /image v1$/);
  assert.match(status.boots[1]?.ended ?? "", /rolled back by operator, to slot a/);
  assert.match(await shell.must("slipway status"), /rolled back by operator, to slot a/);
  assert.equal([status.rollback?.from, status.rollback?.imageId], ["b", slotOf(status, "b").imageId]);
  assert.equal(
    status.pinned.map(({ generation }) => generation),
    ["000002"],
  );
  assert.is(slotOf(status, "b").state, "committed");
});

test("the log of slot b's boot is read from the state that it left", async () => {
  assert.match(await shell.must("slipway journal"), /^2 .* b .* rolled back by operator, to slot a/m);
  // All of it would take minutes on the serial line.
  const log = await shell.must("slipway journal 2 2>&1 | grep -e 'Log from' -e story");
  assert.match(log, /Log from gens\/000002\/[^ ]*log\/journal:/);
  assert.match(log, /story.*word of b/);
  assert.match(await shell.must("slipway journal 3 --json"), /"logs":"the system's journal"/);
});

test("a reset begins an operator's state anew at the next boot, and keeps identity", async () => {
  const identity = await shell.must("cat /etc/machine-id");
  assert.match(
    await shell.must("slipway state reset /etc/notes"),
    /\/etc \(persistent, .*Kept, since it is identity.*\/etc\/machine-id/s,
  );
  assert.match((await statusOf(shell)).pending.join(), /begins these stores anew/);
  await reboot(debian);
  const status = await committed(shell, "a");
  // A clone of the former generation, without that store.
  assert.equal([status.generation, status.requests], ["000003", null]);
  assert.is((await shell.run("cat /etc/notes")).exitCode, 1);
  assert.equal(await shell.must("cat /etc/machine-id /var/lib/notes"), `${identity}\nwritten in a`);
});

if (process.env.SLIPWAY_TIER === "long") {
  test("slipway rollback --state current takes the state of now along, and keeps the other slot's", async () => {
    await shell.must("echo newest > /var/lib/notes; sync");
    shell.type("slipway rollback --state current --reboot");
    await debian.machine.expect("reboot: Restarting system", 240_000);
    await shell.ready();
    const status = await statusOf(shell);
    assert.equal([status.running.slot, status.generation], ["b", "000004"]);
    assert.is(await shell.must("cat /var/lib/notes"), "newest");
    assert.ok(status.pinned.some(({ generation }) => generation === "000002"));
    await shell.must("touch /run/all-is-well");
    await committed(shell, "b");
    shell.type("slipway rollback --reboot");
    await debian.machine.expect("reboot: Restarting system", 240_000);
    await shell.ready();
    await committed(shell, "a");
    assert.is(await shell.must("cat /var/lib/notes"), "newest");
  });
}

test("mark-bad keeps a slot from booting", async () => {
  assert.match(await shell.must("slipway mark-bad b --reason 'too loud'"), /The next boot is slot a/);
  const status = await statusOf(shell);
  assert.equal([slotOf(status, "b").givenUp, slotOf(status, "b").tries, status.next.slot], ["too loud", 0, "a"]);
  await powerOff(debian);
});

test.run();
