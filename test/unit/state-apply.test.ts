import { test } from "uvu";
import * as assert from "uvu/assert";
import { O } from "../../init/kernel/constants.ts";
import { KernelError } from "../../init/kernel/kernel.ts";
import { BlockDevice } from "../../init/kernel/recording/memory-devices.ts";
import { RecordingKernel } from "../../init/kernel/recording/recording.ts";
import { type CallName, type FailureRule, PowerCut } from "../../init/kernel/recording/script.ts";
import { applyState, type StateResult } from "../../init/state/apply.ts";
import { detachDataFilesystem, mountDataFilesystem } from "../../init/state/data-filesystem.ts";
import { keepsContent } from "../../init/state/generated.ts";
import { replacedName } from "../../init/state/mount-point.ts";
import { StateFailure } from "../../init/state/state-failure.ts";
import type { Operator } from "../../state-ops/control.ts";
import { planState } from "../../state-ops/state-plan.ts";
import { matchesGolden } from "../golden.ts";
import { sampleOperator } from "../samples/operator.ts";
import { everyKind, everyKindTree, moreKinds } from "./every-kind.ts";

const place = "/run/slipway/data";
const validMachineId = (text: string) => keepsContent("machine-id", text);

/** The data partition with an empty generation. */
function newDisk(): BlockDevice {
  const number = { major: 252, minor: 3 };
  const layout = { "gens/000001": { tree: {}, ovl: {} }, shared: {}, slots: {}, trash: {}, work: {} };
  const filesystem = { type: "ext4", tree: layout };
  return new BlockDevice({ path: "/dev/vda3", number, size: 8 << 20, filesystem });
}

/** A machine whose image is mounted at /sysroot, and that has `disk` for its data. */
function machine(disk = newDisk()): RecordingKernel {
  const kernel = new RecordingKernel({ initramfs: { sysroot: {}, run: {} } });
  kernel.addDevice({
    ...{ path: "/dev/vda2", number: { major: 252, minor: 2 }, size: 1 << 20 },
    filesystem: { type: "erofs", tree: everyKindTree },
  });
  kernel.addDevice(disk);
  kernel.mount("tmpfs", "/run", "tmpfs", 6, "mode=0755");
  kernel.mount("/dev/vda2", "/sysroot", "erofs", 1, "");
  const generated: [RegExp, (text: string) => boolean, string][] = [
    [/machine-id/, validMachineId, "a machine id"],
    [/etc-id/, (text) => /^[0-9a-f-]{36}\n$/.test(text), "a UUID"],
    [/etc-token/, (text) => /^[0-9a-f]{64}\n$/.test(text), "32 random bytes"],
  ];
  for (const [match, test, what] of generated) {
    kernel.describe(match, (bytes) => (test(Buffer.from(bytes).toString()) ? what : null));
  }
  kernel.beginTrace();
  return kernel;
}

const operator = sampleOperator;
const file = (path: string, words: Partial<Operator>) => operator(path, { kind: "file", seed: "none", ...words });
const ephemeral = { state: "ephemeral" } as const;

const operators = [
  operator("/etc", { via: "overlay" }),
  file("/etc/machine-id", { state: "identity", generate: "machine-id" }),
  operator("/opt", { ...ephemeral, via: "tmpfs", size: 65536 }),
  operator("/run/app", { ...ephemeral, via: "tmpfs", seed: "none", mode: 0o700, owner: 7 }),
  operator("/var", { mode: 0o755, owner: 0, group: 0 }),
];

