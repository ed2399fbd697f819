import { test } from "uvu";
import * as assert from "uvu/assert";
import { O } from "../../init/kernel/constants.ts";
import { BlockDevice } from "../../init/kernel/recording/memory-devices.ts";
import { RecordingKernel } from "../../init/kernel/recording/recording.ts";
import { PowerCut } from "../../init/kernel/recording/script.ts";
import { applyState, type StateResult } from "../../init/state/apply.ts";
import { detachDataFilesystem, layOut, mountDataFilesystem, readGenerations } from "../../init/state/data-filesystem.ts";
import { prepareGeneration } from "../../init/state/generations.ts";
import { validMachineId } from "../../init/state/machine-id.ts";
import { StateFailure } from "../../init/state/state-failure.ts";
import type { Operator } from "../../state-ops/control.ts";
import { planGeneration } from "../../state-ops/generation-plan.ts";
import { planState } from "../../state-ops/state-plan.ts";
import { matchesGolden } from "../golden.ts";
import { plainOrder } from "../samples/generation-order.ts";
import { sampleOperator } from "../samples/operator.ts";

const place = "/run/slipway/data";

/** The data partition with a new filesystem. */
function newDisk(): BlockDevice {
  const number = { major: 252, minor: 3 };
  const filesystem = { type: "ext4", tree: { "lost+found": {} } };
  return new BlockDevice({ path: "/dev/vda3", number, size: 8 << 20, filesystem });
}

/** A machine whose image is mounted at /sysroot, and that has `disk` for its data. */
function machine(disk = newDisk()): RecordingKernel {
  const kernel = new RecordingKernel({ initramfs: { sysroot: {}, run: {} } });
  const image = {
    etc: { hosts: "localhost", "machine-id": "" },
    var: { log: { first: "shipped" }, lib: {} },
    opt: { note: "shipped" },
    srv: {},
    run: {},
  };
  kernel.addDevice({
    ...{ path: "/dev/vda2", number: { major: 252, minor: 2 }, size: 1 << 20 },
    filesystem: { type: "erofs", tree: image },
  });
  kernel.addDevice(disk);
  kernel.mount("tmpfs", "/run", "tmpfs", 6, "mode=0755");
  kernel.mount("/dev/vda2", "/sysroot", "erofs", 1, "");
  kernel.describe(/machine-id/, (bytes) => (validMachineId(Buffer.from(bytes).toString()) ? "a machine id" : null));
  kernel.beginTrace();
  return kernel;
}

const operator = sampleOperator;

const operators = [
  operator("/etc", { via: "overlay" }),
  operator("/etc/machine-id", { kind: "file", state: "identity", seed: "none", generate: "machine-id" }),
  operator("/opt", { state: "ephemeral", via: "tmpfs", size: 65536 }),
  operator("/run/app", { state: "ephemeral", via: "tmpfs", seed: "none", mode: 0o700, owner: 7 }),
  operator("/var", { mode: 0o755, owner: 0, group: 0 }),
];

/** What a boot does about state, from the mount of the data filesystem to its being detached. */
function layState(kernel: RecordingKernel, laid: readonly Operator[], attempt = 1): StateResult {
  const data = mountDataFilesystem(kernel, "/dev/vda3", "ext4", place);
  const newRoot = kernel.open("/sysroot", O.RDONLY | O.DIRECTORY);
  layOut(kernel, data, "uuid");
  const who = { slot: "a", imageId: "sha256:image", controlDigest: "sha256:control" };
  const facts = {
    ...readGenerations(kernel, data, ["a", "b"]),
    ...who,
    trial: true,
    previousEnd: "none",
    committed: null,
  } as const;
  const { path } = prepareGeneration(kernel, data, { plan: planGeneration(facts), ...who, attempt, ...plainOrder }, () => {});
  const steps = planState(laid, { generation: path, slot: "a" });
  try {
    return applyState(kernel, { steps, newRoot, data, onProgress: () => {} });
  } finally {
    if (kernel.end === null) {
      kernel.close(newRoot);
      kernel.close(data);
      detachDataFilesystem(kernel, place);
    }
  }
}

/** Mount points below /run, in order. */
function mountedAt(kernel: RecordingKernel): string[] {
  const lines = (kernel.peek("/proc/mounts") ?? "").trim().split("\n");
  return lines.map((line) => line.split(" ")[1] ?? "").filter((path) => path.startsWith("/run"));
}

test("golden trace of the state's first boot, and of the next", () => {
  const kernel = machine();
  const descriptors = kernel.openDescriptors();
  assert.equal(layState(kernel, operators), { degraded: [], warnings: [] });
  assert.equal(kernel.openDescriptors(), descriptors);
  assert.ok(validMachineId(kernel.peek("/sysroot/etc/machine-id") ?? ""));
  assert.is(kernel.peek("/sysroot/var/log/first"), "shipped");
  assert.not(
    kernel.mounts().some((mount) => mount.startsWith(place)),
    "the data filesystem is out of sight",
  );
  matchesGolden("state-first-boot", kernel.trace);
});

