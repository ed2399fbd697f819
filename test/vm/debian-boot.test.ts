/** A Debian with systemd, sealed and signed, launched twice: the handover, what it finds, what it leaves. */
import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { BootTimeline } from "../../boot/timeline/rows.ts";
import { readReport } from "../../init/commands/read-facts.ts";
import { demoDisk, demoImage, demoSystem } from "../../qemu/demo-machine.ts";
import { initrdFor } from "../../qemu/product.ts";
import { testKeyFiles, trustLine } from "../../qemu/seal.ts";
import { channel, release, signedChannel } from "../samples/channel.ts";
import { keyOfPem } from "../samples/sealed-image.ts";
import { committed, type Debian, powerOff, reboot, slotOf, startDebian, statusOf } from "./support/debian.ts";
import { checkData, dataFeatures, recordOn } from "./support/disk-file.ts";
import { ordinaryParts } from "./support/ordinary-parts.ts";

const system = demoSystem.replace("trust: unsigned\n", await trustLine(["release"]));
const { image, control } = await demoImage({ version: "v1", system, seal: { keys: ["release"], rollbackIndex: 2 } });
let debian: Debian;

test.before(async () => {
  debian = await startDebian({ initrd: await initrdFor(control), copyOf: await demoDisk({ a: image }, system) });
  await debian.shell.ready();
});

test.after(async () => {
  await debian.machine.cutPower();
});

let machineId = "";

test("the system says running, and the first boot is committed by its unit", async () => {
  const status = await committed(debian.shell, "a");
  assert.equal(status.warnings, []);
  assert.equal(status.degraded, []);
  assert.is(status.generation, "000001");
  assert.is(status.rollback, null);
  assert.is(status.next.slot, "a");
  const { condition, writable, uncleanEnds } = status.record;
  assert.equal({ condition, writable, uncleanEnds }, { condition: "valid", writable: true, uncleanEnds: 0 });
  assert.is(slotOf(status, "a").tries, 10);
  assert.match(slotOf(status, "a").version ?? "", /bookworm.*image v1$/);
  assert.equal(
    status.boots.map(({ attempt, slot, trial, stage, outcome }) => ({ attempt, slot, trial, stage, outcome })),
    [{ attempt: 1, slot: "a", trial: true, stage: "good", outcome: "good" }],
  );
  const text = await debian.shell.must("slipway status");
  assert.match(text, /^Slot a runs, committed, Debian GNU\/Linux/);
  assert.match(text, /\na +\/dev\/vda2 +[0-9a-f]{12} +committed +10 of 10 +2 +runs now, boots next\n/);
});

test("PID 1 of the initrd tells what it did, and leaves nothing else", async () => {
  const { shell } = debian;
  const report = readReport(await shell.must("cat /run/slipway/boot.json"));
  const { slot, slotDevice, trial, attempt, generation, skipped } = report;
  assert.equal(
    { slot, slotDevice, trial, attempt, generation, skipped },
    { slot: "a", slotDevice: "/dev/vda2", trial: true, attempt: 1, generation: "000001", skipped: [] },
  );
  assert.is(await shell.must("ls /run/slipway"), "boot.json\ncontrol.json\nlock\nruntime");
  // What the first command of the running system mounted, by its launcher: the commit's, without anything of the initrd
  const files = await shell.run("cat /sys/block/loop*/loop/backing_file 2>/dev/null");
  assert.is(files.output, "/usr/lib/slipway/runtime.squashfs");
  const mount = await shell.must("grep -E 'squashfs|sysroot|runtime|rootfs' /proc/mounts");
  assert.match(mount, /^\/dev\/loop0 \/run\/slipway\/runtime squashfs ro,nosuid,nodev,\S+ 0 0$/);
  assert.is(
    await shell.must("setpriv --reuid 65534 --regid 65534 --clear-groups slipway --version"),
    await shell.must("slipway --version"),
  );
});

