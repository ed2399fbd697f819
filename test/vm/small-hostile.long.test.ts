/** Words on the kernel's command line, with the whole product as PID 1. preinit.test.ts has them against preinit alone. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { UNPROVEN } from "../../boot/image/judge-seal.ts";
import { dist } from "../../qemu/places.ts";
import { runProgram } from "../../qemu/program.ts";
import { recordOn } from "./support/disk-file.ts";
import { readMounts } from "./support/mounts.ts";
import { type SmallImage, smallSystem } from "./support/small-image.ts";
import { boot, part, type SmallMachine, smallInitrd, smallMachine, startSmall, type Told } from "./support/small-machine.ts";

/** Another init than the usual one, which says so before it goes on as that. */
const otherInit = {
  content:
    '#!/bin/sh\n/bin/busybox printf "<<begin other>>\\nprocess %s: %s\\n<<end other>>\\n" $$ "$*" >/dev/ttyS1\nexec /bin/busybox env -u PWD -u SHLVL /sbin/init "$@"\n',
  mode: 0o755,
};
const image = (facts: string): SmallImage => ({ facts, files: { "/sbin/other": otherInit } });
const system = smallSystem(["a", "b", "c"]);
const machine = await smallMachine({
  system,
  slots: { a: image("v1"), b: image("v2"), c: { facts: "v3", remove: ["/sbin/init", "/bin/sh"] } },
});

/** Says PWNED wherever it is obeyed; the command line itself, which the kernel prints, does not hold that word. */
const payload = "console.log('PW'+'NED')";

/** Tries left on the disk; before the first boot what a trial gets. */
function triesOn(): { a: number; b: number; c: number } {
  const slots = recordOn(machine.disk).reading.record?.slots;
  return { a: slots?.a?.tries ?? 3, b: slots?.b?.tries ?? 3, c: slots?.c?.tries ?? 3 };
}

function clean(told: Told): void {
  assert.not.match(told.console, /PWNED/);
  assert.equal(part(told, "environment").split("\n").sort(), [
    "HOME=/",
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "TERM=linux",
  ]);
}

test("what the words would do to the executable, if they reached it", async () => {
  const said = await runProgram("env", ["BUN_BE_BUN=1", `${dist}/slipway`, "-e", payload]);
  assert.match(said, /PWNED/);
});

/** What a writer of the command line can say, about as much as fits; the kernel itself panics at more than 32 words it does not know. */
const hostile = [
  "BUN_BE_BUN=1",
  `BUN_OPTIONS=--eval=${payload}`,
  "BUN_INSPECT=ws://0.0.0.0:6499/x?wait=1",
  "BUN_JSC_useJIT=7",
  "BUN_CONFIG_VERBOSE_FETCH=1",
  "NODE_OPTIONS=--require=/dev/ttyS0",
  "LD_PRELOAD=/runtime/evil.so",
  "LD_LIBRARY_PATH=/dev",
  "SLIPWAY_PREINIT=1",
  "PATH=/dev",
  "HOME=/dev",
  "TERM=evil",
  "init=/sbin/nosuch",
  "rw",
  "root=/dev/vda9",
  "slipway.nosuch=1",
  "rd.nosuch",
  "rd.systemd.unit=emergency.target",
  "slipway.slot=nosuch",
  "rd.break=nosuch",
  "panic=7",
];
const junk = Array.from({ length: 15 }, (_, index) => `junk${index}=${"x".repeat(80)}`);

test("hostile words are as if they were not there; those that ask for what there is not are reported", async () => {
  const append = [...hostile, ...junk, '"quoted word=with blanks"', "--", "-e", payload, "--eval", "7"].join(" ");
  assert.ok(append.length > 1700 && append.length < 2000, `${append.length} bytes`);
  const told = await boot(machine, { append });
  assert.is(told.root, "v1");
  clean(told);
  assert.equal(part(told, "arguments").split("\n"), ["/sbin/init", "-e", payload, "--eval", "7"]);
  assert.is(part(told, "panic"), "7");
  assert.equal(told.report.warnings, [
    '"rw" is ignored: a slot is only ever mounted read-only',
    '"root=/dev/vda9" is ignored: the control file says where the slots are',
    '"slipway.nosuch=1" is unknown to slipway and ignored',
    '"rd.nosuch" is unknown to slipway and ignored',
    '"rd.systemd.unit=emergency.target" is unknown to slipway and ignored',
    '"rd.break=nosuch" is ignored: known stages are modules, devices, record, proof, image, state, handover',
    UNPROVEN,
    'slot "nosuch" was asked for and is passed over: there is no such slot',
    "init=/sbin/nosuch is passed over for /sbin/init: /sbin/nosuch: ENOENT",
  ]);
  assert.is(told.report.slot, "a");
  assert.is(told.report.rollback, null);
  assert.is(triesOn().a, 2);
  const root = readMounts(part(told, "mounts")).find(({ path }) => path === "/");
  assert.is(root?.source, "/dev/vda2");
  assert.ok(root?.options.includes("ro"));
});

