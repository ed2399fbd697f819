import { test } from "uvu";
import * as assert from "uvu/assert";
import { parseReference } from "../../boot/devices/reference.ts";
import type { RecordCondition, Resolution, Wanted } from "../../boot/devices/resolve.ts";
import { MODULES, type ModuleIndex } from "../../boot/modules.ts";
import { ModuleLoader } from "../../init/devices/modules.ts";
import { type WaitOptions, waitForDevices } from "../../init/devices/wait.ts";
import { RecordingKernel } from "../../init/kernel/recording/recording.ts";

const MiB = 1024 * 1024;
const wanted: Wanted = {
  disk: null,
  record: parseReference("PARTLABEL=boot-record"),
  others: new Map([["a", parseReference("PARTLABEL=root-a")]]),
};

/** A disk that appears at `atMs`, at once if absent. */
function addDisk(kernel: RecordingKernel, name: string, major: number, labels: string[], atMs?: number): void {
  const disk = kernel.addDevice({ path: `/dev/${name}`, number: { major, minor: 0 }, size: 16 * MiB }, atMs);
  for (const [index, label] of labels.entries()) {
    const number = index + 1;
    kernel.addDevice(
      {
        path: `/dev/${name}${number}`,
        number: { major, minor: number },
        size: MiB,
        partition: { of: disk, number, start: number * MiB, label },
      },
      atMs,
    );
  }
}

function options(condition: RecordCondition, changes: Partial<WaitOptions> = {}): WaitOptions {
  return { timeoutSeconds: 30, readRecordCondition: () => condition, modules: null, onIdle: () => {}, ...changes };
}

function path(resolution: Resolution | undefined): string {
  return resolution && "found" in resolution ? resolution.found.path : `not found: ${resolution && Object.values(resolution)[0]}`;
}

test("devices that are there already are not waited for", async () => {
  const kernel = new RecordingKernel();
  addDisk(kernel, "vda", 254, ["boot-record", "root-a"]);
  const before = kernel.openDescriptors();
  const result = await waitForDevices(kernel, wanted, options("valid"));
  assert.is(path(result.disk), "/dev/vda");
  assert.is(path(result.record), "/dev/vda1");
  assert.is(path(result.others.get("a")), "/dev/vda2");
  assert.is(result.waitedSeconds, 0);
  assert.equal(kernel.openDescriptors(), before);
});

test("a disk that appears late wakes the wait", async () => {
  const kernel = new RecordingKernel();
  addDisk(kernel, "vda", 254, ["boot-record", "root-a"], 8000);
  const result = await waitForDevices(kernel, wanted, options("valid"));
  assert.is(path(result.others.get("a")), "/dev/vda2");
  assert.is(result.waitedSeconds, 7);
  assert.ok(kernel.now().bootMs < 8200, "goes on at once, not at the end of a slice");
});

test("a device that never comes: bounded, the watchdog is fed, no busy loop, and the text names what was seen", async () => {
  const kernel = new RecordingKernel();
  addDisk(kernel, "vda", 254, ["boot-record", "root-b"]);
  const idle: number[] = [];
  const result = await waitForDevices(kernel, wanted, options("valid", { onIdle: () => void idle.push(kernel.now().bootMs) }));
  const missing = result.others.get("a");
  assert.ok(missing && "missing" in missing);
  assert.match(missing.missing, "no partition labelled root-a after 30 s; saw vda1 boot-record, vda2 root-b");
  assert.ok(kernel.now().bootMs < 32_000);
  assert.ok(idle.length < 80, `${idle.length} turns in 30 s`);
  for (const [index, at] of idle.entries()) assert.ok(at - (idle[index - 1] ?? 1000) <= 1000, "at least once a second");
});

