/**
 * Nothing grows worse than its input: kernel calls, which are the same at every run, of a machine with ten times as many
 * operators, disks or files.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { parseReference } from "../../boot/devices/reference.ts";
import type { Wanted } from "../../boot/devices/resolve.ts";
import { imageDirectory } from "../../init/builder/state/image-directory.ts";
import { compareTrees } from "../../init/commands/state/compare-tree.ts";
import { measure } from "../../init/commands/state/walk.ts";
import { waitForDevices } from "../../init/devices/wait.ts";
import { MS, O } from "../../init/kernel/constants.ts";
import { BlockDevice } from "../../init/kernel/recording/memory-devices.ts";
import type { Tree } from "../../init/kernel/recording/memory-tree.ts";
import { RecordingKernel } from "../../init/kernel/recording/recording.ts";
import { applyState } from "../../init/state/apply.ts";
import { cloneTree } from "../../init/state/clone-tree.ts";
import { removeTree } from "../../init/state/remove-tree.ts";
import { countingKernel } from "../../scripts/bench/scale/counting-kernel.ts";
import type { Operator } from "../../state-ops/control.ts";
import type { ImageTree } from "../../state-ops/image-tree.ts";
import { planState } from "../../state-ops/state-plan.ts";
import { compileTexts, fragment } from "../samples/compile.ts";
import { sampleOperator } from "../samples/operator.ts";

const MiB = 1024 * 1024;

/** Throws where one more costs more among many than among few; what any number costs does not hide it. */
function growsNoWorse(what: string, costs: readonly (readonly [input: number, calls: number])[]): void {
  const each = costs.flatMap(([input, calls], index) => {
    const before = costs[index - 1];
    return before === undefined ? [] : [(calls - before[1]) / (input - before[0])];
  });
  const told = costs.map(([input, calls]) => `${input}: ${calls}`).join(", ");
  for (const [index, cost] of each.entries()) assert.ok(cost <= (each[index - 1] ?? cost) * 1.02, `${what}: ${told}`);
}

/** Of every way to lay an operator, in turn, below a directory that is one itself, and beside it. */
const kinds: readonly Partial<Operator>[] = [
  {},
  { via: "overlay" },
  { state: "ephemeral", via: "tmpfs" },
  { state: "ephemeral", via: "overlay" },
  { state: "shared" },
  { kind: "file", seed: "none", state: "identity" },
  { kind: "file", seed: "none", state: "ephemeral", via: "tmpfs" },
  { state: null, via: "mask" },
];

function operatorsOf(count: number): Operator[] {
  const all = Array.from({ length: count }, (_, index) => {
    const top = index % 2 === 0 ? "/srv" : "/opt";
    return sampleOperator(`${top}/${String(index).padStart(5, "0")}`, kinds[index % kinds.length]);
  });
  return [sampleOperator("/srv"), ...all].sort((left, right) => (left.path < right.path ? -1 : 1));
}

/** Calls of laying `count` operators, at the first boot and at the next. */
function callsOfState(count: number): [first: number, next: number] {
  const operators = operatorsOf(count);
  const image: Tree = { srv: {}, opt: {} };
  for (const { path, kind } of operators) if (path !== "/srv") image[path.slice(1)] = kind === "file" ? "" : {};
  const layout = { "gens/000001": { tree: {}, ovl: {} }, shared: {}, slots: {}, trash: {}, work: {} };
  const filesystem = { type: "ext4", tree: layout };
  const disk = new BlockDevice({ path: "/dev/vda3", number: { major: 252, minor: 3 }, size: 8 * MiB, filesystem });
  const boot = (): number => {
    const recording = new RecordingKernel({ initramfs: { sysroot: {}, run: {}, data: {} } });
    recording.addDevice({
      ...{ path: "/dev/vda2", number: { major: 252, minor: 2 }, size: MiB },
      filesystem: { type: "erofs", tree: image },
    });
    recording.addDevice(disk);
    recording.mount("tmpfs", "/run", "tmpfs", 6, "mode=0755");
    recording.mount("/dev/vda2", "/sysroot", "erofs", MS.RDONLY, "");
    recording.mount("/dev/vda3", "/data", "ext4", 0, "");
    const { kernel, calls } = countingKernel(recording);
    const [newRoot, data] = [kernel.open("/sysroot", O.DIRECTORY), kernel.open("/data", O.DIRECTORY)];
    const steps = planState(operators, { generation: "gens/000001" });
    assert.equal(applyState(kernel, { steps, newRoot, data, onProgress: () => {} }), { degraded: [], warnings: [] });
    return calls();
  };
  return [boot(), boot()];
}

test("operators: kernel calls of laying them", () => {
  const sizes = [10, 100, 1000];
  const costs = sizes.map((size) => [size, callsOfState(size)] as const);
  growsNoWorse(
    "first boot",
    costs.map(([size, [first]]) => [size, first]),
  );
  growsNoWorse(
    "next boot",
    costs.map(([size, [, next]]) => [size, next]),
  );
});

test("operators: how often compiling them looks at the image", () => {
  const costs = [10, 100, 1000].map((count): [number, number] => {
    let looks = 0;
    const image: ImageTree = {
      look: (path) => {
        looks++;
        return { kind: "directory", target: null, empty: path.startsWith("/srv/") };
      },
      text: () => {
        looks++;
        return null;
      },
      place: (path) => path,
      files: () => {
        looks++;
        return [];
      },
    };
    const operators = Array.from({ length: count }, (_, index) => `path: /srv/${index}, state: persistent, via: bind`);
    const { control } = compileTexts({ fragments: { "x.yaml": fragment(operators) }, image });
    assert.is(control.operators.length, count);
    return [count, looks];
  });
  growsNoWorse("looks", costs);
});

