import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { buildInitrd } from "../../init/builder/initrd/build.ts";
import { type CpioEntry, readCpio, writeCpio } from "../../init/builder/initrd/cpio.ts";
import { splitExecutable } from "../../init/builder/initrd/hot-file.ts";
import { hotPagesIn } from "../../init/builder/initrd/own-files.ts";
import { consoleWord, guestArchitecture, hostArchitecture } from "../../qemu/architecture.ts";
import { guestKernel } from "../../qemu/kernel.ts";
import { startMachine } from "../../qemu/machine.ts";
import { guestDist, project } from "../../qemu/places.ts";
import { sysroot } from "../../qemu/sysroot.ts";
import { compile } from "../../scripts/build/compile.ts";
import { runtimeFor } from "../../scripts/build/runtime.ts";
import { sampleControlText } from "../samples/control-file.ts";
import { sampleInitrdInput } from "../samples/initrd-input.ts";

/** Stands in for slipway: says what preinit gave it, and switches the machine off. */
const probe = `
import { readFileSync, readdirSync, readlinkSync, writeFileSync } from "node:fs";
const link = (path) => { try { return readlinkSync(path); } catch { return null; } };
const descriptors = readdirSync("/proc/self/fd").map((fd) => link("/proc/self/fd/" + fd));
writeFileSync("/dev/ttyS1", "report " + JSON.stringify({
  environment: process.env,
  words: readFileSync("/proc/self/cmdline", "utf8").split("\\0").slice(1),
  panic: readFileSync("/proc/sys/kernel/panic", "utf8").trim(),
  mounts: readFileSync("/proc/mounts", "utf8").trim().split("\\n").map((line) => line.split(" ").slice(1, 4).join(" ")),
  consoles: descriptors.slice(0, 3),
  files: descriptors.filter((path) => path !== null && path.includes("squashfs")),
  modules: readFileSync("/proc/modules", "utf8").match(/^\\S+/gm),
  index: readdirSync("/runtime/modules").includes("index.json"),
}) + " end\\n");
writeFileSync("/proc/sysrq-trigger", "o");
setTimeout(() => {}, 60_000);
`;

interface Report {
  environment: Record<string, string>;
  words: string[];
  panic: string;
  mounts: string[];
  consoles: string[];
  files: string[];
  modules: string[];
  index: boolean;
}

const scratch = mkdtempSync(`${tmpdir()}/slipway-preinit-test-`);
const initrd = `${scratch}/initrd`;
const { kernel, modules } = await guestKernel();

test.before(async () => {
  writeFileSync(`${scratch}/probe.ts`, probe);
  const probed = { entry: `${scratch}/probe.ts`, output: `${scratch}/slipway`, assets: [], version: "0", buildUnixMs: 0 };
  const foreign = guestArchitecture !== hostArchitecture;
  await compile(
    foreign ? { ...probed, other: { architecture: guestArchitecture, runtime: await runtimeFor(guestArchitecture) } } : probed,
  );
  writeFileSync(
    `${scratch}/control.json`,
    sampleControlText({ system: "test", slots: [{ name: "a", device: "PARTLABEL=root-a" }], data: null }),
  );
  await buildInitrd(
    sampleInitrdInput({
      control: `${scratch}/control.json`,
      modules,
      sysroot: (await sysroot()) || "/",
      hot: { interpreter: `${guestDist()}/interpreter`, lists: hotPagesIn(`${project}/init/builder/initrd`) },
      executable: `${scratch}/slipway`,
      preinit: `${guestDist()}/preinit`,
      level: 3,
      output: initrd,
    }),
  );
});

test.after(() => rmSync(scratch, { recursive: true, force: true }));

async function report(append: string): Promise<Report> {
  const machine = await startMachine({ kernel, initrd, append: `${consoleWord()} ${append}`, noReboot: true, timeoutMs: 90_000 });
  const [, text = ""] = await machine.expectResult(/report (\{.*\}) end/);
  await machine.exited;
  return JSON.parse(text);
}

/** The console of a boot that ends in a panic; the probe must not have run. */
async function panicked(file: string, append: string, memoryMiB = 512): Promise<string> {
  const machine = await startMachine({
    kernel,
    initrd: file,
    append: `${consoleWord()} panic=-1 ${append}`,
    memoryMiB,
    noReboot: true,
    expectPanic: true,
    timeoutMs: 90_000,
  });
  await machine.exited;
  assert.is(machine.results.text, "");
  assert.match(machine.console.text, /Kernel panic - not syncing/);
  return machine.console.text;
}