test("the timeline has the kernel, slipway's parts and systemd, in order and without a hole at the handover", async () => {
  const { shell } = debian;
  assert.match(await shell.must("journalctl -b -t slipway -o cat --no-pager"), /^slot a: /m, "what no console shows");
  const { rows, notes }: BootTimeline = JSON.parse(await shell.must("slipway timeline --json"));
  assert.equal(notes, []);
  assert.equal(
    rows.filter(({ depth }) => depth === 0).map(({ by, name }) => `${by} ${name}`),
    [
      "kernel kernel",
      ...ordinaryParts.map((name) => `slipway ${name}`),
      ...["systemd set-up", "systemd generators", "systemd unit files", "systemd default target"],
    ],
  );
  assert.ok(rows.every(({ open, overlaps }) => !open && overlaps.length === 0));
  const startOf = (name: string) => rows.find((row) => row.name === name)?.startMs ?? Number.NaN;
  const handover = rows.find(({ name }) => name === "handover");
  assert.ok(handover && Math.abs(handover.startMs + handover.lengthMs - startOf("set-up")) < 0.01);
  assert.ok(startOf("proof") > startOf("slot") && startOf("proof") < startOf("image"));
  // One clock for all: preinit starts when the kernel says so, but for what their clocks differ in.
  const [, said] = /^\[ *([\d.]+)\] Run \/init/m.exec(await shell.must("dmesg")) ?? [];
  const afterMs = startOf("preinit") - Number(said) * 1000;
  assert.ok(Math.abs(afterMs) < 500, `${afterMs} ms after "Run /init"`);
  assert.match(await shell.must("slipway timeline"), /^kernel +kernel +0\.000 .*\nslipway +preinit /m);
  const svg = await shell.must("slipway timeline --svg -o /run/boot.svg && cat /run/boot.svg && rm /run/boot.svg");
  assert.match(svg, /^<svg [\s\S]*class="kernel"[\s\S]*class="slipway"[\s\S]*class="systemd"[\s\S]*<\/svg>$/);
});

test("the root is a dm-verity device that was proven, and the commit read the slot whole", async () => {
  const { shell } = debian;
  const { proof, signers, image: told, imageId, verity } = readReport(await shell.must("cat /run/slipway/boot.json"));
  assert.is(proof, "signed");
  assert.is(signers.length, 1);
  assert.equal([told?.system, told?.version, told?.rollbackIndex], ["slipway-demo", "v1", 2]);
  assert.is(told?.rootHash, imageId);
  assert.equal(verity, { device: "/dev/dm-0", options: ["restart_on_corruption"] });
  assert.is(await shell.must("findmnt --noheadings --output SOURCE,FSTYPE / | tr -s ' '"), "/dev/dm-0 erofs");
  assert.is(await shell.must("cat /sys/block/dm-0/dm/name /sys/block/dm-0/ro /sys/class/block/vda2/ro"), "slipway-a\n1\n1");
  assert.match(
    await shell.must("journalctl -b -u slipway-commit.service --no-pager -o cat"),
    /^Read slot a whole, \d+ MiB in \d+\.\d s: every block is the image's\.$/m,
  );
  assert.equal(recordOn(debian.disk).reading.record?.floors, { install: 2, boot: 0 });
  assert.match(await shell.must("slipway state diff"), /\S/);
});

test("systemd starts as from the kernel: environment, arguments, signals, descriptors, mounts", async () => {
  const { shell } = debian;
  const environment = (await shell.must("tr '\\0' '\\n' </proc/1/environ")).split("\n");
  assert.equal(environment, ["HOME=/", "TERM=linux", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]);
  assert.is(await shell.must("tr '\\0' ' ' </proc/1/cmdline"), "/sbin/init");
  // systemd ignores SIGPIPE and handles the signals that crashes raise; what it leaves alone must be at its default
  assert.is(await shell.must("sed -n 's/^SigIgn:.//p' /proc/1/status"), "0000000000001000");
  // SIGXFSZ and SIGPIPE are what Bun ignores; a child of systemd has systemd's limits and nothing ignored
  assert.is(await shell.must("systemd-run --quiet --wait --pipe sed -n 's/^SigIgn:.//p' /proc/self/status"), "0000000000001000");
  assert.match(await shell.must("grep -E 'core file|file size' /proc/1/limits"), /file size +unlimited +unlimited/);
  assert.is((await shell.run("ls -l /proc/1/fd | grep -E 'deleted|runtime|slipway|squashfs'")).output, "");
  const paths = (await shell.must("cut -d' ' -f2 /proc/mounts")).split("\n");
  assert.equal(
    paths.filter((path, index) => paths.indexOf(path) !== index),
    [],
  );
  assert.is(await shell.must("stat -c '%a' /tmp /var/tmp"), "1777\n1777");
});

test("the initramfs is freed", async () => {
  const kib = async (name: string) => Number(await debian.shell.must(`sed -n 's/^${name}: *\\([0-9]*\\).*/\\1/p' /proc/meminfo`));
  // What is neither free nor given back on demand: some 50 MB with the initramfs gone, and more than its 40 MB with it
  const used = (await kib("MemTotal")) - (await kib("MemAvailable"));
  assert.ok(used < 75_000, `${used} KiB are in use`);
  assert.ok((await kib("Shmem")) < 5_000);
});