/** What a boot does about state once there is a generation, from the mount of the data filesystem to its being detached. */
function layState(kernel: RecordingKernel, laid: readonly Operator[]): StateResult {
  const data = mountDataFilesystem(kernel, "/dev/vda3", "ext4", place);
  const newRoot = kernel.open("/sysroot", O.RDONLY | O.DIRECTORY);
  const steps = planState(laid, { generation: "gens/000001" });
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

const nothing: StateResult = { degraded: [], warnings: [] };

/** Mount points below /run, in order. */
function mountedAt(kernel: RecordingKernel): string[] {
  const lines = (kernel.peek("/proc/mounts") ?? "").trim().split("\n");
  return lines.map((line) => line.split(" ")[1] ?? "").filter((path) => path.startsWith("/run"));
}

/** What the system must find whatever became of single steps. */
function wholeState(kernel: RecordingKernel, after: string): void {
  assert.ok(validMachineId(kernel.peek("/sysroot/etc/machine-id") ?? ""), after);
  assert.is(kernel.peek("/sysroot/var/log/first"), "shipped", after);
  assert.is(kernel.peek("/sysroot/var/vendor/blob"), "shipped", after);
  assert.is(kernel.peek("/sysroot/etc/hosts"), "localhost", after);
  assert.is(kernel.peek("/sysroot/etc/seal"), "sealed", after);
  assert.is(kernel.peek("/sysroot/etc/note"), "in memory\n", after);
  assert.is(kernel.peek("/sysroot/etc/conf"), "made = here\n", after);
  assert.is(kernel.peek("/sysroot/opt/note"), "shipped", after);
  assert.is(kernel.peek("/sysroot/srv/page"), "shipped", after);
  assert.is(kernel.peek("/sysroot/etc/secret"), "", after);
  assert.is(kernel.peek("/sysroot/etc/secret.d/key"), null, after);
}

test("golden trace of the state's first boot, and of the next", () => {
  const disk = newDisk();
  for (const name of ["state-first-boot", "state-next-boot"]) {
    const kernel = machine(disk);
    const descriptors = kernel.openDescriptors();
    assert.equal(layState(kernel, operators), nothing);
    assert.equal(kernel.openDescriptors(), descriptors);
    assert.ok(validMachineId(kernel.peek("/sysroot/etc/machine-id") ?? ""));
    assert.is(kernel.peek("/sysroot/var/log/first"), "shipped");
    assert.not(
      kernel.mounts().some((mount) => mount.startsWith(place)),
      "the data filesystem is out of sight",
    );
    matchesGolden(name, kernel.trace);
  }
});

test("golden trace of one operator of each kind, and of the next boot", () => {
  const disk = newDisk();
  for (const name of ["state-every-kind", "state-every-kind-next"]) {
    const kernel = machine(disk);
    const descriptors = kernel.openDescriptors();
    assert.equal(layState(kernel, everyKind), nothing);
    assert.equal(kernel.openDescriptors(), descriptors);
    wholeState(kernel, name);
    assert.equal(mountedAt(kernel), ["/run", "/run/big"], "what PID 1 had for itself is out of sight");
    assert.is(kernel.peek("/run/latest"), null, "a link into the new root, which is not / yet");
    matchesGolden(name, kernel.trace);
  }
});

/** Each way a step can fail, and the paths that are in memory then where they may be. */
const failures: (FailureRule & { what: string; paths: string[] })[] = [
  { what: "no overlay in the kernel", call: "mount", match: /overlay.*ovl/, code: "ENODEV", paths: ["/etc"] },
  { what: "no overlay in memory", call: "mount", match: /overlay.*layers/, code: "EINVAL", paths: ["/opt"] },
  { what: "no memory for layers", call: "mount", match: /slipway\/layers/, code: "ENOMEM", paths: ["/opt"] },
  { what: "a bind is refused", call: "mount", match: /tree\/var/, code: "EPERM", paths: ["/var"] },
  { what: "a bind cannot be made nosuid", call: "mount", match: /root\/var", "", .*REMOUNT/, code: "EPERM", paths: ["/var"] },
  { what: "a hole cannot be made read-only", call: "mount", match: /seal", "", .*REMOUNT/, code: "EPERM", paths: ["/etc/seal"] },
  { what: "a store cannot be made", call: "makeDirectory", match: /seed-var/, code: "ENOSPC", paths: ["/var"] },
  { what: "a literal cannot be written", call: "write", match: /seed-etc-conf/, code: "ENOSPC", paths: ["/etc/conf"] },
  { what: "a label is refused", call: "setAttribute", match: /tree\/var/, code: "EPERM", paths: ["/var"] },
  { what: "an owner is refused", call: "changeOwner", match: /ovl\/etc\/upper.* 1:2/s, code: "EPERM", paths: ["/etc"] },
  {
    what: "stores cannot be made durable, so that none of them is used",
    ...{ call: "syncFilesystem", match: /./, code: "EIO" },
    paths: ["/etc", "/etc/conf", "/etc/id", "/etc/machine-id", "/etc/token", "/var"],
  },
  {
    what: "the names of stores cannot be made durable",
    ...{ call: "syncFilesystem", match: /./, code: "EIO", after: 1 },
    paths: ["/etc", "/etc/conf", "/etc/id", "/etc/machine-id", "/etc/token", "/var"],
  },
  { what: "one store cannot get its name", call: "rename", match: /etc-id/, code: "EIO", paths: ["/etc/id"] },
];

for (const { what, paths, ...rule } of failures) {
  test(`${what}: required fails and says why, degraded goes on in memory`, () => {
    const required = machine();
    required.failOn({ ...rule, times: 1 });
    const descriptors = required.openDescriptors();
    try {
      layState(required, everyKind);
      assert.unreachable("no error");
    } catch (error) {
      if (!(error instanceof StateFailure)) throw error;
      assert.is(error.path, paths[0]);
      assert.match(error.message, `state ${paths[0]} (app/state.yaml:3): `);
      assert.match(error.message, new RegExp(`${rule.code}; `));
    }
    assert.equal(required.openDescriptors(), descriptors, "a descriptor was left open");
    assert.equal(mountedAt(required), ["/run"]);
    const kernel = machine();
    kernel.failOn({ ...rule, times: 1 });
    const soft = everyKind.map((entry) => ({ ...entry, onFailure: "degraded" as const }));
    assert.equal(
      layState(kernel, soft).degraded.map(({ path }) => path),
      paths,
    );
    assert.equal(kernel.openDescriptors(), descriptors);
    wholeState(kernel, what);
    for (const path of paths) {
      const laid = kernel.mounts().filter((mount) => mount.startsWith(`/sysroot${path} `));
      assert.is(laid.length, 1, `only the tmpfs is left on ${path}: ${laid}`);
      assert.match(laid[0] ?? "", /tmpfs/);
    }
  });
}

test("golden trace of further variants", () => {
  const kernel = machine();
  assert.equal(layState(kernel, moreKinds), nothing);
  assert.is(kernel.peek("/run/deep/er/file"), "in memory\n");
  assert.is(kernel.peek("/sysroot/etc/conf"), "limited\n");
  assert.equal(mountedAt(kernel), ["/run", "/run/dev", "/run/deep/er/file"]);
  matchesGolden("state-more-kinds", kernel.trace);
});

test("a filesystem that knows no labels is a warning", () => {
  const kernel = machine();
  kernel.failOn({ call: "setAttribute", match: /security\.selinux/, code: "EOPNOTSUPP" });
  const { degraded, warnings } = layState(kernel, everyKind);
  assert.equal(degraded, []);
  assert.is(warnings.length, 5);
  for (const warning of warnings) assert.match(warning, /has no label system_u:.*does not know security\.selinux/);
  wholeState(kernel, "no labels");
});

test("a mask that cannot be laid fails the slot, for nothing weaker hides", () => {
  const soft = everyKind.map((entry) => ({ ...entry, onFailure: "degraded" as const }));
  for (const [path, match] of [
    ["/etc/secret", /memory\/etc-secret"/],
    ["/etc/secret.d", /mode=0000/],
  ] as const) {
    const kernel = machine();
    kernel.failOn({ call: "mount", match, code: "EPERM" });
    assert.throws(
      () => layState(kernel, soft),
      (error: unknown) => error instanceof StateFailure && error.path === path && /nothing weaker hides it/.test(error.message),
    );
    assert.equal(mountedAt(kernel), ["/run"]);
  }
});

/** How often each call is made in a boot of `laid`. */
function callsOf(laid: readonly Operator[]): Map<CallName, number> {
  const kernel = machine();
  kernel.recordReads();
  const counts = new Map<CallName, number>();
  const counting = new Proxy(kernel, {
    get(target, name) {
      const method: unknown = Reflect.get(target, name);
      if (typeof method !== "function") return method;
      return (...args: unknown[]): unknown => {
        for (const call of swept) if (call === name) counts.set(call, (counts.get(call) ?? 0) + 1);
        return Reflect.apply(method, target, args);
      };
    },
  });
  layState(counting, laid);
  return counts;
}

/** Calls that a data filesystem, an image or the memory can let fail. */
const swept: CallName[] = (
  "open read write sync syncFilesystem truncate copyRange status statusAt readDirectory readLink makeDirectory makeNode " +
  "makeSymlink rename remove changeOwner changeMode changeTimes listAttributes getAttribute setAttribute mount"
)
  .split(" ")
  .filter((name): name is CallName => name in machine());

for (const onFailure of ["required", "degraded"] as const) {
  test(`every single call fails once, ${onFailure}: a reason or a whole state, nothing left open or mounted`, () => {
    const laid = everyKind.map((entry) => ({ ...entry, onFailure }));
    const outcomes = { failed: 0, degraded: 0, whole: 0 };
    for (const [call, count] of callsOf(laid)) {
      for (let after = 0; after < count; after++) {
        const what = `${call} fails after ${after} of ${count}`;
        const kernel = machine();
        const descriptors = kernel.openDescriptors();
        // The test itself takes the data filesystem away.
        kernel.failOn({ call, code: "EIO", match: /^(?!rmdir\("\/run\/slipway\/data"\))/, after, times: 1 });
        try {
          const { degraded, warnings } = layState(kernel, laid);
          outcomes[degraded.length > 0 ? "degraded" : "whole"]++;
          if (onFailure === "required") assert.equal(degraded, [], what);
          if (warnings.length > 0) continue;
          wholeState(kernel, what);
        } catch (error) {
          outcomes.failed++;
          if (error instanceof StateFailure) assert.match(error.message, /state \/\S+ \(app\/state\.yaml:3\): .*EIO/, what);
          else if (!(error instanceof KernelError)) throw new Error(what, { cause: error });
          assert.equal(
            mountedAt(kernel).filter((path) => path !== place),
            ["/run"],
            what,
          );
        }
        const left = [...kernel.openDescriptors()].filter(([fd]) => !descriptors.has(fd)).map(([, path]) => path);
        assert.equal(
          left.filter((path) => !path.startsWith("(detached)") && path !== place && path !== "/sysroot"),
          [],
          `${what}: left open`,
        );
      }
    }
    const all = outcomes.failed + outcomes.degraded + outcomes.whole;
    assert.ok(all > 300, `only ${all} failures`);
    if (onFailure === "required") assert.ok(outcomes.failed > 250, JSON.stringify(outcomes));
    else assert.ok(outcomes.degraded > 150 && outcomes.failed < 60, JSON.stringify(outcomes));
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
        layState(kernel, everyKind);
        break;
      } catch (error) {
        if (!(error instanceof PowerCut)) throw error;
      }
      points++;
      const next = machine(disk);
      assert.equal(layState(next, everyKind), nothing, `after ${effects} effects`);
      wholeState(next, `after ${effects} effects`);
    }
    assert.ok(points > 120, `only ${points} points`);
  });
}

test("however many stores are new, two syncs make them durable; where none is, there is none", () => {
  const many = Array.from({ length: 30 }, (_, index) => operator(`/var/s${index}`, { seed: "none" }));
  const disk = newDisk();
  const syncs = (kernel: RecordingKernel) => kernel.trace.split("\n").filter((line) => /^(sync|fsync)/.test(line)).length;
  const first = machine(disk);
  layState(first, [operator("/var"), ...many]);
  assert.is(syncs(first), 2);
  const next = machine(disk);
  layState(next, [operator("/var"), ...many]);
  assert.is(syncs(next), 0);
});

test("calls that an operator costs", () => {
  const stores = (count: number) => Array.from({ length: count }, (_, index) => operator(`/var/s${index}`, { seed: "none" }));
  const total = (count: number): number => {
    const disk = newDisk();
    const laid = [operator("/var"), ...stores(count)];
    layState(machine(disk), laid);
    const kernel = machine(disk);
    kernel.recordReads();
    layState(kernel, laid);
    return kernel.trace.split("\n").length;
  };
  const each = (total(40) - total(20)) / 20;
  assert.ok(each <= 13, `${each} calls for a bind whose store is there`);
});

test("a slot whose state fails leaves no mount below /run, where the next slot lays its own", () => {
  const kernel = machine();
  const big = operator("/run/big", { ...ephemeral, via: "tmpfs", seed: "none", size: 65536 });
  const laid = [big, operator("/run/big/part", { ...ephemeral, via: "tmpfs", seed: "none", size: 4096 })];
  const link = file("/run/other", { ...ephemeral, via: "symlink", target: "/srv" });
  const before = mountedAt(kernel);
  assert.throws(() => layState(kernel, [...laid, link, operator("/missing")]), /\/missing does not exist in the image/);
  assert.equal(mountedAt(kernel), before);
  layState(kernel, [...laid, operator("/run/other", { ...ephemeral, via: "tmpfs", seed: "none" })]);
  assert.equal(mountedAt(kernel), [...before, "/run/big", "/run/big/part"]);
});

test("a directory below /run that fails is made again on /run itself, not in the image", () => {
  const kernel = machine();
  kernel.failOn({ call: "mount", match: /run\/big/, code: "ENOMEM" });
  const path = "/run/big";
  const words = { ...ephemeral, via: "tmpfs", seed: "none", size: 65536, onFailure: "degraded", mode: 0o700 } as const;
  const { degraded } = layState(kernel, [operator(path, words)]);
  assert.is(degraded[0]?.path, path);
  assert.is(kernel.statusAt(path).mode, 0o700);
});

test("the name of what is set aside fits the kernel's limit", () => {
  assert.is(replacedName("resolv.conf"), "resolv.conf.replaced");
  assert.is(replacedName("x".repeat(255)), `${"x".repeat(246)}.replaced`);
  const wide = replacedName("ö".repeat(127));
  assert.ok(Buffer.byteLength(wide) <= 255 && wide.endsWith("ö.replaced") && wide.isWellFormed());
});

test.run();
