/** The file that asks for a recovery: obeyed once, removed before, and never believed more than a file may be. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { parseCommandLine } from "../../boot/kernel-command-line.ts";
import { readRequest } from "../../boot/recovery/request.ts";
import type { BootReport } from "../../boot/report.ts";
import { BlockDevice } from "../../init/kernel/recording/memory-devices.ts";
import { directory, link, type Tree } from "../../init/kernel/recording/memory-tree.ts";
import { RecordingKernel } from "../../init/kernel/recording/recording.ts";
import { PowerCut } from "../../init/kernel/recording/script.ts";
import { takeRequest } from "../../init/recovery/request-file.ts";
import { Devices } from "../../init/sequence/devices.ts";
import { Launch } from "../../init/sequence/launch.ts";
import { Log } from "../../init/sequence/log.ts";
import { type ControlRecovery, DEFAULT_RECOVERY, RUNGS } from "../../state-ops/recovery.ts";
import { controlFile, ext4, image, MiB } from "./golden-machine.ts";
import { World } from "./golden-world.ts";

const DATA_UUID = "000000da-0000-0000-0000-000000000001";

interface Given {
  esp?: Tree | null;
  data?: Tree;
  recovery?: Partial<ControlRecovery>;
  /** A stick with partitions of the same names. */
  stick?: Tree;
  disk?: string;
}

class Bench {
  readonly disk = new BlockDevice({ path: "/dev/vda", number: { major: 254, minor: 0 }, size: 64 * MiB });
  readonly esp: BlockDevice;
  readonly data: BlockDevice;
  readonly stick: BlockDevice[];

  constructor(readonly given: Given) {
    this.esp = this.#part(this.disk, 1, "esp", given.esp === undefined ? {} : given.esp, 0xe5);
    this.data = this.#part(this.disk, 2, "sys-data", given.data ?? {}, 0xda);
    const other = new BlockDevice({ path: "/dev/sda", number: { major: 8, minor: 0 }, size: 64 * MiB });
    this.stick = given.stick ? [other, this.#part(other, 1, "esp", given.stick, 0x51)] : [];
  }

  #part(of: BlockDevice, number: number, label: string, tree: Tree | null, tag: number): BlockDevice {
    const major = of.number.major;
    return new BlockDevice({
      path: `${of.path}${number}`,
      number: { major, minor: number },
      size: 8 * MiB,
      partition: { of, number, start: number * 8 * MiB, label },
      ...(tree === null ? {} : { contents: ext4(tag), filesystem: { type: "ext4", tree } }),
    });
  }

  /** A boot: what it is asked, and what it says. */
  async boot(prepare: (kernel: RecordingKernel) => void = () => {}) {
    const kernel = new RecordingKernel({ stepMs: 0, initramfs: { run: {}, dev: {} } });
    for (const device of [this.disk, this.esp, this.data, ...this.stick]) kernel.addDevice(device);
    const request = { device: "PARTLABEL=esp", path: "slipway/recover" };
    const { control } = controlFile({
      recovery: { ...DEFAULT_RECOVERY, request, ...this.given.recovery },
      disk: this.given.disk ?? null,
    });
    const launch = new Launch(kernel, new Log(kernel), control, parseCommandLine(""));
    const before = [kernel.mounts(), [...kernel.openDescriptors()]];
    prepare(kernel);
    kernel.beginTrace();
    const began = kernel.clocks.bootMs;
    const answer = await takeRequest(launch, new Devices(launch), DATA_UUID);
    assert.equal([kernel.mounts(), [...kernel.openDescriptors()]], before, "all is given back");
    assert.is(kernel.clocks.bootMs, began, "nothing was waited for");
    return { answer, warnings: launch.warnings, trace: kernel.trace };
  }
}

const BY = "the file slipway/recover on PARTLABEL=esp";
const asking = (text: string): Tree => ({ slipway: { recover: text, other: "stays" } });

test("no request is declared, or nothing is allowed: no disk is looked at", async () => {
  for (const recovery of [{ request: null }, { ladder: [] }]) {
    const { answer, trace } = await new Bench({ esp: asking(""), recovery }).boot((kernel) => kernel.recordReads());
    assert.is(answer, null);
    assert.is(trace, "");
  }
});

test("no file: the filesystem is mounted for reading only, and nothing is written", async () => {
  const { answer, warnings, trace } = await new Bench({ esp: { slipway: {} } }).boot();
  assert.equal([answer, warnings], [null, []]);
  assert.match(trace, 'mount("/dev/vda1", "/run/slipway/request", "ext4", RDONLY|NOSUID|NODEV|NOEXEC|NOATIME, "")');
  assert.not.match(trace, /REMOUNT|unlink|syncfs/);
});

