import { execFileSync } from "node:child_process";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { readCpio } from "../../init/builder/initrd/cpio.ts";
import { changesBetween } from "../../qemu/update-pair.ts";
import { busyboxInitrd, busyboxScript } from "../../scripts/bench/busybox.ts";
import { fileSizes } from "../../scripts/bench/clone-sizes.ts";
import { clonesTable, plainCopy, snapshot } from "../../scripts/bench/clone-table.ts";
import { readFacts, spreadOf } from "../../scripts/bench/facts.ts";
import { withoutIdle } from "../../scripts/bench/instructions.ts";
import { operatorsFragment } from "../../scripts/bench/operators-fragment.ts";
import { operatorsTable } from "../../scripts/bench/operators-table.ts";
import { parseOptions, Usage } from "../../scripts/bench/options.ts";
import { peerNames } from "../../scripts/bench/peers.ts";
import { proofTable } from "../../scripts/bench/proof-table.ts";
import { scaleParts } from "../../scripts/bench/scale/parts.ts";
import { timelineOf } from "../../scripts/bench/timeline.ts";
import { factsText, type MeasuredUpdate, updatesTable } from "../../scripts/bench/update-table.ts";
import type { ControlFile, Operator } from "../../state-ops/control.ts";
import { sampleControl } from "../samples/control-file.ts";
import { sampleOperator } from "../samples/operator.ts";
import { randomNumbers } from "../samples/random.ts";

const report = {
  trial: false,
  generation: "000001",
  degraded: [],
  timeline: [
    { name: "preinit", startMs: 1970, lengthMs: 80 },
    { name: "runtime", startMs: 2050, lengthMs: 1700 },
    { name: "slot", startMs: 3760.25, lengthMs: 30.5 },
    { name: "proof", startMs: 3770, lengthMs: 20 },
    { name: "state", startMs: 3800, lengthMs: 300 },
    { name: "handover", startMs: 4100, lengthMs: 11.111, open: true },
  ],
};

const told = (more: string[] = [], boot: object | null = report): string =>
  [
    "boottime 4.150500000",
    "log 6,322,1969298,-;Run /init as init process",
    "log 15,342,4156798,-;bench: next init started",
    "mount /dev/vda2 / erofs ro,relatime,user_xattr,acl 0 0",
    "mount overlay /etc overlay rw,nosuid,nodev,relatime,lowerdir=/proc/self/fd/9 0 0",
    ...(boot === null ? [] : [`report ${JSON.stringify(boot)}`]),
    "idle 12345678",
    "memory MemTotal 480276",
    "memory MemFree 450716",
    ...more,
    "",
  ].join("\r\n");

test("both times are those of the kernel's log", () => {
  const facts = readFacts(told());
  assert.is(facts.kernelToInitMs, 1969.298);
  assert.is(facts.initToExecMs, 2187.5);
  assert.is(facts.kernelToExecMs, 4156.798);
  assert.is(facts.execBootMs, 4150.5);
});

test("idle time is told, and times without it are of work alone", () => {
  const facts = readFacts(told());
  assert.is(facts.idleMs, 12.345678);
  assert.throws(() => readFacts(told().replace("idle 12345678", "idle")), /told no idle time/);
  const times = { kernelToInitMs: 1000, initToExecMs: 500, kernelToExecMs: 1500 };
  assert.equal(withoutIdle({ ...times, idleMs: 300 }, 100), { kernelToInitMs: 900, initToExecMs: 300, kernelToExecMs: 1200 });
  assert.throws(
    () => withoutIdle({ ...times, idleMs: 700 }, 100),
    /idle 700 ms \(100 ms of it before \/init\) of 1500 ms leaves no/,
  );
  assert.throws(() => withoutIdle({ ...times, idleMs: 1100 }, 1000), /leaves no time/);
});

test("memory held is what is not free; without its two lines there is nothing to tell", () => {
  assert.is(readFacts(told()).heldAfterKiB, 29_560);
  assert.throws(
    () => readFacts(told().replace("MemFree", "MemAvailable")),
    /told no MemFree, it said: MemTotal 480276; MemAvail/,
  );
  assert.throws(() => readFacts(told().replace("MemTotal 480276", "MemTotal -1")), /told no MemTotal/);
});

