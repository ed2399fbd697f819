import { test } from "uvu";
import * as assert from "uvu/assert";
import { UNPROVEN } from "../../boot/image/judge-seal.ts";
import type { BootReport } from "../../boot/report.ts";
import { IOCTL } from "../../init/kernel/constants.ts";
import { link, device as memoryDevice, file as memoryFile } from "../../init/kernel/recording/memory-tree.ts";
import { matchesGolden } from "../golden.ts";
import { controlFile, image, MiB, operators, program } from "./golden-machine.ts";
import { type Boot, World, type WorldOptions } from "./golden-world.ts";

/** Images without declared state, for what has nothing to do with it. */
const control = { "usr/lib/slipway/control.json": controlFile({ operators: [] }).text };
const plain = (number: number, change = {}) => image(number, { ...control, ...change });
const [v1, v2] = [image(1), image(2)];

/** Compares the trace, and asserts what every handover owes the next init. */
function golden(name: string, boot: Boot): void {
  assert.is(boot.escaped, null, boot.end);
  matchesGolden(`boot-${name}`, boot.kernel.trace);
  if (!boot.end.startsWith("exec")) return;
  const held = [...boot.kernel.openDescriptors()].filter(([fd]) => fd > 2).map(([, path]) => path);
  const record = report(boot).record?.device;
  const expected = ["/", "/dev/kmsg", ...(record ? [record] : [])];
  assert.equal(held.toSorted(), expected, "descriptors open until the exec");
  assert.match(boot.kernel.trace, /close-on-exec\(3 and up\)\nexec/);
  assert.is(boot.kernel.peek("/etc/initrd-release"), null, "the initramfs was freed and left");
  assert.match(boot.kernel.trace, /\nwrite\("\/sys\/dev\/block\/[0-9:]+\/queue\/read_ahead_kb", "128"\)\n/);
}

/** A machine whose slot a is committed and was shut down in order, with another image in b to be tried. */
async function beforeTrial(options: WorldOptions & { a: typeof v1; trial: typeof v1 }): Promise<World> {
  const world = new World(options);
  assert.is((await world.boot()).end, "exec /sbin/init");
  world.commitAndShutDown("a", options.a.id);
  world.installInB(options.trial);
  return world;
}

const plainTrial = (change = {}, options: WorldOptions = {}) => beforeTrial({ ...options, a: plain(1), trial: plain(2, change) });

function report(boot: Boot): Partial<BootReport> {
  const report: Partial<BootReport> = JSON.parse(boot.kernel.peek("/run/slipway/boot.json") ?? "{}");
  return report;
}

test("first boot of a machine", async () => {
  const boot = await new World({ a: v1 }).boot();
  assert.is(boot.root, "/dev/vda2");
  golden("first", boot);
});

test("a committed slot boots again and keeps its generation", async () => {
  const world = new World({ a: v1 });
  await world.boot();
  world.commitAndShutDown("a", v1.id);
  const boot = await world.boot();
  assert.is(report(boot).generation, "000001");
  golden("committed", boot);
});

test("an ordinary boot shows one line on a console that the kernel was not told to keep quiet", async () => {
  const world = new World({ a: v1 });
  await world.boot();
  world.commitAndShutDown("a", v1.id);
  const said = [...(await world.boot()).kernel.trace.matchAll(/^write\("\/dev\/kmsg", "<(\d)>slipway: (.*)\\n"\)$/gm)];
  const shown = said.filter(([, level]) => Number(level) < 7).map(([, , text]) => text);
  assert.equal(shown, [
    UNPROVEN,
    "handing over to /sbin/init in slot a (first of the slots that can boot (committed, 10 of 10 tries left)), attempt 2",
  ]);
  assert.ok(said.length > shown.length, "the rest is in the kernel's log");
});

test("a trial gets a clone of the committed state", async () => {
  const boot = await (await beforeTrial({ a: v1, trial: v2 })).boot();
  assert.is(boot.root, "/dev/vda3");
  assert.is(report(boot).generation, "000002");
  golden("trial", boot);
});

test("a trial after an unclean end starts from a fresh clone", async () => {
  const world = await beforeTrial({ a: v1, trial: v2 });
  await world.boot();
  const boot = await world.boot();
  assert.is(report(boot).generation, "000003");
  golden("trial-again", boot);
});