test("a file asks once: it is gone from the disk before anything is begun", async () => {
  const bench = new Bench({ esp: asking("") });
  const { answer, warnings, trace } = await bench.boot();
  assert.equal(answer, { by: BY, asks: "ladder" });
  assert.equal(warnings, []);
  assert.match(trace, /unlink\("\/run\/slipway\/request\/slipway\/recover"\)\nfsync\(.*\)\nsyncfs\(/);
  assert.is((await bench.boot()).answer, null);
});

test("a rung's name begins there; anything else begins the ladder, and is quoted", async () => {
  const asks = async (text: string, ladder = DEFAULT_RECOVERY.ladder) => {
    const { answer, warnings } = await new Bench({ esp: asking(text), recovery: { ladder } }).boot();
    return [answer?.asks, ...warnings];
  };
  assert.equal(await asks("repair\n"), ["repair"]);
  assert.equal(await asks(" reinstall-fresh \r\n"), ["reinstall-fresh"]);
  assert.equal(await asks("\n\n"), ["ladder"]);
  const allowed = "the ladder begins at its first; allowed are repair, reinstall";
  assert.equal(await asks("safe-mode", ["repair", "reinstall"]), [
    "ladder",
    `${BY} says "safe-mode", which the control file does not allow: ${allowed}`,
  ]);
  assert.equal(await asks("rm -rf\x1b[2J", ["repair", "reinstall"]), [
    "ladder",
    `${BY} says "rm -rf\\u001b[2J", which is no rung: ${allowed}`,
  ]);
});

test("text of any length and form is read, and quoted short", () => {
  for (const text of ["x".repeat(5000), "\0\0\0", "\ud800", "Repair", "repair reinstall", "constructor", "__proto__"]) {
    const { asks, doubt } = readRequest(text, RUNGS);
    assert.is(asks, "ladder");
    assert.ok(doubt !== null && doubt.length < 600);
    assert.not.match(doubt ?? "", /\p{Cc}/u);
  }
});

test("a file that cannot be removed is not obeyed, or every boot would begin a recovery", async () => {
  const refusals: [RegExp, (kernel: RecordingKernel) => void, Given][] = [
    [/cannot be removed \(EROFS\)/, (kernel) => kernel.failOn({ call: "mount", match: /REMOUNT/, code: "EROFS" }), {}],
    [/cannot be removed \(EPERM\)/, (kernel) => kernel.failOn({ call: "remove", match: /recover"/, code: "EPERM" }), {}],
    [/cannot be removed \(EIO\)/, (kernel) => kernel.failOn({ call: "syncFilesystem", code: "EIO" }), {}],
    [/cannot be removed \(EIO\)/, (kernel) => kernel.failOn({ call: "sync", code: "EIO" }), {}],
  ];
  for (const [reason, prepare, given] of refusals) {
    const { answer, warnings } = await new Bench({ esp: asking(""), ...given }).boot(prepare);
    assert.is(answer, null);
    assert.is(warnings.length, 1);
    assert.match(warnings[0] ?? "", reason);
    assert.match(warnings[0] ?? "", "none is begun; remove it, or unlock the medium");
  }
});

test("links, directories and what lies behind a link ask for nothing", async () => {
  const trees: [Tree, RegExp][] = [
    [{ slipway: { recover: link("other"), other: "repair" } }, /is a link, or lies behind one/],
    [{ slipway: link("elsewhere"), elsewhere: { recover: "repair" } }, /is a link, or lies behind one/],
    [{ slipway: { recover: directory() } }, /is no regular file/],
  ];
  for (const [esp, reason] of trees) {
    const { answer, warnings, trace } = await new Bench({ esp }).boot();
    assert.is(answer, null);
    assert.match(warnings.join(), reason);
    assert.not.match(trace, /REMOUNT|unlink\("\/run\/slipway\/request\//);
  }
  assert.equal((await new Bench({ esp: { slipway: "a file" } }).boot()).warnings, []);
});

test("a device that is not there, holds nothing, or cannot be read stops no boot", async () => {
  const absent = { device: "PARTLABEL=nowhere", path: "recover" };
  const missing = await new Bench({ recovery: { request: absent } }).boot();
  assert.equal([missing.answer, missing.warnings], [null, []]);
  const empty = await new Bench({ esp: null }).boot();
  assert.is(empty.answer, null);
  assert.match(empty.warnings.join(), /\/dev\/vda1 holds no filesystem that is known/);
  for (const [call, match] of [
    ["read", /"\/dev\/vda1"/],
    ["mount", /vda1/],
    ["open", /slipway\/recover/],
  ] as const) {
    const { answer, warnings } = await new Bench({ esp: asking("") }).boot((kernel) =>
      kernel.failOn({ call, match, code: "EIO" }),
    );
    assert.is(answer, null);
    assert.match(warnings.join(), /could not be looked for: .*EIO/, call);
  }
});

test("our own disk is asked, whatever is plugged in; without it only one that is meant by nobody else", async () => {
  const stick = asking("repair");
  const ours = await new Bench({ stick, disk: "/dev/vda" }).boot();
  assert.is(ours.answer, null);
  const both = await new Bench({ stick, esp: asking("") }).boot();
  assert.is(both.answer, null, "two partitions of that name, and nobody knows which disk is ours");
  const onlyStick = new Bench({
    stick: asking("repair"),
    disk: "/dev/vda",
    recovery: { request: { device: "/dev/sda1", path: "slipway/recover" } },
  });
  assert.is((await onlyStick.boot()).answer?.asks, "repair");
});

test("on the data filesystem, which is mounted by its own rules and given back", async () => {
  const recovery = { request: { device: "PARTLABEL=sys-data", path: "shared/recover" } };
  const data = { shared: { recover: "repair" } };
  const bench = new Bench({ data, recovery });
  const { answer, trace } = await bench.boot();
  assert.equal(answer, { by: "the file shared/recover on PARTLABEL=sys-data", asks: "repair" });
  assert.match(trace, 'mount("/dev/vda2", "/run/slipway/data", "ext4", NOSUID|NODEV|NOATIME, "")');
  assert.is((await bench.boot()).answer, null);
  const foreign = new Bench({ data: { shared: { recover: "" } }, recovery });
  foreign.data.storage.write(0, ext4(0xbb));
  const { answer: none, warnings } = await foreign.boot();
  assert.is(none, null, "the filesystem of another machine asks for nothing");
  assert.match(warnings.join(), /no data filesystem/);
});

test("wherever the power fails, the file is whole or gone, and once a recovery is begun it is gone", async () => {
  for (let effects = 0; ; effects++) {
    const bench = new Bench({ esp: asking("repair") });
    let answered: unknown = null;
    let cut = false;
    try {
      answered = (await bench.boot((kernel) => kernel.crashAfter(effects, 0, "lost"))).answer;
    } catch (error) {
      if (!(error instanceof PowerCut)) throw error;
      cut = true;
    }
    const later = await bench.boot();
    assert.is(later.answer === null || later.answer.asks === "repair", true);
    if (answered !== null) assert.is(later.answer, null);
    if (!cut) break;
    assert.ok(effects < 40);
  }
});

test("a whole boot: the file's rung is taken, the report names it, and the next boot is an ordinary one", async () => {
  const request = { device: "PARTLABEL=sys-data", path: "recover" };
  const world = new World({ a: image(1), data: {}, control: { recovery: { ...DEFAULT_RECOVERY, request } } });
  const told = (kernel: RecordingKernel): Partial<BootReport> => JSON.parse(kernel.peek("/run/slipway/boot.json") ?? "{}");
  assert.is((await world.boot()).end, "exec /sbin/init");
  world.commitAndShutDown("a", image(1).id);
  world.data.filesystem?.root.node.directory
    ?.make("recover", "file", 0o600)
    .node.bytes.write(0, new TextEncoder().encode("safe-mode"));
  const boot = await world.boot();
  assert.is(boot.end, "exec /sbin/init", boot.escaped?.stack);
  const { recovery, slot } = told(boot.kernel);
  assert.equal([slot, recovery?.asked, recovery?.rung], ["a", "the file recover on PARTLABEL=sys-data", "safe-mode"]);
  const next = await world.boot();
  assert.is(next.end, "exec /sbin/init");
  assert.is(told(next.kernel).recovery?.rung ?? null, null);
});

test("an exception that nobody expected while the file is looked for stops no boot", async () => {
  const request = { device: "PARTLABEL=sys-data", path: "recover" };
  const world = new World({ a: image(1), data: {}, control: { recovery: { ...DEFAULT_RECOVERY, request } } });
  const kernel = world.kernel();
  const open = kernel.open.bind(kernel);
  kernel.open = (path, ...more) => {
    if (path === "recover") throw new TypeError("undefined is not a function");
    return open(path, ...more);
  };
  const boot = await world.boot(kernel);
  assert.is(boot.end, "exec /sbin/init", boot.escaped?.stack);
  assert.match(kernel.peek("/run/slipway/boot.json") ?? "", /asks for a recovery is not known: undefined is not a function/);
});

test.run();
