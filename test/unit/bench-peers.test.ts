/** What the boots of peers come to: mounts that compare, least memory, targets, table, JSON, chart; and what the peers are made of. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { floorPlan, floorSource } from "../../scripts/bench/c-floor.ts";
import { bootChart, gridStep } from "../../scripts/bench/chart.ts";
import { leastThat } from "../../scripts/bench/least-memory.ts";
import type { Measured } from "../../scripts/bench/measured.ts";
import { checkMounts } from "../../scripts/bench/mounts.ts";
import { peerNames, peers } from "../../scripts/bench/peers.ts";
import { stateScript } from "../../scripts/bench/state-lines.ts";
import { chartOf, instructionsJsonOf, jsonOf, tableOf } from "../../scripts/bench/table.ts";
import { targetLine, targetsOf } from "../../scripts/bench/targets.ts";
import type { ControlFile, Operator } from "../../state-ops/control.ts";
import { sampleControl } from "../samples/control-file.ts";
import { sampleOperator } from "../samples/operator.ts";

const kernels = ["/dev devtmpfs rw,nosuid", "/proc proc rw", "/run tmpfs rw,nosuid", "/sys sysfs rw"];
const slipway = { name: "slipway", leaves: "all" as const, mounts: ["/ erofs ro", "/var overlay rw", ...kernels] };

test("peers with other mounts do not compare", () => {
  const other = (mounts: string[]) => () => checkMounts([slipway, { name: "other", leaves: "all", mounts }]);
  other(slipway.mounts)();
  assert.throws(other(["/ erofs ro", ...kernels]), /other .*slipway: without "\/var overlay rw"/);
  assert.throws(other([...slipway.mounts, "/x y rw"]), /with "\/x y rw"/);
  assert.throws(other(slipway.mounts.map((mount) => mount.replace("/proc proc rw", "/proc proc rw,nosuid"))), /without "\/proc/);
});

test("a tool mounts the kernel's own filesystems in its own way, but it mounts them, and the state as declared", () => {
  const tool = (mounts: string[]) => () => checkMounts([{ name: "tool", leaves: "declared", mounts }, slipway]);
  const own = ["/dev devtmpfs rw", "/dev/pts devpts rw", "/proc proc rw", "/run tmpfs rw", "/run/lock tmpfs rw", "/sys sysfs rw"];
  tool(["/ erofs ro", "/var overlay rw", ...own])();
  assert.throws(tool(["/ erofs ro", ...own]), /without "\/var overlay rw"/);
  assert.throws(
    tool(["/ erofs ro", "/var overlay rw,nosuid", ...own]),
    /without "\/var overlay rw", with "\/var overlay rw,nosuid"/,
  );
  assert.throws(tool(["/ erofs ro", "/var overlay rw", ...own.slice(0, -1)]), /without sysfs on \/sys/);
  assert.throws(tool(["/ erofs ro", "/var overlay rw", "/device ext4 rw", ...own]), /with "\/device ext4 rw"/);
});

test("what mounts the root alone must mount no other", () => {
  const tiny = (mounts: string[]) => () => checkMounts([slipway, { name: "tiny", leaves: "root", mounts }]);
  tiny(["/ erofs ro"])();
  tiny(["/ erofs ro", "/proc proc rw"])();
  assert.throws(tiny(["/ erofs rw"]), /without "\/ erofs ro"/);
  assert.throws(tiny(["/ erofs ro", "/var overlay rw"]), /with "\/var overlay rw"/);
  checkMounts([{ name: "tiny", leaves: "root", mounts: ["/ erofs ro"] }]);
});

test("the least of what is tried is found, and nothing is tried twice", async () => {
  for (const [low, high, step] of [
    [48, 512, 8],
    [8, 40, 8],
    [100, 103, 1],
  ] as const) {
    for (let least = low; least <= high; least += step) {
      const tried: number[] = [];
      const works = async (value: number) => tried.push(value) > 0 && value >= least;
      assert.is(await leastThat(works, { low, high, step }), least);
      assert.is(new Set(tried).size, tried.length);
      assert.ok(tried.every((value) => value >= low && value <= high && (value - low) % step === 0));
      assert.ok(tried.length <= Math.ceil(Math.log2((high - low) / step + 1)) + 1);
    }
    assert.is(await leastThat(async () => false, { low, high, step }), null);
  }
});

const run = (init: number, exec: number, held = 30_000) => ({
  ...{ kernelToInitMs: init, initToExecMs: exec, kernelToExecMs: init + exec, heldAfterKiB: held },
});
const measured: Measured[] = [
  {
    name: "slipway",
    note: "ours",
    initrdBytes: 1234567,
    leastMemoryMiB: 208,
    leastMemoryOtherwise: { words: "rootfstype=ramfs", memoryMiB: 160 },
    runs: [
      { ...run(10, 300), timeline: [{ name: "runtime", lengthMs: 200 }] },
      { ...run(20, 100), timeline: [{ name: "runtime", lengthMs: 90 }] },
      { ...run(30, 200, 31_000), timeline: [{ name: "runtime", lengthMs: 100 }] },
    ],
  },
  {
    name: "busybox",
    note: "a script",
    initrdBytes: 99,
    leastMemoryMiB: 64,
    runs: [run(10, 400, 29_000), run(10, 400, 29_000), run(10, 100, 29_500)],
  },
  { name: "dracut", note: "a tool", initrdBytes: 7_000_000, leastMemoryMiB: null, runs: [run(100, 900)] },
];

test("the table has medians, spread, the ratios to those that were measured, and notes, targets and timeline below", () => {
  const lines = tableOf(measured).split("\n");
  assert.match(lines[0] ?? "", /kernel start to exec, ms +of busybox +of dracut +least memory, MiB +held after, KiB$/);
  const ours = /^slipway +1,234,567 +20 \(10-30\) +200 \(100-300\) +230 \(120-310\) +0\.56 +0\.23 +208 +30000 \(30000-31000\)$/;
  assert.match(lines[1] ?? "", ours);
  assert.match(lines[3] ?? "", /^dracut +7,000,000 .* 1000 \(1000-1000\) +2\.44 +1\.00 +\? +30000 /);
  for (const line of [
    "  busybox: a script",
    "  slipway with rootfstype=ramfs on the kernel's command line: least memory 160 MiB",
    "  kernel start to exec, of busybox: 0.56, not above 1.00: met",
    "  kernel start to exec, of initramfs-tools: not measured, not above 0.75",
    "  least memory: 208 MiB, not above 200 MiB: not met",
    "  held after the handover, more than busybox: 1000 KiB, not above 2048 KiB: met",
  ])
    assert.ok(lines.includes(line), line);
  assert.match(lines.at(-1) ?? "", /^ {2}runtime +100 +\(90-200\)$/);
});

test("a table of instructions has no memory in it, and targets of times only", () => {
  const text = tableOf(measured, "million instructions");
  assert.not.match(text, /KiB|MiB, |, ms|held after/);
  assert.match(text, /Medians \(least-most\), million instructions\.\n/);
  assert.match(text, /\nWhere the time of slipway goes, waits included:\n/);
  assert.match(text, /kernel start to exec, of dracut: 0\.23, not above 0\.35: met/);
});

test("a ratio as high as the target meets it, one above does not; without slipway there are none", () => {
  const line = (value: number | null) => targetLine({ what: "time", limit: 1, unit: "", measured: value });
  assert.match(line(1), /: 1\.00, not above 1\.00: met$/);
  assert.match(line(1.01), /: 1\.01, not above 1\.00: not met$/);
  assert.match(line(null), /: not measured/);
  assert.ok(targetsOf(measured.slice(1)).every((other) => other.measured === null));
  assert.not.match(tableOf(measured.slice(1)), /Targets/);
});

test("JSON has what is asked for of each peer, all of it numbers where it was measured", () => {
  const { peers: told } = JSON.parse(JSON.stringify(jsonOf(measured)));
  const keys = ["initrdBytes", "kernelToInitMs", "initToExecMs", "kernelToExecMs", "leastMemoryMiB", "heldAfterKiB"];
  assert.equal(
    told.map((peer: Record<string, unknown>) => [peer.name, ...keys.map((key) => peer[key])]),
    [
      ["slipway", 1234567, 20, 200, 230, 208, 30_000],
      ["busybox", 99, 10, 400, 410, 64, 29_000],
      ["dracut", 7_000_000, 100, 900, 1000, null, 30_000],
    ],
  );
  assert.is(told[0].runs.length, 3);
  assert.equal(told[0].spread.kernelToExecMs, { median: 230, min: 120, max: 310 });
  const counted = JSON.parse(JSON.stringify(instructionsJsonOf(measured))).peers[0];
  assert.is(counted.kernelToExecMInstructions, 230);
  assert.not.ok("kernelToExecMs" in counted);
});

const peerOf = (runs: Measured["runs"]): Measured => ({ name: "busybox", note: "", initrdBytes: 1, leastMemoryMiB: null, runs });

test("grid lines are at round places, three to six of them", () => {
  for (const largest of [1, 7, 99, 1370, 2600, 17_400, 123_456]) {
    const step = gridStep(largest);
    assert.ok(largest / step >= 2 && largest / step <= 5.001, `${largest}: ${step}`);
    assert.match(step.toPrecision(1), /^(0\.0*)?[125](e[+]\d+)?$/);
  }
});

test("the chart has a bar of two parts for each, as long as they took, and can be read on light and dark", () => {
  const svg = bootChart(
    "a <title>",
    [
      { name: "slow & old", kernelMs: 1000, initrdMs: 1000 },
      { name: "ours", kernelMs: 500, initrdMs: 250 },
    ],
    "ours",
  );
  const bars = [...svg.matchAll(/<rect class="(kernel|initrd|other)" x="([\d.]+)" y="(\d+)" width="([\d.]+)" height="18"/g)];
  assert.equal(
    bars.map(([, part]) => part),
    ["kernel", "other", "kernel", "initrd"],
  );
  const widths = bars.map((bar) => Number(bar[4]));
  assert.is(widths[0], widths[1]);
  assert.is(Math.abs((widths[2] ?? 0) - (widths[0] ?? 0) / 2) < 0.2, true);
  assert.is(Math.abs((widths[3] ?? 0) - (widths[0] ?? 0) / 4) < 0.2, true);
  assert.is(Number(bars[1]?.[2]), Number(bars[0]?.[2]) + (widths[0] ?? 0));
  assert.match(svg, /prefers-color-scheme: dark/);
  assert.match(svg, /<title>a &lt;title&gt;<\/title>/);
  assert.match(svg, />slow &amp; old<\/text>/);
  assert.match(svg, />2\.00 s<\/text>/);
  assert.throws(() => bootChart("none", [], "ours"), /no times/);
});

test("the chart of the peers begins with the soonest, and tells the medians of the whole", () => {
  const medians = [...chartOf([peerOf([run(1000, 3000), run(2000, 5000), run(1200, 8000)])]).matchAll(/>([\d.]+) s<\/text>/g)];
  assert.is(medians.at(-1)?.[1], "7.00");
  const names = [...chartOf(measured).matchAll(/text-anchor="end">([^<]+)</g)].map((match) => match[1]);
  assert.equal(names, ["slipway", "busybox", "dracut"]);
});

test("every name has its peer, in order", () => {
  assert.equal(
    peers.map(({ name }) => name),
    [...peerNames],
  );
});

const operator = (path: string, more: Partial<Operator>) =>
  sampleOperator(path, { seed: "none", origin: "test/test.yaml:1", ...more });
const control: ControlFile = {
  ...sampleControl({
    operators: [
      operator("/etc", { via: "overlay", seed: "image" }),
      operator("/etc/machine-id", { kind: "file", state: "identity", id: "etc-machine\\x2did" }),
      operator("/tmp", { state: "ephemeral", via: "tmpfs", mode: 0o1777, size: 4096 }),
      operator("/run/app", { state: "ephemeral", via: "tmpfs" }),
    ],
  }),
  digest: "",
};

test("the floor's plan is what its program takes, and has the mounts in their order", () => {
  const plan = floorPlan(control, "b", "erofs", ["first.ko"]);
  const calls = plan.slice(plan.indexOf("calls[]")).split("\n").slice(1, -2);
  const layers = "lowerdir=/root/etc,upperdir=/data/slots/b/ovl/etc/upper,workdir=/data/slots/b/work/etc";
  assert.equal(calls, [
    `  {"overlay", "/root/etc", "overlay", MS_NODEV | MS_NOSUID, "${layers},index=off,metacopy=off,redirect_dir=off,xino=off"},`,
    '  {"/data/shared/etc-machine\\\\x2did", "/root/etc/machine-id", 0, MS_BIND, 0},',
    '  {"none", "/root/etc/machine-id", 0, MS_REMOUNT | MS_BIND | MS_RELATIME | MS_NODEV | MS_NOSUID, 0},',
    '  {"tmpfs", "/root/tmp", "tmpfs", MS_NODEV | MS_NOSUID, "mode=1777,size=4096"},',
    "  {0, 0, 0, 0, 0},",
  ]);
  assert.match(plan, /ROOT_LABEL "root-b"\n/);
  assert.match(plan, /directories\[\] = \{\n {2}"\/run\/app",\n/);
  const directory = mkdtempSync(join(tmpdir(), "slipway-floor-"));
  try {
    writeFileSync(`${directory}/plan.h`, plan);
    execFileSync("gcc", ["-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-I", directory, floorSource]);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("the floor refuses what it would do otherwise than slipway", () => {
  const filled = operator("/srv", { state: "ephemeral", via: "tmpfs", seed: "image" });
  const file = operator("/etc/token", { kind: "file", state: "ephemeral", via: "tmpfs" });
  for (const other of [filled, file])
    assert.throws(() => floorPlan({ ...control, operators: [other] }, "a", "erofs", []), /floor/);
});

test("a tool's script mounts over the root that the tool mounted, and every shell can read it", () => {
  const script = stateScript(control, "b", "/sysroot");
  execFileSync("/bin/busybox", ["sh", "-n"], { input: script });
  assert.match(script, /mount -t ext4 -o nosuid,nodev,noatime \/dev\/disk\/by-partlabel\/sys-data \/bench-data\n/);
  assert.match(script, /lowerdir='\/sysroot\/etc',upperdir='\/bench-data\/slots\/b\/ovl\/etc\/upper'/);
  assert.match(script, /mount -o bind '\/bench-data\/shared\/etc-machine\\x2did' '\/sysroot\/etc\/machine-id'\n/);
  assert.match(script, /umount -l \/bench-data\n$/);
});

test.run();