test("a mount is its place, its filesystem and the flags that compare", () => {
  assert.equal(readFacts(told()).mounts, ["/ erofs ro,relatime", "/etc overlay rw,nosuid,nodev,relatime"]);
});

test("a log without a line, with two of it, or out of order is an error", () => {
  assert.throws(() => readFacts(told().replace("Run /init", "Ran /init")), /0 lines "Run \/init as init process"/);
  assert.throws(() => readFacts(told(["log 15,9,5000000,-;bench: next init started"])), /has 2 lines/);
  assert.throws(() => readFacts(told().replace("4156798", "1156798")), /before \/init/);
  assert.throws(() => readFacts(told().replace("boottime", "time")), /CLOCK_BOOTTIME/);
});

test("the kernel's note on the init that it was asked for is not taken for the start of /init", () => {
  assert.is(readFacts(told(["log 7,323,1969400,-;  with arguments:"])).kernelToInitMs, 1969.298);
});

test("the timeline ends at the start of the next init, counts what lies in a part once, and tells of the time in none", () => {
  assert.equal(timelineOf(readFacts(told())), [
    { name: "preinit", lengthMs: 80 },
    { name: "runtime", lengthMs: 1700 },
    { name: "slot", lengthMs: 10.5 },
    { name: "proof", lengthMs: 20 },
    { name: "state", lengthMs: 300 },
    { name: "handover", lengthMs: 50.5 },
    { name: "between", lengthMs: 19.5 },
  ]);
});

test("a trial, lost state or no report is nothing to measure", () => {
  const timeline = (boot: object | null) => timelineOf(readFacts(told([], boot)));
  assert.throws(() => timeline({ ...report, trial: true }), /on trial/);
  assert.throws(() => timeline({ ...report, degraded: [{ path: "/var", reason: "EIO" }] }), /\/var: EIO/);
  assert.throws(() => timeline({ ...report, generation: null }), /not laid/);
  assert.throws(() => timeline(null), /no \/run\/slipway\/boot.json/);
});

test("an image that declares no state has none laid", () => {
  const timeline = (boot: object) => timelineOf(readFacts(told([], boot)), false);
  assert.ok(timeline({ ...report, generation: null }).length > 0);
  assert.throws(() => timeline(report), /not laid/);
  assert.throws(() => timeline({ ...report, generation: null, degraded: [{ path: "/x", reason: "EIO" }] }), /\/x: EIO/);
});

test("medians of odd and even numbers of runs", () => {
  assert.equal(spreadOf([3, 1, 2]), { median: 2, min: 1, max: 3 });
  assert.equal(spreadOf([10, 1, 2, 4]), { median: 3, min: 1, max: 10 });
  assert.equal(spreadOf([100, 20]), { median: 60, min: 20, max: 100 });
  assert.throws(() => spreadOf([]), /at least one/);
});

const operator = (path: string, more: Partial<Operator>) =>
  sampleOperator(path, { seed: "none", origin: "test/test.yaml:1", ...more });

const control: ControlFile = {
  ...sampleControl({
    operators: [
      operator("/etc", { via: "overlay", seed: "image" }),
      operator("/etc/machine-id", { kind: "file", state: "identity", id: "etc-machine\\x2did" }),
      operator("/home/o'neil", { id: "it's" }),
      operator("/tmp", { state: "ephemeral", via: "tmpfs", mode: 0o1777, size: 4096 }),
      operator("/srv", { state: "ephemeral", via: "tmpfs", seed: "image" }),
      operator("/run/app", { state: "ephemeral", via: "tmpfs" }),
    ],
  }),
  digest: "",
};

