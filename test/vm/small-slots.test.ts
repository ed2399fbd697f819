/** A machine with two slots: what the next init is given, what is counted, and the way to the other slot. */

import { statSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { UNPROVEN } from "../../boot/image/judge-seal.ts";
import { guestArchitecture } from "../../qemu/architecture.ts";
import { recordOn } from "./support/disk-file.ts";
import { readMounts, shadowed } from "./support/mounts.ts";
import { ordinaryParts } from "./support/ordinary-parts.ts";
import { validRecord } from "./support/record-on-disk.ts";
import { smallSystem } from "./support/small-image.ts";
import { boot, part, smallInitrd, smallMachine, startSmall, type Told } from "./support/small-machine.ts";

const script =
  "report kept cat /home/kept; echo $(cat /etc/small-root/facts) >>/home/kept; report tmp stat -c %a /tmp /var/tmp /run; sync";
const machine = await smallMachine({
  slots: { a: { facts: "v1", ending: "hang", script }, b: { facts: "v2", ending: "power-off", script } },
});

/** The value of "NAME:   VALUE" in a text such as /proc/self/status. */
function field(text: string, name: string): string {
  const value = new RegExp(`^${name}: *\\t? *(.*)$`, "m").exec(text)?.[1];
  if (value === undefined) throw new Error(`no "${name}:" in\n${text}`);
  return value.trim();
}

/** kB of /proc/meminfo. */
const kilobytes = (meminfo: string, name: string) => Number.parseInt(field(meminfo, name), 10);

let first: Told;

test("on a fresh disk slot a boots, on trial, and its try is on the disk", async () => {
  first = await boot(machine);
  assert.is(first.root, "v1");
  const { report } = first;
  assert.is(report.attempt, 1);
  assert.is(report.slot, "a");
  assert.is(report.slotDevice, "/dev/vda2");
  assert.is(report.trial, true);
  assert.equal(report.skipped, []);
  assert.is(report.rollback, null);
  assert.equal(report.record, { condition: "empty", writable: true, device: "/dev/vda1" });
  assert.is(report.generation, "000001");
  assert.equal(report.degraded, []);
  assert.equal(report.warnings, [UNPROVEN]);
  assert.equal(
    report.timeline.map(({ name }) => name),
    ordinaryParts,
  );
  const record = validRecord(machine.disk);
  assert.is(record.slots.a?.tries, 2);
  assert.is(record.slots.a?.imageId, report.imageId);
  assert.is(record.slots.b?.tries, 3);
  assert.equal(record.attempt, {
    number: 1,
    slot: "a",
    imageId: report.imageId,
    trial: true,
    stage: "handover",
    cleanEnd: false,
  });
  assert.equal(
    recordOn(machine.disk).journal.map(({ attempt, stage, outcome }) => [attempt, stage, outcome]),
    [[1, "handover", "running"]],
  );
});

test("the next init is process 1 with default signals, the kernel's limits and a clean environment", () => {
  const status = part(first, "status");
  assert.is(field(status, "Pid"), "1");
  for (const set of ["SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt"]) assert.is(field(status, set), "0".repeat(16), set);
  assert.is(field(status, "Umask"), "0022");
  assert.is(field(status, "Threads"), "1");
  const limit = (name: string) => new RegExp(`^${name} +(\\S+) +(\\S+)`, "m").exec(part(first, "limits"))?.slice(1);
  assert.equal(limit("Max open files"), ["1024", "4096"]);
  assert.equal(limit("Max core file size"), ["0", "unlimited"]);
  assert.equal(limit("Max stack size"), ["8388608", "unlimited"]);
  assert.equal(limit("Max address space"), ["unlimited", "unlimited"]);
  assert.equal(part(first, "environment").split("\n").sort(), [
    "HOME=/",
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "TERM=linux",
  ]);
  assert.is(part(first, "arguments"), "/sbin/init");
  assert.is(part(first, "directory"), "/");
  assert.is(part(first, "panic"), "10");
});

test("it has the console on descriptors 0 to 2, and no other", () => {
  const lines = part(first, "descriptors").split("\n");
  const console = /^console (device=\d+ inode=\d+)$/.exec(lines.pop() ?? "")?.[1];
  assert.ok(console);
  // O_RDWR, with O_LARGEFILE as the kernel adds it
  const flags = { "x86-64": "100002", arm64: "400002" }[guestArchitecture];
  assert.equal(
    lines,
    ["0", "1", "2"].map((fd) => `${fd} /dev/console ${console} flags=${flags}`),
  );
});

test("no mount hides another, and of the boot only /run/slipway is left", () => {
  const mounts = readMounts(part(first, "mounts"));
  assert.equal(shadowed(mounts), []);
  assert.equal(mounts.map(({ path }) => path).sort(), [
    "/",
    "/dev",
    "/etc",
    "/etc/machine-id",
    "/home",
    "/proc",
    "/root",
    "/run",
    "/sys",
    "/tmp",
    "/var",
    "/var/tmp",
  ]);
  const root = mounts.find(({ path }) => path === "/");
  assert.ok(root?.options.includes("ro"));
  assert.is(root?.source, "/dev/vda2");
  assert.equal(part(first, "run").split("\n").sort(), ["boot.json", "control.json", "uncommitted"]);
  assert.is(part(first, "tmp"), "1777\n1777\n755");
});

test("the memory of the initramfs is free again", () => {
  assert.is(part(first, "loop"), "absent", "the runtime image's loop device");
  const memory = part(first, "memory later");
  assert.ok(kilobytes(memory, "Unevictable") < 512, "kB of the initramfs's own pages");
  const used = kilobytes(memory, "MemTotal") - kilobytes(memory, "MemFree");
  const initrd = statSync(machine.initrd).size / 1024;
  assert.ok(used < initrd, `${used} kB are used, and the initrd alone has ${initrd.toFixed(0)} kB`);
});

test("after a power cut the end is counted as unclean, and the trial goes on with its state", async () => {
  const second = await boot(machine);
  assert.is(second.root, "v1");
  assert.is(second.report.attempt, 2);
  assert.equal(second.report.warnings, [UNPROVEN]);
  assert.is(second.report.record.condition, "valid");
  assert.is(second.report.generation, "000001");
  assert.is(part(second, "kept"), "v1");
  assert.match(second.console, /slipway: the last boot \(attempt 1, slot a\) ended uncleanly at stage handover/);
  const record = validRecord(machine.disk);
  assert.is(record.uncleanEnds, 1);
  assert.is(record.slots.a?.tries, 1);
  const { journal } = recordOn(machine.disk);
  assert.equal(
    journal.map(({ attempt, outcome }) => [attempt, outcome]),
    [
      [2, "running"],
      [1, "unclean"],
    ],
  );
  assert.match(journal[1]?.reason ?? "", /no clean shutdown was seen after stage handover/);
});

test("a try that is cut in PID 1 is counted too", async () => {
  const initrd = await smallInitrd(smallSystem(), { debug: true });
  const third = await startSmall(machine, { initrd, append: "rd.break=state" });
  await third.expect("rd.break=state: a shell on the console");
  await third.cutPower();
  const record = validRecord(machine.disk);
  assert.is(record.slots.a?.tries, 0);
  assert.is(record.attempt?.number, 3);
  assert.is(record.attempt?.stage, "counted");
  assert.is(recordOn(machine.disk).journal[0]?.stage, "state");
});

test("with its trial used up slot a is left for slot b, which says why", async () => {
  const fourth = await boot(machine);
  assert.is(fourth.root, "v2");
  const { report } = fourth;
  assert.is(report.slot, "b");
  assert.is(report.slotDevice, "/dev/vda3");
  assert.is(report.attempt, 4);
  assert.is(report.trial, true);
  const reason = "trial used up without a commit";
  assert.equal(report.skipped, [{ slot: "a", reason }]);
  assert.is(report.generation, "000002");
  assert.is(report.warnings.length, 2);
  assert.match(report.warnings[1] ?? "", /no slot was committed yet; state was cloned from generation 000001 of slot a/);
  assert.is(part(fourth, "kept"), "v1\nv1");
  const record = validRecord(machine.disk);
  assert.is(record.slots.a?.reason, reason);
  const startedUnixMs = recordOn(machine.disk).journal.find(({ attempt }) => attempt === 3)?.startedUnixMs ?? 0;
  assert.equal(report.rollback, { from: "a", imageId: record.slots.a?.imageId, reason, attempt: 3, startedUnixMs });
  const bootIds = recordOn(machine.disk).journal.map(({ bootId }) => bootId ?? "none");
  assert.is(
    new Set(bootIds.filter((bootId) => /^[0-9a-f]{32}$/.test(bootId))).size,
    4,
    "each boot has an id, by which its logs are found",
  );
  assert.equal(record.quarantined, [], "the last try did not come as far as the handover");
  assert.is(record.slots.b?.tries, 2);
  assert.is(record.uncleanEnds, 3);
  assert.match(recordOn(machine.disk).journal[1]?.reason ?? "", /no clean shutdown was seen after stage/);
});

test.run();
