/** A Debian's slots and state are destroyed in one way after the other, and each time the same machine runs again. */

import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { BLOCK } from "../../boot/image/verity.ts";
import type { ToldRecovery } from "../../boot/recovery/step.ts";
import { consoleWord } from "../../qemu/architecture.ts";
import { demoDisk, demoImage, demoSystem } from "../../qemu/demo-machine.ts";
import { partition, writeInto } from "../../qemu/disk-partitions.ts";
import { throwAwayCopy } from "../../qemu/disks.ts";
import { GuestShell } from "../../qemu/guest-shell.ts";
import { guestKernel } from "../../qemu/kernel.ts";
import { startMachine } from "../../qemu/machine.ts";
import { initrdFor } from "../../qemu/product.ts";
import { trustLine } from "../../qemu/seal.ts";
import { committed, type Debian, initrdControl, powerOff, startDebian, statusOf } from "./support/debian.ts";
import { changeRecord, twoSlots } from "./support/record-on-disk.ts";
import { fetchedBy, flipBit, publish, serve, zeroSeal } from "./support/recovery-ground.ts";

const served = await serve();
test.after(() => served.stop());
const system = demoSystem
  .replace("trust: unsigned\n", await trustLine(["release"]))
  .concat("tries: { trial: 2, committed: 2 }\n");
const recovery = `recovery: { sources: ["${served.url}/stable/"] }\n`;
const seal = (rollbackIndex: number) => ({ keys: ["release"], rollbackIndex });
/** Its init ends in a kernel panic. */
const crashing = {
  "/usr/lib/systemd/system/crash.service": "[Service]\nExecStart=/bin/sh -c 'echo c >/proc/sysrq-trigger'\n",
  "/usr/lib/systemd/system/sysinit.target.d/crash.conf": "[Unit]\nWants=crash.service\n",
};
const v1 = await demoImage({ version: "v1", system, library: ["journald"], seal: seal(1) });
const v2 = await demoImage({ version: "v2", system, library: ["journald"], seal: seal(2), files: crashing });
const v3 = await demoImage({ version: "v3", system, library: ["journald"], seal: seal(3) });
await publish(served.www, "stable", [v1.image]);
const image = readFileSync(v1.image);
const initrd = await initrdFor(await initrdControl(`${system}${recovery}`));
const disk = throwAwayCopy(await demoDisk({ a: v1.image, b: v1.image }, system));
const net = [{}];
const panics = { net, append: "panic=1", expectPanic: true, timeoutMs: 900_000 };
let machineId = "";

async function start(more: Partial<Parameters<typeof startDebian>[0]> = {}): Promise<Debian> {
  const debian = await startDebian({ initrd, disk, net, timeoutMs: 900_000, ...more });
  await debian.shell.ready(undefined, 800_000);
  return debian;
}

/** That it is the machine that it was, by a recovery. */
async function sameMachine(shell: GuestShell, notes = "mine"): Promise<ToldRecovery> {
  assert.is(await shell.must("cat /etc/machine-id"), machineId);
  assert.is(await shell.must("cat /var/log/journal/note"), "shared");
  assert.is((await shell.run("cat /var/lib/notes 2>/dev/null")).output, notes);
  const { boot } = (await statusOf(shell)).recovery;
  if (boot === null) throw new Error("status tells of no recovery");
  return boot;
}

test("the machine as it should be", async () => {
  const debian = await start();
  await committed(debian.shell, "a");
  machineId = await debian.shell.must("cat /etc/machine-id");
  await debian.shell.must("echo mine >/var/lib/notes; mkdir -p /var/log/journal; echo shared >/var/log/journal/note; sync");
  await powerOff(debian);
});

test("zeroed footers and seals", async () => {
  for (const slot of ["a", "b"]) zeroSeal(disk, slot, image);
  const debian = await start();
  const told = await sameMachine(debian.shell);
  console.log(`zeroed seals: ${fetchedBy(told)} bytes of ${image.length} came over the network`);
  assert.ok(fetchedBy(told) < image.length / 20);
  await powerOff(debian);
});

