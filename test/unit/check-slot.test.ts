import { test } from "uvu";
import * as assert from "uvu/assert";
import { layoutOf, type Manifest } from "../../boot/image/seal.ts";
import { BLOCK } from "../../boot/image/verity.ts";
import { type CheckStep, checkSlot, type DamagedBlock, damageText, openRaw } from "../../init/image/check-slot.ts";
import { KernelError } from "../../init/kernel/kernel.ts";
import { BlockDevice } from "../../init/kernel/recording/memory-devices.ts";
import { RecordingKernel } from "../../init/kernel/recording/recording.ts";
import type { FailureRule } from "../../init/kernel/recording/script.ts";
import { sealedImage } from "../samples/sealed-image.ts";

/** Of 33,000 blocks, so that the leaves fill more than one piece and the tree has two levels above them. */
const DATA_BLOCKS = 33_000;
const content = new Uint8Array(DATA_BLOCKS * BLOCK);
for (let block = 0; block < DATA_BLOCKS; block++) content.fill(block % 251, block * BLOCK, (block + 1) * BLOCK);
const image = await sealedImage(content);
const { treeOffset } = layoutOf(image.manifest);

interface Slot {
  device: BlockDevice;
  steps(fail?: FailureRule[], manifest?: Manifest): CheckStep[];
}

function slot(bytes = image.bytes): Slot {
  const device = new BlockDevice({ path: "/dev/vdb", number: { major: 254, minor: 16 }, contents: bytes });
  return {
    device,
    steps(fail, manifest = image.manifest) {
      const kernel = new RecordingKernel();
      kernel.addDevice(device);
      for (const rule of fail ?? []) kernel.failOn(rule);
      const fd = openRaw(kernel, device.path);
      try {
        return [...checkSlot(kernel, fd, manifest)];
      } finally {
        kernel.close(fd);
      }
    },
  };
}

const damageOf = (steps: CheckStep[]): DamagedBlock[] => steps.flatMap(({ damaged }) => damaged);

test("a whole image: nothing is damaged, and everything was read, in steps", () => {
  const steps = slot().steps();
  assert.equal(damageOf(steps), []);
  assert.is(steps.at(-1)?.done, steps.at(-1)?.total);
  assert.is(steps.at(-1)?.total, (DATA_BLOCKS + 258 + 3 + 1) * BLOCK);
  assert.ok(steps.length > DATA_BLOCKS / 256, `${steps.length} steps`);
});

test("one flipped bit in any block of the data is found, and just that", () => {
  const altered = slot();
  const blocks = [0, 1, 127, 128, 255, 256, 32_767, 32_768, DATA_BLOCKS - 1];
  for (const block of blocks) {
    const byte = altered.device.storage.read(block * BLOCK + 4095, 1);
    altered.device.storage.write(block * BLOCK + 4095, new Uint8Array([(byte[0] ?? 0) ^ 1]));
  }
  assert.equal(
    damageOf(altered.steps()),
    blocks.map((block) => ({ part: "data", block, error: null })),
  );
});

test("a damaged leaf takes its 128 data blocks along, a damaged top everything", () => {
  const leaf = slot();
  leaf.device.storage.write(treeOffset + (4 + 257) * BLOCK + 5, new Uint8Array([77]));
  const found = damageOf(leaf.steps());
  assert.equal(found[0], { part: "tree", block: 4 + 257, error: null });
  assert.equal(
    found.slice(1).map(({ part, block }) => `${part} ${block}`),
    Array.from({ length: DATA_BLOCKS - 257 * 128 }, (_, index) => `data ${257 * 128 + index}`),
  );
  const top = slot();
  top.device.storage.write(treeOffset, new Uint8Array([77]));
  assert.is(damageOf(top.steps()).length, DATA_BLOCKS + 262);
});

test("a tree that is right for other data proves nothing", async () => {
  const other = await sealedImage(content.slice().fill(9, 0, 10));
  const found = damageOf(slot(other.bytes).steps());
  assert.equal(found[0], { part: "tree", block: 0, error: null });
});

test("a block that cannot be read is told with its error; its neighbours are read", () => {
  const steps = slot().steps([
    { call: "read", match: /at 0x100000\)/, code: "EIO", times: 1 },
    { call: "read", match: /at 0x101000\)/, code: "ENODATA" },
  ]);
  assert.equal(damageOf(steps), [{ part: "data", block: 257, error: "ENODATA" }]);
  assert.is(steps.at(-1)?.done, steps.at(-1)?.total);
});

test("a device that is gone is no damage, and one that is too short is", () => {
  assert.throws(
    () => slot().steps([{ call: "read", code: "ENXIO", after: 3 }]),
    (error: unknown) => error instanceof KernelError,
  );
  const short = slot(image.bytes.subarray(0, 4 * BLOCK));
  assert.is(damageOf(short.steps())[0]?.part, "tree");
});

test("what lies where O_DIRECT is refused is read all the same", () => {
  const kernel = new RecordingKernel();
  kernel.addDevice(slot().device);
  kernel.failOn({ call: "open", match: /O_DIRECT/, code: "EINVAL" });
  const fd = openRaw(kernel, "/dev/vdb");
  assert.equal(damageOf([...checkSlot(kernel, fd, image.manifest)]), []);
});

test("damage for people", () => {
  assert.is(damageText({ part: "data", block: 7, error: null }), "block 7 of the data (byte 28672) is not the image's");
  assert.is(damageText({ part: "tree", block: 2, error: "EIO" }), "block 2 of the hash tree cannot be read (EIO)");
});

test.run();