test("slipway starts with an environment, arguments, mounts and descriptors of preinit's own", async () => {
  const hostile =
    "BUN_BE_BUN=1 BUN_OPTIONS=--print=1 BUN_INSPECT=1 BUN_JSC_useJIT=7 NODE_OPTIONS=--require=/x LD_PRELOAD=/x.so PATH=/x word -- -e process.exit() panic=7";
  const seen = await report(hostile);
  const { SLIPWAY_PREINIT: times = "", ...environment } = seen.environment;
  assert.equal(environment, {
    PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
    TERM: "linux",
    BUN_CONFIG_DNS_TIME_TO_LIVE_SECONDS: "0",
    BUN_JSC_thresholdForJITAfterWarmUp: "20000",
  });
  const [started = 0, executed = 0] = times.split(" ").map(Number);
  assert.ok(started > 1e8 && executed > started && executed < 60e9, times);
  assert.equal(seen.words, [""]);
  assert.equal(seen.mounts.slice(1), [
    "/proc proc rw,nosuid,nodev,noexec,relatime",
    seen.mounts[2] ?? "",
    "/sys sysfs rw,nosuid,nodev,noexec,relatime",
    "/run tmpfs rw,nosuid,nodev,relatime,mode=755,inode64",
    "/runtime squashfs ro,nosuid,nodev,relatime,errors=continue",
  ]);
  assert.match(seen.mounts[2] ?? "", /^\/dev devtmpfs rw,nosuid,/);
  assert.equal(seen.consoles, ["/dev/console", "/dev/console", "/dev/console"]);
  assert.equal(seen.files, [], "every descriptor of the runtime image is closed");
  assert.equal(seen.modules.sort(), ["loop", "squashfs"]);
  assert.ok(seen.index);
  assert.is(seen.panic, "10", "a panic restarts the machine; words behind -- are not the kernel's");
});

test("a panic timeout of the command line stays", async () => {
  assert.is((await report("panic=7")).panic, "7");
});

test("an image that is cut short is named, with the sizes", async () => {
  const archive = readFileSync(initrd);
  const image = readCpio(archive).find((entry) => entry.path === "runtime.squashfs");
  assert.ok(image);
  writeFileSync(`${scratch}/cut`, archive.subarray(0, image.start + 10 * 2 ** 20));
  const said = /slipway: preinit: the runtime image is truncated: (\d+) of (\d+) bytes; the machine has too little memory/;
  const found = said.exec(await panicked(`${scratch}/cut`, ""));
  assert.ok(found);
  assert.is(Number(found[2]), image.size);
  assert.ok(Number(found[1]) <= 10 * 2 ** 20);
});

/** The initrd with another archive behind it, whose files take the place of those of the same name. */
function withFiles(name: string, files: CpioEntry[]): string {
  writeFileSync(`${scratch}/${name}`, Buffer.concat([readFileSync(initrd), ...writeCpio(files)]));
  return `${scratch}/${name}`;
}

test("the hot pages of another executable, and a file of them that is cut short, are named", async () => {
  const archive = readFileSync(initrd);
  const entry = readCpio(archive).find(({ path }) => path === "runtime.hot");
  assert.ok(entry);
  const hot = new Uint8Array(archive.subarray(entry.start, entry.start + entry.size));
  const other = new Uint8Array(entry.size);
  other.set(hot);
  other.set(splitExecutable(new Uint8Array(readFileSync(`${guestDist()}/preinit`)), []).hot.subarray(8, 40), 8);
  const file = (content: Uint8Array): CpioEntry[] => [{ path: "runtime.hot", kind: "file", mode: 0o400, content }];
  assert.match(
    await panicked(withFiles("stale", file(other)), ""),
    "slipway: cannot start /runtime/usr/bin/slipway: made of another executable: /runtime.hot; build the initrd again",
  );
  assert.match(
    await panicked(withFiles("short", file(hot.subarray(0, 5000))), ""),
    `slipway: preinit: the file of hot pages is truncated: 5000 of ${entry.size} bytes`,
  );
});

test("too little memory ends in a line that says so, preinit's or the kernel's", async () => {
  const text = await panicked(initrd, "", 128);
  assert.match(
    text,
    /(the runtime image|the file of hot pages) is truncated: \d+ of \d+ bytes|not syncing: System is deadlocked on memory/,
  );
});

test("rdinit= finds nothing in the initramfs to run", async () => {
  for (const path of ["/usr/bin/slipway", "/etc/slipway/control.json"]) {
    const text = await panicked(initrd, `rdinit=${path} BUN_BE_BUN=1 -- -e console.log(1)`);
    assert.not.match(text, /Run \/init as init process/);
  }
});

test.run();