test("its units ask a channel where somebody starts them, and an install keeps to its window", async () => {
  const { shell } = debian;
  const timers = "slipway-check.timer slipway-install.timer";
  assert.is((await shell.run(`systemctl is-enabled ${timers}`)).output, "disabled\ndisabled");
  assert.is((await shell.run(`systemctl is-active ${timers}`)).output, "inactive\ninactive");
  const { system }: { system: string } = JSON.parse(await shell.must("cat /run/slipway/control.json"));
  const key = await keyOfPem(readFileSync((await testKeyFiles("release")).privateKey, "utf8"));
  const releases = [release("9000.1", { rollbackIndex: 2 }), release("9000.2", { rollbackIndex: 2, rollout: 0 })];
  const list = await signedChannel(channel({ system, releases }), [key]);
  await shell.must(`mkdir -p /run/stable /etc/slipway && echo ${list.toBase64()} | base64 -d > /run/stable/channel.json`);
  const hour = Number(await shell.must("date +%k"));
  const clock = (later: number) => `${String((hour + later) % 24).padStart(2, "0")}:00`;
  const settings = { schema: 1, source: "/run/stable", channel: "stable", window: `${clock(2)}-${clock(3)}` };
  await shell.must(`echo '${JSON.stringify(settings)}' > /etc/slipway/update.json`);
  const start = (name: string) =>
    shell.must(`systemctl start ${name}.service && journalctl -u ${name}.service -o cat --no-pager`);
  const told = await start("slipway-check");
  assert.match(told, new RegExp(`^Channel stable of ${system}, serial 5, signed by [0-9a-f]{12}\\.$`, "m"));
  assert.match(told, /^Offered: 9000\.1 \(/m);
  assert.match(told, /^Not 9000\.2: it is offered to 0 % of the machines, this one comes in above/m);
  assert.match(await start("slipway-install"), /installs may begin from \d\d:00 to \d\d:00 only/);
  await shell.must(`systemctl start ${timers}`);
  const next = await shell.must(`systemctl show --property=NextElapseUSecRealtime ${timers}`);
  assert.match(next, /^NextElapseUSecRealtime=\w{3} \d{4}-.*\n\nNextElapseUSecRealtime=\w{3} \d{4}-.* 0[234]:/);
  await shell.must(`systemctl stop ${timers} && rm -r /etc/slipway`);
});

test("what is persistent is still there after a reboot, the rest is not", async () => {
  const { shell } = debian;
  machineId = await shell.must("cat /etc/machine-id");
  assert.match(machineId, /^[0-9a-f]{32}$/);
  for (const path of ["/etc", "/var/lib", "/root", "/home"]) await shell.must(`echo kept > ${path}/kept`);
  for (const path of ["/tmp", "/var/tmp", "/run"]) await shell.must(`echo lost > ${path}/lost`);
  for (const path of ["/usr/written", "/written"]) assert.is((await shell.run(`echo x > ${path}`)).exitCode, 2);
  await shell.must("rm /etc/issue.net && echo changed > /etc/issue");
  await reboot(debian);
  const status = await committed(shell, "a");
  assert.is(status.running.attempt, 2);
  assert.is(status.generation, "000001");
  for (const path of ["/etc", "/var/lib", "/root", "/home"]) assert.is(await shell.must(`cat ${path}/kept`), "kept");
  assert.is(await shell.must("cat /etc/issue"), "changed");
  assert.is((await shell.run("ls /tmp/lost /var/tmp/lost /run/lost /etc/issue.net 2>/dev/null")).output, "");
});

test("the second boot is the same machine, and the journal knows both", async () => {
  const { shell } = debian;
  assert.is(await shell.must("cat /etc/machine-id"), machineId);
  assert.is((await shell.must("journalctl --list-boots --no-pager | grep -c '^ *-\\?[01] '")).trim(), "2");
  const status = await statusOf(shell);
  assert.equal(
    status.boots.map(({ attempt, ended }) => ({ attempt, ended })),
    [
      { attempt: 2, ended: "runs now; good" },
      { attempt: 1, ended: "good, committed; shut down cleanly" },
    ],
  );
  assert.is(slotOf(status, "a").tries, 10);
  assert.is((await shell.run("journalctl -b -1 --no-pager | grep -i 'failed to unmount\\|failed unmounting'")).output, "");
  assert.is(
    (await shell.run("journalctl -b -1 --no-pager | grep 'slipway.runtime'")).output,
    "",
    "it stays for the last command",
  );
});

test("after a shutdown the data filesystem needs no replay, and the record says a clean end", async () => {
  await powerOff(debian);
  assert.not.ok((await dataFeatures(debian.disk)).includes("needs_recovery"));
  await checkData(debian.disk);
  const { reading } = recordOn(debian.disk);
  assert.is(reading.condition, "valid");
  assert.is(reading.record?.attempt?.cleanEnd, true);
  assert.is(reading.record?.uncleanEnds, 0);
  // systemd cannot take away the device that its own root is on, and says so of every root on device-mapper.
  const said = debian.machine.console.text.replaceAll("Failed to finalize DM devices, ignoring", "");
  assert.not.match(said, /FAILED|Failed/);
});

test.run();