test("an empty record waits a moment for a disk with a valid one", async () => {
  const kernel = new RecordingKernel();
  addDisk(kernel, "vda", 254, ["boot-record", "root-a"]);
  addDisk(kernel, "sda", 8, ["boot-record", "root-a"], 1500);
  const result = await waitForDevices(
    kernel,
    wanted,
    options("empty", { readRecordCondition: (device) => (device.disk === "sda" ? "valid" : "empty") }),
  );
  assert.is(path(result.disk), "/dev/sda");
  const alone = new RecordingKernel();
  addDisk(alone, "vda", 254, ["boot-record", "root-a"]);
  assert.is(path((await waitForDevices(alone, wanted, options("empty"))).disk), "/dev/vda");
  assert.ok(alone.now().bootMs < 2500);
});

test("two disks with a valid record end the wait at once", async () => {
  const kernel = new RecordingKernel();
  addDisk(kernel, "vda", 254, ["boot-record", "root-a"]);
  addDisk(kernel, "vdb", 253, ["boot-record", "root-a"]);
  const result = await waitForDevices(kernel, wanted, options("valid"));
  assert.ok("ambiguous" in result.disk);
  assert.match(result.disk.ambiguous, "/dev/vda and /dev/vdb");
  assert.ok(kernel.now().bootMs < 1500);
});

const index: ModuleIndex = {
  schema: 1,
  kernel: "6.1",
  load: ["loop.ko", "gone.ko"],
  depends: { "virtio_blk.ko": ["virtio.ko", "virtio_ring.ko"], "loop.ko": [], "gone.ko": [] },
  aliases: [
    ["virtio:d00000002v*", "virtio_blk.ko"],
    ["pci:v00001AF4d*", "virtio_pci.ko"],
    ["fs_xfs", "xfs.ko"],
  ],
  recovery: [],
};

function moduleMachine(): RecordingKernel {
  const files = ["loop", "virtio", "virtio_ring", "virtio_blk", "virtio_pci", "xfs"].map((name) => [
    `${MODULES.directory.slice(1)}/${name}.ko`,
    name,
  ]);
  return new RecordingKernel({ initramfs: Object.fromEntries(files) });
}

test("listed modules, then those the hardware asks for, each once and after what it needs", () => {
  const kernel = moduleMachine();
  kernel.plant("/sys", { "bus/pci/devices/0000:00:01.0/modalias": "pci:v00001AF4d00001042sv0\n", "bus/pci/devices/x": {} });
  kernel.plant("/sys", { "bus/virtio/devices/virtio0/modalias": "virtio:d00000002v00001AF4\n" });
  let tries = 0;
  const loader = new ModuleLoader(kernel, index, () => tries++);
  loader.loadListed();
  loader.loadForHardware();
  loader.loadForHardware();
  loader.loadForAlias("fs-xfs");
  loader.loadForAlias("fs-btrfs");
  const wantedOrder = ["loop.ko", "virtio_pci.ko", "virtio.ko", "virtio_ring.ko", "virtio_blk.ko", "xfs.ko"];
  assert.equal(loader.loaded, wantedOrder);
  assert.equal(loader.failures, ["gone.ko: ENOENT"]);
  assert.is(kernel.trace.match(/load-module/g)?.length, wantedOrder.length);
  assert.is(tries, wantedOrder.length + loader.failures.length, "each was followed by the watchdog's turn");
});