test("one flipped bit each in different blocks, and one block flipped in both", async () => {
  for (const slot of ["a", "b"]) zeroSeal(disk, slot, image);
  flipBit(disk, "a", 1000);
  flipBit(disk, "b", 2000);
  for (const slot of ["a", "b"]) flipBit(disk, slot, 3000);
  changeRecord(disk, twoSlots, (record) => ({ ...record, uncleanEnds: 5 }));
  const debian = await start();
  const told = await sameMachine(debian.shell);
  console.log(`flipped bits: ${fetchedBy(told)} bytes came over the network`);
  assert.ok(fetchedBy(told) >= BLOCK && fetchedBy(told) < image.length / 20);
  await committed(debian.shell, (await statusOf(debian.shell)).running.slot);
  await powerOff(debian);
});

test("a sector of slot a that cannot be read, and nothing in slot b", async () => {
  writeInto(disk, "root-b", new Uint8Array(64 * 1024 * 1024));
  const { kernel } = await guestKernel();
  const unreadable = [Number(partition(disk, "root-a").firstLba) * 512];
  const options = { memoryMiB: 512, timeoutMs: 900_000, kernel, initrd, append: `${consoleWord()} quiet`, net };
  const machine = await startMachine({ ...options, disks: [{ file: disk, unreadable }] });
  const shell = new GuestShell(machine);
  await shell.ready(undefined, 800_000);
  const told = await sameMachine(shell);
  assert.is((await statusOf(shell)).running.slot, "b");
  assert.is(told.steps.at(-1)?.slot, "b");
  await powerOff({ machine, shell, disk });
});

test("an image whose init crashes, in both slots: a newer one is installed", async () => {
  const crashed = throwAwayCopy(await demoDisk({ a: v2.image, b: v2.image }, system));
  await publish(served.www, "stable", [v3.image]);
  const debian = await start({ ...panics, disk: crashed });
  const status = await statusOf(debian.shell);
  assert.is(status.recovery.boot?.rung, "reinstall");
  assert.is(status.recovery.boot?.steps.at(-1)?.installed?.version, "v3");
  await committed(debian.shell, status.running.slot);
  await powerOff(debian);
});

test("state that makes every init crash: the state before; safe mode, which cannot be committed, and a fresh state as asked for", async () => {
  const first = await start();
  const unit = "/etc/systemd/system/poison.service";
  await first.shell.must(
    `printf '[Service]\\nExecStart=/bin/sh -c "echo c >/proc/sysrq-trigger"\\n' >${unit} && mkdir -p /etc/systemd/system/sysinit.target.wants && ln -s ${unit} /etc/systemd/system/sysinit.target.wants/ && sync`,
  );
  await powerOff(first);
  const debian = await start(panics);
  const { shell, machine } = debian;
  // Where there is a state from before, it is the first thing that helps.
  const { rung } = JSON.parse(await shell.must("cat /run/slipway/boot.json")).recovery;
  assert.ok(["previous-generation", "safe-mode"].includes(rung), rung);
  await sameMachine(shell, rung === "safe-mode" ? "" : "mine");
  assert.is((await shell.run(`test -e ${unit}`)).exitCode, 1);
  console.log(`${machine.boots} boots until it ran by ${rung}`);
  shell.type("slipway recover safe-mode --reboot");
  await shell.ready(undefined, 600_000);
  const told = await sameMachine(shell, "");
  assert.is(told.rung, "safe-mode");
  const commit = await shell.run("slipway commit");
  assert.is(commit.exitCode, 3, commit.output);
  assert.match(commit.output, /safe mode/i);
  assert.match(await shell.must("slipway status"), /SAFE MODE/);
  shell.type("slipway recover reinstall-fresh --reboot");
  await shell.ready(undefined, 600_000);
  const fresh = await sameMachine(shell, "");
  assert.is(fresh.rung, "reinstall-fresh");
  assert.match(fresh.asked ?? "", /slipway recover|command/i);
  await committed(shell, (await statusOf(shell)).running.slot);
  assert.match(await shell.must("slipway state list"), /set aside/);
  await powerOff(debian);
});

test.run();
