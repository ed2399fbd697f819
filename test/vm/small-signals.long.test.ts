/** PID 1 while it waits: a shell of rd.break and rd.shell, orphans, signals. The initrd is built with --debug. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { UNPROVEN } from "../../boot/image/judge-seal.ts";
import type { Machine } from "../../qemu/machine.ts";
import { recordOn } from "./support/disk-file.ts";
import { validRecord } from "./support/record-on-disk.ts";
import { smallSystem } from "./support/small-image.ts";
import { smallMachine, startSmall, toEnd } from "./support/small-machine.ts";

const initrd = { debug: true };
const small = () => smallMachine({ slots: { a: { facts: "v1" }, b: { facts: "v2" } }, initrd });

/** Waits for the shell on the console. */
async function shell(machine: Machine): Promise<void> {
  await machine.expect("slipway# ");
}

let asked = 0;

/** What a command line in the shell writes. It comes on the results channel, free of echo and of kernel messages. */
async function ask(machine: Machine, command: string): Promise<string> {
  asked += 1;
  machine.send(`{ echo "<<begin ask ${asked}>>"; ${command}; echo "<<end ask ${asked}>>"; } >/dev/ttyS1 2>&1\n`);
  const [, output = ""] = await machine.expectResult(new RegExp(`<<begin ask ${asked}>>\\n([\\s\\S]*?)\\n?<<end ask ${asked}>>`));
  return output.trim();
}

test("rd.break=modules: a shell before any driver; orphans are reaped while PID 1 waits; then the boot goes on", async () => {
  const machine = await startSmall(await small(), { append: "rd.break=modules" });
  await machine.expect("slipway: rd.break=modules: a shell on the console");
  await shell(machine);
  assert.is(await ask(machine, "cat /proc/1/comm"), "slipway");
  assert.is(await ask(machine, "ls /sysroot"), "");
  assert.not.match(await ask(machine, "cat /proc/partitions"), /vda/);
  const parent = '(sleep 1 & echo $! >/run/orphan); sed -n "s/^PPid:[^0-9]*//p" /proc/$(cat /run/orphan)/status';
  assert.is(await ask(machine, parent), "1", "the orphan is PID 1's child");
  const left =
    'sleep 2; [ -e /proc/$(cat /run/orphan) ] && echo there || echo gone; grep -l "^State:[^A-Z]*Z" /proc/[0-9]*/status';
  assert.is(await ask(machine, left), "gone", "neither the orphan nor a zombie");
  machine.send("exit\n");
  const { root, report } = await toEnd(machine);
  assert.is(root, "v1");
  assert.equal(report.warnings, [UNPROVEN]);
});

test("rd.break=handover: everything is laid below /sysroot; then the boot goes on, and the next init sees none of it", async () => {
  const files = await small();
  const machine = await startSmall(files, { append: "rd.break" });
  await machine.expect("slipway: rd.break=handover: a shell on the console");
  await shell(machine);
  const mounts = await ask(machine, "cut -d ' ' -f 2 /proc/mounts");
  for (const path of ["", "/etc", "/home", "/var"]) assert.ok(mounts.split("\n").includes(`/sysroot${path}`), path);
  assert.match(await ask(machine, "touch /sysroot/usr/x"), /Read-only file system/);
  assert.is(validRecord(files.disk).slots.a?.tries, 2, "the try is counted before anything of the slot is used");
  machine.send("exit\n");
  const { root } = await toEnd(machine);
  assert.is(root, "v1");
});

test("SIGTERM, and SIGINT as Ctrl-Alt-Del sends it, restart the machine; each try was counted", async () => {
  const files = await small();
  const machine = await startSmall(files, { append: "rd.break=image", noReboot: false, timeoutMs: 150_000 });
  for (const signal of ["TERM", "INT"]) {
    await shell(machine);
    machine.send(`kill -${signal} 1\n`);
    await machine.expect(`slipway: SIG${signal}: restarting`);
    await machine.expect("Run /init as init process");
  }
  await shell(machine);
  machine.send("exit\n");
  const { root, report } = await toEnd(machine);
  assert.is(root, "v1");
  assert.is(report.attempt, 3);
  assert.is(validRecord(files.disk).slots.a?.tries, 0);
  assert.equal(
    recordOn(files.disk).journal.map(({ attempt, outcome }) => [attempt, outcome]),
    [
      [3, "running"],
      [2, "unclean"],
      [1, "unclean"],
    ],
  );
});

test("rd.shell: where no slot boots there is a shell, and the restart comes after it", async () => {
  const system = smallSystem();
  const files = await smallMachine({ system, slots: { b: { facts: "v2", remove: ["/sbin/init"] } }, initrd });
  const machine = await startSmall(files, { append: "rd.shell" });
  await machine.expect("slipway: no slot boots\n");
  await machine.expect("slipway: rd.shell: a shell on the console");
  await shell(machine);
  assert.is(await ask(machine, "echo $((6 * 7))"), "42");
  assert.is(machine.boots, 1);
  machine.send("exit\n");
  await machine.expect("slipway: restarting");
  assert.is((await machine.exited).reason, "guest-reset");
});

test.run();