test("the busybox script does the mounts of the control file, in their order", () => {
  const script = busyboxScript(control, "b", "erofs", ["first.ko", "second.ko"]);
  const mounts = script.split("\n").filter((line) => /^(insmod|mkdir|cp|mount .* '?(\/root\/|\/seed))/.test(line));
  const overlay = "index=off,metacopy=off,redirect_dir=off,xino=off";
  const layers = "lowerdir='/root/etc',upperdir='/data/slots/b/ovl/etc/upper',workdir='/data/slots/b/work/etc'";
  assert.equal(mounts, [
    "insmod /modules/first.ko",
    "insmod /modules/second.ko",
    `mount -t overlay -o nodev,nosuid,${layers},${overlay} overlay '/root/etc'`,
    "mount -o bind '/data/shared/etc-machine\\x2did' '/root/etc/machine-id'",
    "mount -o remount,bind,relatime,nodev,nosuid '/data/shared/etc-machine\\x2did' '/root/etc/machine-id'",
    "mount -o bind '/data/slots/b/tree/it'\\''s' '/root/home/o'\\''neil'",
    "mount -o remount,bind,relatime,nodev,nosuid '/data/slots/b/tree/it'\\''s' '/root/home/o'\\''neil'",
    "mount -t tmpfs -o nodev,nosuid,mode=1777,size=4096 tmpfs '/root/tmp'",
    "mount -t tmpfs -o nodev,nosuid,mode=755 tmpfs /seed",
    "cp -a '/root/srv'/. /seed/",
    "mount -o move /seed '/root/srv'",
    "mkdir -p '/run/app'",
  ]);
});

test("busybox's shell can read the script, which waits for the slot's label and the data's", () => {
  const script = busyboxScript(control, "b", "erofs", []);
  execFileSync("/bin/busybox", ["sh", "-n"], { input: script });
  assert.match(script, "'PARTNAME=root-b') root=");
  assert.match(script, "'PARTNAME=sys-data') data=");
});

test("the script refuses what it would do otherwise than slipway", () => {
  const file = operator("/etc/token", { kind: "file", state: "ephemeral", via: "tmpfs" });
  assert.throws(() => busyboxScript({ ...control, operators: [file] }, "a", "erofs", []), /\/etc\/token/);
  assert.throws(() => busyboxScript({ ...control, data: null }, "a", "erofs", []), /no data filesystem/);
  const byUuid = [{ name: "a", device: "UUID=1" }];
  assert.throws(() => busyboxScript({ ...control, slots: byUuid }, "a", "erofs", []), /UUID=1/);
});

test("the busybox initrd is an uncompressed cpio with the script as its init", () => {
  const archive = busyboxInitrd({ script: "#!/bin/sh\n", modules: [{ name: "x.ko", file: import.meta.filename }] });
  const entries = new Map(readCpio(archive).map((entry) => [entry.path, entry]));
  const init = entries.get("init");
  assert.is(Buffer.from(archive.subarray(init?.start, (init?.start ?? 0) + (init?.size ?? 0))).toString(), "#!/bin/sh\n");
  assert.is(init?.mode, 0o100755);
  for (const path of ["modules/x.ko", "bin/busybox", "bin/switch_root", "root", "data", "seed", "dev/console"])
    assert.ok(entries.has(path), path);
});

test("the table of clones compares within a filesystem", () => {
  const lines = clonesTable([
    { filesystem: "ext4", name: "slipway", ms: [300, 100, 200] },
    { filesystem: "ext4", name: plainCopy, ms: [100, 400, 400] },
    { filesystem: "btrfs", name: "slipway", ms: [30] },
    { filesystem: "btrfs", name: plainCopy, ms: [3000] },
    { filesystem: "btrfs", name: snapshot, ms: [20] },
  ]).split("\n");
  assert.match(lines[1] ?? "", /^ext4: slipway +200 \(100-300\) +0\.500 +$/);
  assert.match(lines[2] ?? "", /^ext4: cp -a --reflink=never +400 \(100-400\) +1\.00 +$/);
  assert.match(lines[3] ?? "", /^btrfs: slipway +30 \(30-30\) +0\.0100 +1\.50$/);
  assert.match(lines[5] ?? "", /^btrfs: btrfs subvolume snapshot +20 \(20-20\) +0\.00667 +1\.00$/);
});

test("files to clone: as many as asked, as many bytes, small ones and large ones, the same each time", () => {
  const sizes = fileSizes(20_000, 1024 ** 3, randomNumbers(1));
  assert.is(sizes.length, 20_000);
  assert.is(
    sizes.reduce((sum, size) => sum + size, 0),
    1024 ** 3,
  );
  assert.equal(sizes, fileSizes(20_000, 1024 ** 3, randomNumbers(1)));
  const sorted = sizes.toSorted((left, right) => left - right);
  assert.ok((sorted[10_000] ?? 0) < 16_384 && (sorted[0] ?? 0) > 1000);
  assert.ok((sorted.at(-1) ?? 0) > 500_000 && (sorted.at(-1) ?? 0) < 2 ** 20);
});

test("the table of operators has what they add", () => {
  const lines = operatorsTable([
    { operators: 0, runs: [{ stateMs: 10, initToExecMs: 1000 }] },
    {
      operators: 100,
      runs: [
        { stateMs: 90, initToExecMs: 1100 },
        { stateMs: 110, initToExecMs: 1300 },
      ],
    },
  ]).split("\n");
  assert.match(lines[1] ?? "", /^0 +10 \(10-10\) +1\.00 +0 +1000 \(1000-1000\) +1\.00 +0$/);
  assert.match(lines[2] ?? "", /^100 +100 \(90-110\) +10\.00 +90 +1200 \(1100-1300\) +1\.20 +200$/);
});

test("operators of five kinds, and what the image must have for them", () => {
  assert.equal(operatorsFragment(0), { fragment: null, directories: [], files: {} });
  const { fragment, directories, files } = operatorsFragment(12);
  assert.is(fragment?.match(/- path: /g)?.length, 12);
  assert.is(directories.length, 10);
  assert.equal(files, { "/srv/operator-4": "", "/srv/operator-9": "" });
  assert.ok(directories.includes("srv/operator-11"));
});

const part = (name: string, lengthMs: number) => ({ name, lengthMs });

test("the table of proofs has what they add, part by part, also of a part that only one has", () => {
  const lines = proofTable([
    { name: "unsigned", runs: [{ initToExecMs: 1000, kernelToExecMs: 2000, timeline: [part("image", 50)] }] },
    {
      name: "signed",
      runs: [
        { initToExecMs: 1100, kernelToExecMs: 2100, timeline: [part("image", 60), part("proof", 30)] },
        { initToExecMs: 1300, kernelToExecMs: 2500, timeline: [part("image", 80), part("proof", 50)] },
      ],
    },
  ]).split("\n");
  assert.match(lines[1] ?? "", /^Run \/init to exec +1000 \(1000-1000\) +1200 \(1100-1300\) +200 +1\.20$/);
  assert.match(lines[3] ?? "", /^ {2}image +50 \(50-50\) +70 \(60-80\) +20 +1\.40$/);
  assert.match(lines[4] ?? "", /^ {2}proof +0 \(0-0\) +40 \(30-50\) +40 *$/);
});

const updated = (name: string, from: "server" | "file", sent: number, ms: number): MeasuredUpdate => ({
  ...{ name, note: `note of ${name}`, from },
  ...{ bytes: [sent], requests: [3], ms: [ms] },
});
const pairFacts = {
  ...{ changes: ["libssl3 1 to 2", "perl 5 to 6"], synthetic: false, imageBytes: 100 * 1024 ** 2, overheadBytes: 1024 ** 2 },
  ...{ blocks: 25_600, missing: 2560, distinct: 2304, runs: 300 },
};

test("the table of updates compares bytes and time with the whole image, and rates with hashing", () => {
  const updates = [
    updated("delta", "server", 20 * 1024 ** 2, 4000),
    updated("whole", "server", 100 * 1024 ** 2, 2000),
    updated("hash", "file", 0, 1000),
  ];
  const text = updatesTable({ facts: pairFacts, updates }, { whole: "whole", hashing: "hash" });
  assert.match(text, /2 packages differ: libssl3, perl\./);
  assert.match(text, /lacks 10\.0 % of the newer's 25600 blocks: 10\.0 MiB in 300 runs, 9\.0 MiB with each content once/);
  const line = (name: string) => text.split("\n").find((candidate) => candidate.startsWith(`${name} `)) ?? "";
  const head = /^ +MiB sent +of the whole +requests +ms until durable +of the whole +MiB\/s installed +of hash$/m;
  assert.match(text, head);
  assert.match(line("delta"), /^delta +20\.0 +0\.20 +3 +4000 \(4000-4000\) +2\.00 +25\.0 +0\.25$/);
  assert.match(line("whole"), /^whole +100\.0 +1\.00 +3 +2000 \(2000-2000\) +1\.00 +50\.0 +0\.50$/);
  assert.match(line("hash"), /^hash +1000 \(1000-1000\) +0\.50 +100\.0 +1\.00$/);
  assert.match(text, /note of delta/);
});

test("where no package differs, the table says what was altered instead", () => {
  assert.match(factsText({ ...pairFacts, changes: [], synthetic: true }), /no security updates .* every eighth library/);
});

test("packages that differ, that came and that went", () => {
  const older = new Map(Object.entries({ a: "1", b: "1", gone: "3" }));
  const newer = new Map(Object.entries({ a: "1", b: "2", come: "4" }));
  assert.equal(changesBetween(older, newer), ["b 1 to 2", "come (none) to 4", "gone 3 to (none)"]);
  assert.equal(changesBetween(older, older), []);
});

const boot = { peers: peerNames, cpus: 1, memory: true, instructions: false, chart: null };

test("options", () => {
  assert.equal(parseOptions([]), { subject: "boot", runs: 7, json: false, boot, parts: scaleParts });
  assert.equal(parseOptions(["--json", "--runs", "9"]), { subject: "boot", runs: 9, json: true, boot, parts: scaleParts });
  assert.equal(parseOptions(["--runs=1"]), { subject: "boot", runs: 1, json: false, boot, parts: scaleParts });
  assert.equal(parseOptions(["clone"]), { subject: "clone", runs: 3, json: false, boot, parts: scaleParts });
  assert.equal(parseOptions(["--json", "operators", "--runs=2"]), {
    subject: "operators",
    runs: 2,
    json: true,
    boot,
    parts: scaleParts,
  });
  assert.equal(parseOptions(["update"]), { subject: "update", runs: 3, json: false, boot, parts: scaleParts });
  assert.equal(parseOptions(["proof"]), { subject: "proof", runs: 5, json: false, boot, parts: scaleParts });
  const runs = [["--runs"], ["--runs", "0"], ["--runs", "1.5"], ["--runs=101"]];
  for (const words of [...runs, ["--quick"], ["5"], ["boot"], ["clone", "operators"], ["clone", "clone"]])
    assert.throws(
      () => parseOptions(words),
      (error: unknown) => error instanceof Usage,
    );
});

test("options of the boots of peers", () => {
  const { peers, ...rest } = parseOptions(["--peers", "c-floor,slipway", "--cpus=2", "--no-memory", "--chart", "x.svg"]).boot;
  assert.equal(peers, ["c-floor", "slipway"]);
  assert.equal(rest, { cpus: 2, memory: false, instructions: false, chart: "x.svg" });
  const counted = parseOptions(["--instructions"]);
  assert.is(counted.runs, 1);
  assert.is(counted.boot.instructions, true);
  assert.is(parseOptions(["--instructions", "--runs=2"]).runs, 2);
  const values = [["--peers"], ["--peers", "systemd"], ["--peers", "slipway,"], ["--cpus", "0"], ["--cpus"], ["--chart"]];
  for (const words of [
    ...values,
    ["--chart", "--json"],
    ["--instructions", "--cpus=2"],
    ["clone", "--no-memory"],
    ["--instructions", "proof"],
  ])
    assert.throws(
      () => parseOptions(words),
      (error: unknown) => error instanceof Usage,
    );
});

test.run();