test("a trial whose tries run out is left for the committed slot, with its state", async () => {
  const world = await beforeTrial({ a: v1, trial: v2 });
  for (let attempt = 0; attempt < 3; attempt++) assert.is((await world.boot()).root, "/dev/vda3");
  const boot = await world.boot();
  assert.is(boot.root, "/dev/vda2");
  assert.is(report(boot).generation, "000001");
  assert.match(JSON.stringify(report(boot).rollback), /"from":"b","imageId":"[0-9a-f]{64}","reason":"trial used up/);
  golden("rollback", boot);
});

test("devices that appear late", async () => {
  const world = new World({ a: plain(1) });
  const kernel = world.kernel(["vda", "vda1", "vda2", "vda3", "vda4"]);
  for (const [index, block] of [world.disk, world.record, world.a, world.b, world.data].entries()) {
    kernel.addDevice(block, 5000 + 100 * index);
  }
  const boot = await world.boot(kernel);
  assert.is(boot.root, "/dev/vda2");
  golden("late-devices", boot);
});

test("the trial's device is missing", async () => {
  const world = await plainTrial();
  const boot = await world.boot(world.kernel(["vda3"]));
  assert.is(boot.root, "/dev/vda2");
  assert.match(JSON.stringify(report(boot).skipped), /root-b after 30 s; saw .*root-a/);
  golden("missing-slot", boot);
});

test("the mount is refused", async () => {
  const world = await plainTrial();
  const kernel = world.kernel();
  kernel.failOn({ call: "mount", match: /vda3/, code: "ENODEV" });
  const boot = await world.boot(kernel);
  assert.is(boot.root, "/dev/vda2");
  golden("mount-refused", boot);
});

test("a slot cannot be read", async () => {
  const world = await plainTrial();
  const kernel = world.kernel();
  kernel.failOn({ call: "read", match: /^read\("\/dev\/vda3"/, code: "EIO" });
  const boot = await world.boot(kernel);
  assert.is(boot.root, "/dev/vda2");
  golden("slot-unreadable", boot);
});

for (const [name, what, change] of [
  ["no-init", "no init in the root", { "usr/sbin/init": {} }],
  ["no-interpreter", "the init's interpreter is missing", { "usr/lib64/ld-linux-x86-64.so.2": {} }],
  ["init-outside", "the init leads out of the image", { "usr/sbin/init": link("../../../../runtime/init") }],
  ["foreign-machine", "the init is for another machine", { "usr/lib/systemd/systemd": memoryFile(foreign(), { mode: 0o755 }) }],
  ["no-run", "the root has no /run", { run: "a file" }],
  ["foreign-system", "an image for another system", { "usr/lib/slipway/control.json": controlFile({ system: "other" }).text }],
  ["damaged-control", "the image's control file is damaged", { "usr/lib/slipway/control.json": "{}" }],
] as const) {
  test(what, async () => {
    const boot = await (await plainTrial(change)).boot();
    assert.is(boot.root, "/dev/vda2");
    golden(name, boot);
  });
}

function foreign(): Uint8Array {
  const bytes = program(null);
  new DataView(bytes.buffer).setUint16(18, 243, true);
  return bytes;
}

test("modules of another kernel only: a trial fails, a committed slot goes on", async () => {
  const others = { "usr/lib/modules": memoryFile(""), "usr/lib/modules/5.10.0-other/modules.dep": "" };
  const trial = await (await plainTrial(others)).boot();
  assert.is(trial.root, "/dev/vda2");
  golden("foreign-modules-trial", trial);
  const world = new World({ a: plain(1) });
  await world.boot();
  world.commitAndShutDown("a", plain(1).id);
  const kernel = world.kernel();
  kernel.plant("/proc", { "sys/kernel/osrelease": "6.12.0-newer\n" });
  const committed = await world.boot(kernel);
  assert.is(committed.root, "/dev/vda2");
  golden("foreign-modules-committed", committed);
});

test("the boot record is unreadable: slots are tried in order, as trials", async () => {
  const world = await plainTrial();
  world.record.storage.write(0, new Uint8Array(4096).fill(0x5a));
  world.record.storage.write(MiB, new Uint8Array(4096).fill(0x5a));
  const boot = await world.boot();
  assert.is(boot.root, "/dev/vda2");
  assert.is(world.readRecord().condition, "valid");
  golden("record-unreadable", boot);
});

test("the boot record cannot be written: a committed slot boots, a trial never", async () => {
  const world = await plainTrial();
  const kernel = world.kernel();
  kernel.failOn({ call: "write", match: /^write\("\/dev\/vda1"/, code: "EIO" });
  const boot = await world.boot(kernel);
  assert.is(boot.root, "/dev/vda2");
  golden("record-unwritable", boot);
});

test("the record turns out unwritable at the only slot, which is committed: it boots uncounted", async () => {
  const world = new World({ a: v1 });
  await world.boot();
  world.commitAndShutDown("a", v1.id);
  for (let again = 0; again < 2; again++) {
    const kernel = world.kernel();
    kernel.failOn({ call: "write", match: /vda1", record/, code: "EIO" });
    const boot = await world.boot(kernel);
    assert.is(boot.root, "/dev/vda2", boot.end);
    assert.equal(report(boot).record, { condition: "valid", writable: false, device: "/dev/vda1" });
  }
});

test("the disk is write-protected", async () => {
  const world = await plainTrial();
  const kernel = world.kernel();
  kernel.failOn({ call: "open", match: /vda1.*RDWR/, code: "EACCES" });
  const boot = await world.boot(kernel);
  assert.is(boot.root, "/dev/vda2");
  golden("record-write-protected", boot);
});

test("the boot record's partition is missing", async () => {
  const world = await plainTrial();
  const boot = await world.boot(world.kernel(["vda1"]));
  assert.is(boot.root, "/dev/vda2");
  golden("record-missing", boot);
});

test("without any boot record the slot that is asked for boots, and the others where it fails", async () => {
  const world = await plainTrial({}, { commandLine: "slipway.slot=b" });
  assert.is((await world.boot(world.kernel(["vda1"]))).root, "/dev/vda3");
  const kernel = world.kernel(["vda1"]);
  kernel.failOn({ call: "mount", match: /vda3/, code: "EIO" });
  const boot = await world.boot(kernel);
  assert.is(boot.root, "/dev/vda2");
  assert.equal(report(boot).skipped, [{ slot: "b", reason: "mount /dev/vda3 as erofs: EIO" }]);
});

test("the boot record cannot be read: nothing is written over it, and it counts again at the next boot", async () => {
  const world = await plainTrial();
  const kernel = world.kernel();
  kernel.failOn({ call: "read", match: /^read\("\/dev\/vda1"/, code: "EIO" });
  const boot = await world.boot(kernel);
  assert.is(boot.root, "/dev/vda2");
  assert.equal(report(boot).record, { condition: "unreadable", writable: false, device: "/dev/vda1" });
  assert.is((await world.boot()).root, "/dev/vda3", "the trial goes on");
});

test("the journal cannot be written: the boot goes on", async () => {
  const world = await plainTrial();
  const kernel = world.kernel();
  kernel.failOn({ call: "write", match: /vda1", journal/, code: "EIO" });
  const boot = await world.boot(kernel);
  assert.is(boot.root, "/dev/vda3");
  golden("journal-unwritable", boot);
});

test("the exec itself fails: a restart with the reason in the journal, until the committed slot boots again", async () => {
  const world = await plainTrial();
  for (const attempt of [2, 3, 4]) {
    const kernel = world.kernel();
    kernel.failOn({ call: "exec", code: "EACCES" });
    const boot = await world.boot(kernel);
    assert.match(boot.escaped?.message ?? "", /execve \/sbin\/init: EACCES/);
    const entry = world.journal()[0];
    const seen = [entry?.attempt, entry?.slot, entry?.stage, entry?.outcome, entry?.reason];
    assert.equal(seen, [attempt, "b", "handover", "failed", "execve /sbin/init: EACCES"]);
  }
  const boot = await world.boot();
  assert.is(boot.root, "/dev/vda2");
  assert.match(report(boot).rollback?.reason ?? "", /trial used up without a commit; last: execve/);
  assert.equal(world.readRecord().record?.quarantined, [], "nothing of the image ran");
});

test("both slots fail: the reasons on the console, a pause, a restart", async () => {
  const world = await plainTrial({ "usr/sbin/init": {} });
  const kernel = world.kernel();
  kernel.failOn({ call: "mount", match: /vda2/, code: "EIO" });
  const boot = await world.boot(kernel);
  assert.is(boot.end, "reboot restart");
  golden("both-fail", boot);
  assert.ok(boot.kernel.clocks.bootMs >= 6000, "a pause of 5 s");
  assert.is((await world.boot()).root, "/dev/vda2", "the next boot finds the committed slot again");
});

test("both slots are empty", async () => {
  const boot = await new World().boot();
  assert.is(boot.end, "reboot restart");
  golden("both-empty", boot);
});

test("a second disk with the same labels", async () => {
  const world = await plainTrial();
  const kernel = world.kernel();
  const twin = kernel.addDevice({ path: "/dev/vdb", number: { major: 254, minor: 16 }, size: 64 * MiB });
  for (const [number, label] of [
    [1, "boot-record"],
    [2, "root-a"],
    [3, "root-b"],
  ] as const) {
    kernel.addDevice({
      path: `/dev/vdb${number}`,
      number: { major: 254, minor: 16 + number },
      size: 4 * MiB,
      partition: { of: twin, number, start: number * 8 * MiB, label },
      ...(number === 1 ? { contents: world.record.storage.read(0, 2 * MiB) } : {}),
    });
  }
  kernel.beginTrace();
  const boot = await world.boot(kernel);
  assert.is(boot.end, "reboot restart");
  assert.match(boot.kernel.trace, /no slot boots\\n\\n {4}vda1 and vdb1 hold a valid boot record/);
  golden("twin-disk", boot);
});

test("the data partition is missing or holds something else: the trial fails, the committed slot too", async () => {
  const world = await beforeTrial({ a: v1, trial: v2 });
  const missing = await world.boot(world.kernel(["vda4"]));
  assert.is(missing.end, "reboot restart");
  golden("data-missing", missing);
  const other = await new World({ a: v1, data: null }).boot();
  assert.is(other.end, "reboot restart");
  golden("data-empty", other);
});

test("state that may be degraded: memory instead, also where there is no data filesystem", async () => {
  const soft = controlFile({ operators: operators.map((operator) => ({ ...operator, onFailure: "degraded" as const })) }).text;
  const world = new World({ a: image(1, { "usr/lib/slipway/control.json": soft }) });
  const kernel = world.kernel();
  kernel.failOn({ call: "mount", match: /"overlay"/, code: "EINVAL" });
  const boot = await world.boot(kernel);
  assert.is(boot.end, "exec /sbin/init");
  assert.match(JSON.stringify(report(boot).degraded), /"path":"\/etc"/);
  golden("state-degraded", boot);
  const without = await world.boot(world.kernel(["vda4"]));
  assert.is(without.root, "/dev/vda2");
  assert.equal(
    report(without).degraded?.map(({ path }) => path),
    ["/etc", "/etc/machine-id", "/var/lib/app"],
  );
  golden("state-without-data", without);
});

test("no space for the clone: the trial fails, the state of the committed slot is as it was", async () => {
  const world = await beforeTrial({ a: v1, trial: v2 });
  const kernel = world.kernel();
  kernel.failOn({ call: "copyRange", code: "ENOSPC" });
  const boot = await world.boot(kernel);
  assert.is(boot.root, "/dev/vda2");
  assert.is(report(boot).generation, "000001");
  golden("state-no-space", boot);
});

test("words of the command line", async () => {
  const words = "quiet rw slipway.slot=b init=/usr/lib/systemd/systemd slipway.nonsense rd.break=image panic=7 -- single";
  const world = new World({ a: plain(1), b: plain(2), commandLine: words });
  const boot = await world.boot();
  assert.is(boot.root, "/dev/vda3");
  golden("words", boot);
  const locked = new World({ a: plain(1), b: plain(2), commandLine: words, control: { commandLine: "locked" } });
  golden("words-locked", await locked.boot());
});

test("a watchdog is started, fed while it waits, and handed over", async () => {
  const world = await plainTrial({}, { control: { watchdog: { timeout: 20, after: "systemd" } } });
  const kernel = world.kernel(["vda3"]);
  kernel.plant("/dev", { watchdog: memoryDevice("character", 10, 130) });
  const boot = await world.boot(kernel);
  const fed = boot.kernel.trace.split("\n").filter((line) => line.includes("WDIOC_KEEPALIVE")).length;
  assert.ok(fed >= 30, `fed ${fed} times in 30 s`);
  golden("watchdog", boot);
  const none = await plainTrial({}, { control: { watchdog: { timeout: 20, after: "keep" } } });
  const refusing = none.kernel();
  refusing.plant("/dev", { watchdog: memoryDevice("character", 10, 130) });
  refusing.onIoctl(IOCTL.WDIOC_SETTIMEOUT, () => "EINVAL");
  golden("watchdog-own-timeout", await none.boot(refusing));
});

test.run();