test("files: kernel calls of cloning, measuring, comparing and deleting them", () => {
  const sizes = [10, 100, 1000];
  const costs = sizes.map((count) => {
    const files: Tree = {};
    for (let index = 0; index < count; index++) files[`${index % 10}/${index}`] = `content of ${index}`;
    const { kernel, calls } = countingKernel(new RecordingKernel({ initramfs: { from: files, image: files } }));
    const root = kernel.open("/", O.DIRECTORY);
    const [from, image] = [kernel.open("/from", O.DIRECTORY), kernel.open("/image", O.DIRECTORY)];
    const cost = (work: () => void): number => {
      const before = calls();
      work();
      return calls() - before;
    };
    const cloning = { onProgress: () => {}, dropOptionalAttributes: false };
    return {
      count,
      cloned: cost(() => cloneTree(kernel, { at: root, name: "from" }, { at: root, name: "to" }, cloning)),
      measured: cost(() => assert.is(measure(kernel, root, "to").files, count)),
      compared: cost(() => {
        const order = { store: from, image, overlay: false, nested: new Set<string>() };
        assert.equal(compareTrees(kernel, order).differences, []);
      }),
      deleted: cost(() => removeTree(kernel, root, "to", () => {})),
    };
  });
  for (const what of ["cloned", "measured", "compared", "deleted"] as const)
    growsNoWorse(
      what,
      costs.map((cost) => [cost.count, cost[what]]),
    );
});

test("what is in an image's directory is looked at where it is asked for: a thousand operators may lie in it", () => {
  const root = mkdtempSync(`${tmpdir()}/slipway-growth-`);
  try {
    mkdirSync(`${root}/srv`);
    const image = imageDirectory(root);
    const [first, second] = [image.look("/srv"), image.look("/srv")];
    assert.is(first?.empty, true);
    writeFileSync(`${root}/srv/file`, "");
    assert.is(second?.empty, false);
    rmSync(`${root}/srv`, { recursive: true });
    assert.throws(() => second?.empty, /srv cannot be read: /);
  } finally {
    rmSync(root, { recursive: true });
  }
});

const wanted: Wanted = {
  disk: null,
  record: parseReference("PARTLABEL=boot-record"),
  others: new Map([["a", parseReference("PARTLABEL=root-a")]]),
};

/** A machine with `count` disks of as many partitions; all are there at once, or each a tenth of a second after the other. */
function machineOf(count: number, apart: number): RecordingKernel {
  const partitions = 32;
  const recording = new RecordingKernel({ stepMs: 0.001 });
  for (let disk = 0; disk < count; disk++) {
    const path = `/dev/sd${disk}p`;
    const at = apart === 0 ? [] : [1000 + (disk + 1) * apart];
    const whole = recording.addDevice({ path, number: { major: 300 + disk, minor: 0 }, size: 64 * MiB }, ...at);
    for (let number = 1; number <= partitions; number++) {
      const isOurs = disk === count - 1 && number <= 2;
      const label = isOurs ? ["boot-record", "root-a"][number - 1] : `other-${number}`;
      const partition = { of: whole, number, start: number * MiB, ...(label === undefined ? {} : { label }) };
      recording.addDevice(
        { path: `${path}${number}`, number: { major: 300 + disk, minor: number }, size: MiB, partition },
        ...at,
      );
    }
  }
  return recording;
}

/** Calls of finding the record on the last disk, and a slot by `by` on it. */
async function callsOfWait(count: number, apart: number, slot: string): Promise<number> {
  const { kernel, calls } = countingKernel(machineOf(count, apart));
  const others = new Map([["a", parseReference(slot)]]);
  const options = { timeoutSeconds: 30, readRecordCondition: () => "valid" as const, modules: null, onIdle: () => {} };
  const found = await waitForDevices(kernel, { ...wanted, others }, options);
  assert.ok("found" in found.record && found.record.found.partlabel === "boot-record");
  return calls();
}

for (const [how, apart] of [
  ["all there at once", 0],
  ["one after the other", 100],
] as const) {
  test(`disks with 32 partitions each, ${how}: kernel calls until ours is found`, async () => {
    const costs: [number, number][] = [];
    for (const count of [4, 8, 32]) costs.push([count, await callsOfWait(count, apart, "PARTLABEL=root-a")]);
    growsNoWorse(how, costs);
  });
}

test("disks with 32 partitions each, whose tables and superblocks are read, one after the other", async () => {
  const costs: [number, number][] = [];
  for (const count of [4, 8, 32]) {
    const { kernel, calls } = countingKernel(machineOf(count, 100));
    const others = new Map([
      ["a", parseReference("PARTUUID=00000000-01")],
      ["b", parseReference("LABEL=none")],
    ]);
    const readRecordCondition = () => "valid" as const;
    const options = { timeoutSeconds: 5, readRecordCondition, modules: null, onIdle: () => {} };
    const found = await waitForDevices(kernel, { ...wanted, others }, options);
    assert.ok("missing" in (found.others.get("b") ?? {}));
    costs.push([count, calls()]);
  }
  growsNoWorse("tables and superblocks", costs);
});

test.run();