/** Each way a step can fail, and the paths that are in memory then where they may be. */
const failures = [
  { what: "no overlay in the kernel", call: "mount", match: /overlay/, code: "ENODEV", path: "/etc" },
  { what: "a bind is refused", call: "mount", match: /tree\/var/, code: "EPERM", path: "/var" },
  { what: "a bind cannot be made nosuid", call: "mount", match: /sysroot\/var", "", .*REMOUNT/, code: "EPERM", path: "/var" },
  { what: "a store cannot be made", call: "makeDirectory", match: /seed-var/, code: "ENOSPC", path: "/var" },
  { what: "a store cannot be made durable", call: "syncFilesystem", match: /./, code: "EIO", path: "/etc", after: 1 },
  {
    what: "a machine id cannot be renamed to its name",
    call: "rename",
    match: /machine-id/,
    code: "EIO",
    path: "/etc/machine-id",
  },
] as const;

for (const { what, path, ...rule } of failures) {
  test(`${what}: required fails and says why, degraded goes on in memory`, () => {
    const required = machine();
    required.failOn({ ...rule, times: 1 });
    const descriptors = required.openDescriptors();
    try {
      layState(required, operators);
      assert.unreachable("no error");
    } catch (error) {
      if (!(error instanceof StateFailure)) throw error;
      assert.is(error.path, path);
      assert.match(error.message, `state ${path} (app/state.yaml:3): `);
      assert.match(error.message, new RegExp(`${rule.code}; `));
    }
    assert.equal(required.openDescriptors(), descriptors, "a descriptor was left open");
    const kernel = machine();
    kernel.failOn({ ...rule, times: 1 });
    const { degraded } = layState(
      kernel,
      operators.map((entry) => ({ ...entry, onFailure: "degraded" })),
    );
    assert.equal(
      degraded.map((entry) => entry.path),
      [path],
    );
    assert.equal(kernel.openDescriptors(), descriptors);
    assert.ok(validMachineId(kernel.peek("/sysroot/etc/machine-id") ?? ""));
    assert.is(kernel.peek("/sysroot/var/log/first"), "shipped");
    assert.is(kernel.peek("/sysroot/etc/hosts"), "localhost");
    const stores = kernel.mounts().filter((mount) => mount.startsWith(`/sysroot${path} `));
    assert.is(stores.length, 1, `only the tmpfs is left on ${path}: ${stores}`);
  });
}

for (const unsynced of ["kept", "lost"] as const) {
  test(`a power cut at any effect of the first boot, unsynced data ${unsynced}, is followed by a whole boot`, () => {
    let points = 0;
    for (let effects = 0; ; effects++) {
      const disk = newDisk();
      const kernel = machine(disk);
      kernel.crashAfter(effects, 0, unsynced);
      try {
        layState(kernel, operators);
        break;
      } catch (error) {
        if (!(error instanceof PowerCut)) throw error;
      }
      points++;
      const next = machine(disk);
      assert.equal(layState(next, operators, 2), { degraded: [], warnings: [] }, `after ${effects} effects`);
      assert.ok(validMachineId(next.peek("/sysroot/etc/machine-id") ?? ""), `after ${effects} effects`);
      assert.is(next.peek("/sysroot/var/log/first"), "shipped", `after ${effects} effects`);
      assert.is(next.peek("/sysroot/etc/hosts"), "localhost");
    }
    assert.ok(points > 80, `only ${points} points`);
  });
}

test("a slot whose state fails leaves no mount below /run, where the next slot lays its own", () => {
  const kernel = machine();
  const big = operator("/run/big", { state: "ephemeral", via: "tmpfs", seed: "none", size: 65536 });
  const laid = [big, operator("/run/big/part", { state: "ephemeral", via: "tmpfs", seed: "none", size: 4096 })];
  const before = mountedAt(kernel);
  assert.throws(() => layState(kernel, [...laid, operator("/missing")]), /\/missing does not exist in the image/);
  assert.equal(mountedAt(kernel), before);
  layState(kernel, laid, 2);
  assert.equal(mountedAt(kernel), [...before, "/run/big", "/run/big/part"]);
});

test("a directory below /run that fails is made again on /run itself, not in the image", () => {
  const kernel = machine();
  kernel.failOn({ call: "mount", match: /run\/big/, code: "ENOMEM" });
  const path = "/run/big";
  const words = { state: "ephemeral", via: "tmpfs", seed: "none", size: 65536, onFailure: "degraded", mode: 0o700 } as const;
  const { degraded } = layState(kernel, [operator(path, words)]);
  assert.is(degraded[0]?.path, path);
  assert.is(kernel.statusAt(path).mode, 0o700);
});

test.run();