test("drivers that only a recovery wants are left alone until there is one", () => {
  const kernel = moduleMachine();
  kernel.plant("/runtime/modules", { "virtio_net.ko": "virtio_net", "af_packet.ko": "af_packet" });
  kernel.plant("/sys", { "bus/virtio/devices/virtio0/modalias": "virtio:d00000002v00001AF4\n" });
  kernel.plant("/sys", { "bus/virtio/devices/virtio1/modalias": "virtio:d00000001v00001AF4\n" });
  const loader = new ModuleLoader(kernel, {
    ...index,
    depends: { ...index.depends, "virtio_net.ko": [], "af_packet.ko": [] },
    aliases: [...index.aliases, ["virtio:d00000001v*", "virtio_net.ko"]],
    recovery: ["af_packet.ko", "virtio_net.ko"],
  });
  loader.loadForHardware();
  loader.loadForAlias("virtio:d00000001v00001AF4");
  const ordinary = ["virtio.ko", "virtio_ring.ko", "virtio_blk.ko"];
  assert.equal(loader.loaded, ordinary);
  loader.loadForRecovery();
  assert.equal(loader.loaded, [...ordinary, "af_packet.ko", "virtio_net.ko"]);
  loader.loadForRecovery();
  assert.equal(loader.loaded, [...ordinary, "af_packet.ko", "virtio_net.ko"]);
});

test("where preinit's child failed to load a module meanwhile, the kernel says EBUSY: a load of our own counts, and tells why", () => {
  for (const [code, failures] of [
    ["ENODEV", ["virtio_blk.ko: ENODEV"]],
    ["EBUSY", ["virtio_blk.ko: EBUSY"]],
    [null, []],
  ] as const) {
    const kernel = moduleMachine();
    kernel.failOn({ call: "loadModule", match: /virtio_blk/, code: "EBUSY", times: 1 });
    if (code !== null) kernel.failOn({ call: "loadModule", match: /virtio_blk/, code });
    const loader = new ModuleLoader(kernel, index);
    loader.loadForAlias("virtio:d00000002v00001AF4");
    assert.equal(loader.failures, failures);
    assert.equal(loader.loaded, ["virtio.ko", "virtio_ring.ko", ...(code === null ? ["virtio_blk.ko"] : [])]);
  }
});

test("a module that is built in or loaded already is no failure; another failure is remembered", () => {
  const kernel = moduleMachine();
  kernel.failOn({ call: "loadModule", match: /virtio_ring/, code: "EEXIST" });
  kernel.failOn({ call: "loadModule", match: /virtio_blk/, code: "ENOEXEC" });
  const loader = new ModuleLoader(kernel, index);
  loader.loadForAlias("virtio:d00000002v00001AF4");
  assert.equal(loader.loaded, ["virtio.ko"]);
  assert.equal(loader.failures, ["virtio_blk.ko: ENOEXEC"]);
});

test("what is there already costs no walk of the hardware", async () => {
  const kernel = moduleMachine();
  kernel.plant("/sys", { "bus/virtio/devices/virtio0/modalias": "virtio:d00000002v00001AF4\n" });
  addDisk(kernel, "vda", 254, ["boot-record", "root-a"]);
  const modules = new ModuleLoader(kernel, index);
  await waitForDevices(kernel, wanted, options("valid", { modules }));
  assert.equal(modules.loaded, []);
});

test("an empty record on a disk that is there already: the others' drivers are loaded, for one of them may have a valid record", async () => {
  const kernel = moduleMachine();
  kernel.plant("/sys", { "bus/virtio/devices/virtio0/modalias": "virtio:d00000002v00001AF4\n" });
  addDisk(kernel, "nvme0n1", 259, ["boot-record", "root-a"]);
  const modules = new ModuleLoader(kernel, index);
  await waitForDevices(kernel, wanted, options("empty", { modules }));
  assert.equal(modules.loaded, ["virtio.ko", "virtio_ring.ko", "virtio_blk.ko"]);
});

test("the wait loads drivers for what the hardware asks for", async () => {
  const kernel = moduleMachine();
  kernel.plant("/sys", { "bus/virtio/devices/virtio0/modalias": "virtio:d00000002v00001AF4\n" });
  addDisk(kernel, "vda", 254, ["boot-record", "root-a"], 3000);
  const modules = new ModuleLoader(kernel, index);
  await waitForDevices(kernel, wanted, options("valid", { modules }));
  assert.equal(modules.loaded, ["virtio.ko", "virtio_ring.ko", "virtio_blk.ko"]);
});

test.run();
