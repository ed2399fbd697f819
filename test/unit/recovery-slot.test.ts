/** PID 1 makes a slot hold an image: partitions and files, repairs, disks that fail, and that nothing of it stays open. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { layoutOf } from "../../boot/image/seal.ts";
import { BLOCK } from "../../boot/image/verity.ts";
import { SourceNeeded } from "../../init/converge/carry-out.ts";
import { BadMedium } from "../../init/converge/converge.ts";
import { WriteFailed } from "../../init/converge/open-slot.ts";
import { readSourceSeal } from "../../init/converge/read-source-seal.ts";
import type { ImageSource } from "../../init/converge/source.ts";
import { findImages } from "../../init/recovery/find-images.ts";
import { type ImageToHold, makeSlotHold } from "../../init/recovery/make-slot-hold.ts";
import { DeviceFailure } from "../../init/sequence/devices.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import { DEFAULT_RECOVERY } from "../../state-ops/recovery.ts";
import { type SealedImage, sealedImage } from "../samples/sealed-image.ts";
import { failure } from "./channel-machine.ts";
import { filesystemOf, MemorySource } from "./converge-world.ts";
import { fileSlots } from "./file-worlds.ts";
import { type Image, MiB } from "./golden-machine.ts";
import { World, type WorldOptions } from "./golden-world.ts";
import { recoveryDesk, type TestDesk } from "./recovery-desk.ts";
import { release, signedControl } from "./sealed-world.ts";

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => from + index);

async function imageOf(tag: number, contents: readonly number[]): Promise<SealedImage & Image> {
  const made = await sealedImage(filesystemOf(tag, contents), [release], { system: "acme-gateway", version: `${tag}.0` });
  return { ...made, head: made.bytes, tree: {}, id: made.manifest.rootHash };
}

const v1 = await imageOf(1, range(1, 300));
const v2 = await imageOf(2, [...range(1, 250), ...range(900, 940)]);

function world(options: WorldOptions = {}): World {
  return new World({
    a: v1,
    b: null,
    ...options,
    control: { ...signedControl(), recovery: DEFAULT_RECOVERY, ...options.control },
  });
}

async function toHold(image: SealedImage, source: ImageSource | null): Promise<ImageToHold> {
  const { seal, layout } = await readSourceSeal(new MemorySource(image.bytes));
  return { seal, layout, source };
}

const never = (): void => {
  throw new Error("withdrawn");
};

/** Whether a slot is this image, with its footer at the slot's end. */
function holds(storage: { read(at: number, length: number): Uint8Array; size: number }, { bytes }: SealedImage): boolean {
  const body = bytes.subarray(0, bytes.length - BLOCK);
  const footer = bytes.subarray(bytes.length - BLOCK);
  return (
    Buffer.compare(storage.read(0, body.length), body) === 0 &&
    Buffer.compare(storage.read(storage.size - BLOCK, BLOCK), footer) === 0
  );
}

/** The image's footer lies at the end of its slot, as an install leaves it. */
function installed(storage: World["a"]["storage"], { bytes }: SealedImage): void {
  storage.write(bytes.length - BLOCK, new Uint8Array(BLOCK));
  storage.write(storage.size - BLOCK, bytes.subarray(bytes.length - BLOCK));
  storage.sync();
}

function spoil(storage: World["a"]["storage"], blocks: number[]): void {
  for (const block of blocks) storage.write(block * BLOCK + 100, new Uint8Array([1, 2, 3]));
  storage.sync();
}

function clean(desk: TestDesk): void {
  assert.equal(desk.held(), { mounts: [], open: [] });
}

