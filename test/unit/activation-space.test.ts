import { test } from "uvu";
import * as assert from "uvu/assert";
import { activateSlot } from "../../init/commands/activate.ts";
import { link, type Tree } from "../../init/kernel/recording/memory-tree.ts";
import { formatComplete, formatMeta } from "../../state-ops/layout.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import { sampleOperator } from "../samples/operator.ts";
import { IMAGE_A, type MachineOptions, report, TestMachine } from "./commands-machine.ts";
import { controlFile, image, MiB } from "./golden-machine.ts";

function refuses(run: () => unknown, words: RegExp): void {
  assert.throws(run, (error: unknown) => error instanceof Refusal && words.test(error.message));
}

/** The data filesystem with a generation of slot a that holds `bytes` in a store and as many in a cache. */
function stateOf(bytes: number): Tree {
  const meta = formatMeta({
    schema: 1,
    number: 4,
    parent: null,
    imageId: IMAGE_A,
    slot: "a",
    controlDigest: "sha256:c",
    attempt: 1,
  });
  const generation = { "meta.json": meta, COMPLETE: formatComplete({ "meta.json": meta }), ovl: {} };
  const stores = { var: { file: "x".repeat(bytes) }, cache: { file: "x".repeat(bytes) } };
  return { gens: { "000004": { ...generation, tree: stores } }, slots: { a: link("../gens/000004") } };
}

const caching = { "usr/lib/slipway/control.json": controlFile({ operators: [sampleOperator("/cache", { cache: true })] }).text };

test("activate refuses beforehand where the first boot could not clone the state", () => {
  const full = new TestMachine({ slotB: image(3).head, data: stateOf(40 * MiB) });
  const statfs = full.kernel.filesystemStatus.bind(full.kernel);
  full.kernel.filesystemStatus = (fd) => ({ ...statfs(fd), blockSize: 4096, available: 2560n });
  const before = full.stored();
  const wanted =
    /slot b is not activated: its first boot clones generation 000004, which needs 84 MiB, and 10 MiB are free; run "slipway state gc"/;
  refuses(() => activateSlot(full.kernel, full.places, "b"), wanted);
  assert.equal(full.stored(), before);
  assert.is(full.kernel.mounts().filter((line) => line.includes("/dev/vda4")).length, 0);
});

test("activate does not count what is not cloned, nor where nothing is", () => {
  const small = (options: MachineOptions) => {
    const machine = new TestMachine({ slotB: image(3).head, data: stateOf(4 * MiB), ...options });
    const statfs = machine.kernel.filesystemStatus.bind(machine.kernel);
    machine.kernel.filesystemStatus = (fd) => ({ ...statfs(fd), blockSize: 4096, available: 2560n });
    return machine;
  };
  const fails = small({});
  refuses(() => activateSlot(fails.kernel, fails.places, "b"), /needs 12 MiB/);
  const cached = small({ root: caching });
  assert.is(activateSlot(cached.kernel, cached.places, "b").changed, true, "8 MiB without the cache");
  const empty = small({ data: {} });
  assert.is(activateSlot(empty.kernel, empty.places, "b").changed, true, "there is no state to clone");
  const stateless = small({ report: report({ data: null }) });
  assert.is(activateSlot(stateless.kernel, stateless.places, "b").changed, true, "this boot keeps no state");
});

test("activate warns where the space cannot be seen", () => {
  const machine = new TestMachine({ slotB: image(3).head, data: stateOf(1) });
  machine.kernel.failOn({ call: "mount", match: /vda4/, code: "EIO" });
  const answer = activateSlot(machine.kernel, machine.places, "b");
  assert.is(answer.changed, true);
  assert.match(answer.warnings.join(), /whether the state fits a second time cannot be seen: .*EIO/);
});

test.run();