test("quiet leaves errors on the console and keeps the rest off it; init= is obeyed", async () => {
  const before = triesOn();
  const told = await boot(machine, { append: "quiet slipway.slot=c init=/sbin/other single BUN_BE_BUN=1" });
  assert.is(told.root, "v1");
  clean(told);
  assert.equal(part(told, "other"), "process 1: single");
  const reason = `no init in the root: ${["/sbin/other", "/sbin/init", "/etc/init", "/bin/init"].map((path) => `${path}: ENOENT`).join("; ")}; put one at /sbin/init into the image`;
  assert.equal(told.report.skipped, [{ slot: "c", reason }]);
  assert.equal([told.report.rollback?.from, told.report.rollback?.reason], ["c", reason]);
  assert.match(told.console, /slipway: slot c failed: no init in the root: /);
  assert.not.match(told.console, /slipway: (slot \w:|handing over|the last boot)/);
  assert.equal(triesOn(), { ...before, a: before.a - 1, c: before.c - 1 });
});

test("slipway.slot= is one boot's wish, and counted; rdinit=/init is what happens anyway", async () => {
  const before = triesOn();
  const told = await boot(machine, { append: `rdinit=/init rauc.slot=a slipway.slot=b BUN_BE_BUN=1 -- -e ${payload}` });
  assert.is(told.root, "v2");
  clean(told);
  assert.equal(part(told, "arguments").split("\n"), ["/sbin/init", "-e", payload]);
  assert.is(part(told, "panic"), "10");
  assert.match(told.report.why, /^asked for \(on trial, /);
  assert.equal(told.report.skipped, []);
  assert.equal(triesOn(), { ...before, b: before.b - 1 });
});

test("rauc.slot= is another name of it", async () => {
  const before = triesOn();
  const told = await boot(machine, { append: "rauc.slot=b" });
  assert.is(told.root, "v2");
  assert.equal(triesOn(), { ...before, b: before.b - 1 });
  assert.is(recordOn(machine.disk).journal[0]?.slot, "b");
});

test("a locked command line chooses no program and no shell, though the initrd has one", async () => {
  const locked = smallSystem(["a", "b", "c"], "ext4", "command-line: locked\n");
  const initrd = await smallInitrd(locked, { debug: true });
  const append = `init=/sbin/other rd.break=image rd.shell rd.nosuch slipway.slot=a single -- -e ${payload}`;
  const told = await boot(machine, { initrd, append });
  assert.is(told.root, "v1");
  clean(told);
  assert.is(part(told, "arguments"), "/sbin/init");
  assert.not.ok(told.parts.has("other"));
  assert.not.match(told.console, /a shell on the console/);
  const refused = ["init=/sbin/other", "rd.break=image", "rd.shell", "single", "-e", payload];
  assert.equal(told.report.warnings, [
    '"rd.nosuch" is unknown to slipway and ignored',
    ...refused.map((word) => `"${word}" is refused: the control file says command-line: locked`),
    UNPROVEN,
  ]);
});

/** The console of a boot whose kernel finds nothing to run at `rdinit`. */
async function panicked(from: SmallMachine, rdinit: string): Promise<string> {
  const run = await startSmall(from, {
    append: `panic=-1 rdinit=${rdinit} BUN_BE_BUN=1 -- -e ${payload}`,
    expectPanic: true,
  });
  await run.exited;
  assert.is(run.results.text, "");
  assert.not.match(run.console.text, /PWNED|slipway: /);
  return run.console.text;
}

test("rdinit= at the runtime image or at a module is the kernel's own panic", async () => {
  for (const path of ["/runtime.squashfs", "/modules/loop.ko"]) {
    const text = await panicked(machine, path);
    assert.match(text, "Kernel panic - not syncing", path);
  }
});

test.run();