test("an image goes into an empty slot: the other slot's blocks, the rest from the source; withdrawn before a byte is written", async () => {
  const machine = world();
  const desk = await recoveryDesk(machine);
  const source = new MemorySource(v2.bytes);
  let withdrawn = 0;
  const done = await makeSlotHold(desk, "b", await toHold(v2, source), () => {
    withdrawn++;
    assert.not.match(desk.kernel.trace, /^(p?write|pwrite64)\("\/dev\/vda3"/m);
  });
  assert.is(withdrawn, 1);
  assert.ok(holds(machine.b.storage, v2));
  assert.equal([done.changed, done.donors[0], done.source], [true, 249, 41]);
  assert.ok(desk.advances > 4);
  assert.match(desk.kernel.trace, /ioctl\("\/dev\/vda3", BLKROSET, \[0\]\)/);
  clean(desk);
});

test("a repair withdraws nothing and writes only what is damaged, from the other slot where there is no source", async () => {
  const machine = world({ b: v1 });
  spoil(machine.a.storage, [3, 40, 41]);
  const desk = await recoveryDesk(machine);
  const done = await makeSlotHold(desk, "a", await toHold(v1, null), never);
  assert.equal([done.changed, done.donors[0], done.source], [true, 3, 0]);
  assert.ok(holds(machine.a.storage, v1));
  clean(desk);
  const whole = await recoveryDesk(machine);
  assert.is((await makeSlotHold(whole, "a", await toHold(v1, null), never)).changed, false);
});

test("without a source it is said how many blocks are missing; then a source is asked for these alone", async () => {
  const machine = world();
  spoil(machine.a.storage, [3, 40, 41]);
  const desk = await recoveryDesk(machine);
  const error = await failure(makeSlotHold(desk, "a", await toHold(v1, null), never));
  assert.instance(error, SourceNeeded);
  assert.match(error.message, "3 blocks are in no other slot");
  clean(desk);
  const source = new MemorySource(v1.bytes);
  await makeSlotHold(desk, "a", await toHold(v1, source), never);
  assert.equal(source.given, [3, 40, 41]);
  assert.ok(holds(machine.a.storage, v1));
});

test("an image that was found in a slot asks no source of itself: its damaged blocks are missing", async () => {
  const machine = world();
  spoil(machine.a.storage, [7]);
  const desk = await recoveryDesk(machine);
  let seen = "";
  for await (const image of findImages(desk, { imageIds: [v1.id], except: [] })) {
    seen = image.name;
    const error = await failure(makeSlotHold(desk, "a", image, never));
    assert.match(error.message, "1 block is in no other slot");
  }
  assert.is(seen, "slot a");
  clean(desk);
});

test("a seal or a footer that is damaged: the slot's image is known all the same, and made whole", async () => {
  const { sealOffset } = layoutOf(v1.manifest);
  for (const [from, to] of [
    [sealOffset, sealOffset + BLOCK],
    [4 * MiB - BLOCK, 4 * MiB],
  ] as const) {
    const machine = world();
    const { storage } = machine.a;
    installed(storage, v1);
    storage.write(from, new Uint8Array(to - from));
    storage.sync();
    const desk = await recoveryDesk(machine);
    await makeSlotHold(desk, "a", await toHold(v1, new MemorySource(v1.bytes)), never);
    assert.ok(holds(storage, v1));
  }
});

test("blocks that the target's disk cannot read are written again", async () => {
  const machine = world({ b: v1 });
  installed(machine.a.storage, v1);
  const desk = await recoveryDesk(machine);
  // The disk refuses what is asked for together, then two blocks of it, until they are written.
  desk.kernel.failOn({ call: "read", match: /^read\("\/dev\/vda2", at 0x0\)/, code: "EIO", times: 2 });
  desk.kernel.failOn({ call: "read", match: /^read\("\/dev\/vda2", at 0x5000\)/, code: "EIO", times: 1 });
  const done = await makeSlotHold(desk, "a", await toHold(v1, null), never);
  assert.equal([done.changed, done.donors[0], done.source], [true, 2, 0]);
  assert.match(desk.kernel.trace, /write\("\/dev\/vda2".*0x5000/);
  assert.ok(holds(machine.a.storage, v1));
  clean(desk);
});

test("a block that still cannot be read once it was written is a disk that fails", async () => {
  const machine = world({ b: v1 });
  installed(machine.a.storage, v1);
  const desk = await recoveryDesk(machine);
  desk.kernel.failOn({ call: "read", match: /^read\("\/dev\/vda2", at 0x(0|5000)\)/, code: "EIO" });
  const error = await failure(makeSlotHold(desk, "a", await toHold(v1, null), never));
  assert.instance(error, BadMedium);
  assert.match(error.message, /^\/dev\/vda2: .*cannot be read \(EIO\).*the disk is failing/);
  clean(desk);
});

test("a donor with blocks that cannot be read gives the others", async () => {
  const machine = world();
  const desk = await recoveryDesk(machine);
  installed(machine.a.storage, v1);
  desk.kernel.failOn({ call: "read", match: /^read\("\/dev\/vda2", at 0x(0|5000)\)/, code: "EIO" });
  const source = new MemorySource(v1.bytes);
  const done = await makeSlotHold(desk, "b", await toHold(v1, source), () => {});
  assert.ok(done.changed && holds(machine.b.storage, v1));
  assert.equal(source.given, [0, 5]);
});

test("a target that cannot be written is named: gone, in use, read-only, failing, too small", async () => {
  const source = () => new MemorySource(v2.bytes);
  const fails = async (rule: Parameters<TestDesk["kernel"]["failOn"]>[0]) => {
    const desk = await recoveryDesk(world());
    desk.kernel.failOn(rule);
    const error = await failure(makeSlotHold(desk, "b", await toHold(v2, source()), () => {}));
    clean(desk);
    return error;
  };
  const used = await fails({ call: "open", match: /"\/dev\/vda3".*RDWR/, code: "EBUSY" });
  assert.instance(used, Refusal);
  assert.match(used.message, "slot b: /dev/vda3 cannot be opened (EBUSY)");
  const protectedDisk = await fails({ call: "ioctl", match: /BLKROSET/, code: "EACCES" });
  assert.instance(protectedDisk, DeviceFailure);
  assert.match(protectedDisk.message, "slot b: /dev/vda3 cannot be made writable (EACCES)");
  for (const call of ["write", "sync"] as const) {
    const failing = await fails({ call, match: /"\/dev\/vda3"/, code: "EIO" });
    assert.instance(failing, WriteFailed);
    assert.match(failing.message, /^\/dev\/vda3: .*failed \(EIO\); the disk is failing/);
  }
  const large = await imageOf(9, range(1, 1100));
  const desk = await recoveryDesk(world());
  const error = await failure(makeSlotHold(desk, "b", await toHold(large, new MemorySource(large.bytes)), never));
  assert.instance(error, Refusal);
  assert.match(error.message, /acme-gateway 9\.0 takes .* slot b has 4\.0 MiB/);
  clean(desk);
  const without = world();
  const missing = await recoveryDesk(without);
  missing.kernel.failOn({ call: "statusAt", match: /vda3/, code: "ENOENT" });
  assert.instance(await failure(makeSlotHold(missing, "b", await toHold(v2, source()), never)), DeviceFailure);
});

test("what failed half-way is gone on with: nothing is fetched twice", async () => {
  const machine = world({ a: null });
  const desk = await recoveryDesk(machine);
  const first = new MemorySource(v2.bytes);
  first.breaksAfter = v2.bytes.length / 2;
  assert.match((await failure(makeSlotHold(desk, "b", await toHold(v2, first), () => {}))).message, "broke off");
  clean(desk);
  const second = new MemorySource(v2.bytes);
  await makeSlotHold(await recoveryDesk(machine), "b", await toHold(v2, second), () => {});
  assert.ok(holds(machine.b.storage, v2));
  // But for those of the superblock, which are written last.
  const twice = second.given.filter((block) => first.given.includes(block) && block !== 0 && block !== 16);
  assert.ok(twice.length < 20, `${twice.length} of ${first.given.length}`);
});

test("a step that is given up ends with the reason, what has come is kept, and nothing stays open", async () => {
  const machine = world({ a: null });
  const desk = await recoveryDesk(machine);
  const source = new MemorySource(v2.bytes);
  const fetch = source.fetch.bind(source);
  source.fetch = async (ranges, sink) => {
    await fetch(ranges, sink);
    desk.abort();
  };
  assert.is((await failure(makeSlotHold(desk, "b", await toHold(v2, source), () => {}))).message, "nothing moved");
  clean(desk);
});

test("a slot that is a file: made, filled, used as a donor, repaired; the data filesystem is let go of", async () => {
  const machine = world({ control: { ...signedControl(), recovery: DEFAULT_RECOVERY, slots: fileSlots }, data: {} });
  const desk = await recoveryDesk(machine);
  await makeSlotHold(desk, "c", await toHold(v2, new MemorySource(v2.bytes)), () => {});
  clean(desk);
  const again = await recoveryDesk(machine);
  assert.is((await makeSlotHold(again, "c", await toHold(v2, null), never)).changed, false);
  const donated = await makeSlotHold(again, "b", await toHold(v2, null), () => {});
  assert.is(donated.source, 0);
  assert.ok(holds(machine.b.storage, v2));
  clean(again);
});

test("a slot's file that is too small, or out of reach, is refused, and not made", async () => {
  const slots = fileSlots.map((slot) => ("file" in slot ? { ...slot, size: MiB } : slot));
  const machine = world({ control: { ...signedControl(), recovery: DEFAULT_RECOVERY, slots }, data: {} });
  const small = await recoveryDesk(machine);
  const error = await failure(makeSlotHold(small, "d", await toHold(v2, new MemorySource(v2.bytes)), never));
  assert.match(error.message, /takes .*slot d has 1\.0 MiB/);
  assert.not.match(small.kernel.trace, /d\.img.*CREAT/);
  clean(small);
  const gone = world({ control: { ...signedControl(), recovery: DEFAULT_RECOVERY, slots: fileSlots }, data: null });
  const desk = await recoveryDesk(gone);
  const missing = await failure(makeSlotHold(desk, "c", await toHold(v2, new MemorySource(v2.bytes)), never));
  assert.instance(missing, DeviceFailure);
  assert.match(missing.message, /images\/c\.img is out of reach, since there is no data filesystem/);
  clean(desk);
});

test.run();
