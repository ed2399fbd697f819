/** slipway install and repair on a machine in memory: what they refuse, what they write, what they say. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { BLOCK } from "../../boot/image/verity.ts";
import type { BootRecord } from "../../boot/record/record.ts";
import { type InstallOrder, install } from "../../init/commands/install.ts";
import { repair } from "../../init/commands/repair.ts";
import { rollback } from "../../init/commands/rollback.ts";
import { FileSource, openToRead } from "../../init/converge/file-source.ts";
import type { ImageSource } from "../../init/converge/source.ts";
import { IOCTL, O } from "../../init/kernel/constants.ts";
import { withOpen } from "../../init/kernel/files.ts";
import { KernelError } from "../../init/kernel/kernel.ts";
import { BadInput, Refusal } from "../../state-ops/outcome.ts";
import { type SealedImage, sealedImage, testKey } from "../samples/sealed-image.ts";
import { putImage, sealedMachine, trusting } from "./channel-machine.ts";
import { slot, TestMachine, trialOfB } from "./commands-machine.ts";
import { filesystemOf, MemorySource } from "./converge-world.ts";
import { controlFile } from "./golden-machine.ts";

const [key, stranger] = [await testKey(), await testKey()];
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => from + index);
const make = (tag: number, contents: number[], change = {}, keys = [key]) =>
  sealedImage(filesystemOf(tag, contents), keys, { version: `${tag}.0`, ...change });
const v1 = await make(1, range(1, 60));
const v2 = await make(2, [...range(1, 30), 500, ...range(30, 60)]);

function machineOf(change: Partial<BootRecord> = {}, options = {}): TestMachine {
  return sealedMachine(v1, { control: trusting([key]), ...options }, change);
}

function run(machine: TestMachine, source: ImageSource, change: Partial<InstallOrder> = {}) {
  const order = { source, slot: null, dryRun: false, retry: false, telling: "lines" as const };
  return install(machine.kernel, machine.places, { ...order, ...change });
}

const sourceOf = ({ bytes }: SealedImage) => new MemorySource(bytes);

async function refusal(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  assert.instance(error, Refusal);
  return error instanceof Error ? error.message : "";
}

const slotB = ({ kernel }: TestMachine) => withOpen(kernel, "/dev/vda3", O.RDONLY, (fd) => kernel.read(fd, 4 * 1024 * 1024, 0n));

function holds(machine: TestMachine, { bytes }: SealedImage): boolean {
  const there = Buffer.from(slotB(machine));
  return (
    there.subarray(0, bytes.length - BLOCK).equals(bytes.subarray(0, -BLOCK)) &&
    there.subarray(-BLOCK).equals(bytes.subarray(-BLOCK))
  );
}

test("install: the other slot holds the image, from the running slot and the source, and is tried next", async () => {
  const machine = machineOf();
  const source = sourceOf(v2);
  const answer = await run(machine, source);
  assert.ok(holds(machine, v2));
  assert.equal([answer.slot, answer.changed], ["b", true]);
  assert.match(answer.did.at(-1) ?? "", /^The next boot is slot b, on trial with 3 tries\.$/);
  assert.equal(answer.image, { version: "2.0", imageId: v2.manifest.rootHash, size: v2.bytes.length });
  assert.equal(answer.bytes?.donorBytes, { a: 59 * BLOCK });
  assert.is(answer.bytes?.sourceBytes, 2 * BLOCK);
  const { state, tries, imageId, priority } = machine.slot("b");
  assert.equal({ state, tries, imageId, priority }, { state: "trial", tries: 3, imageId: v2.manifest.rootHash, priority: 2 });
});

test("install: nothing of the slot is written before the record says that nothing boots from it", async () => {
  const machine = machineOf();
  await run(machine, sourceOf(v2));
  const writes = machine.kernel.trace.split("\n").filter((line) => /^write\("\/dev\/vda[13]"/.test(line));
  assert.match(writes[0] ?? "", /vda1/);
  assert.match(writes[1] ?? "", /vda3/);
  assert.match(writes.at(-1) ?? "", /vda1/);
  assert.is(writes.filter((line) => line.includes("vda1")).length, 2, "withdrawn, and given tries");
});

test("install --dry-run: the same numbers, and nothing is written", async () => {
  const machine = machineOf();
  const before = slotB(machine);
  machine.kernel.beginTrace();
  const planned = await run(machine, sourceOf(v2), { dryRun: true });
  assert.not.match(machine.kernel.trace, /^write\("\/dev\/vda/m);
  assert.equal(slotB(machine), before);
  assert.is(planned.changed, false);
  const done = await run(machine, sourceOf(v2));
  assert.equal(done.bytes, planned.bytes);
});

test("install twice: the second time nothing is written", async () => {
  const machine = machineOf();
  await run(machine, sourceOf(v2));
  machine.kernel.beginTrace();
  const again = await run(machine, sourceOf(v2));
  assert.is(again.changed, false);
  assert.match(again.did[0] ?? "", /already, whole: nothing was written/);
  assert.not.match(machine.kernel.trace, /^write\("\/dev\/vda/m);
});

test("install of what runs: nothing to do, unless the slot is named", async () => {
  const machine = machineOf();
  const answer = await run(machine, sourceOf(v1));
  assert.equal([answer.slot, answer.changed, answer.next], ["a", false, "nothing to do."]);
  const copied = await run(machine, sourceOf(v1), { slot: "b" });
  assert.is(copied.bytes?.sourceBytes, 0);
  assert.ok(holds(machine, v1));
});

test("install: the image that was committed in the slot is armed as it was", async () => {
  const committed = {
    a: slot({ priority: 2, imageId: v1.manifest.rootHash }),
    b: slot({ imageId: v2.manifest.rootHash, tries: 0 }),
  };
  const machine = machineOf({ slots: committed });
  putImage(machine, "/dev/vda3", v2.bytes);
  const answer = await run(machine, sourceOf(v2));
  assert.match(answer.did.at(-1) ?? "", /as a committed slot with 10 tries/);
  assert.equal(machine.slot("b").state, "committed");
});

test("install, repair: a slot with a hash tree of its own is refused, and nothing is written", async () => {
  const slots = [
    { name: "a", device: "PARTLABEL=root-a" },
    { name: "b", device: "PARTLABEL=root-b", verity: "PARTLABEL=root-b-verity", signature: "PARTLABEL=root-b-verity-sig" },
  ];
  const machine = machineOf({}, { control: { ...trusting([key]), slots } });
  const before = slotB(machine);
  const writes = machine.recordWrites;
  machine.kernel.beginTrace();
  const reason = /slot b is partitions of the Discoverable Partitions Specification .*, which slipway boots and does not write/;
  assert.match(await refusal(run(machine, sourceOf(v2))), reason);
  assert.match(await refusal(run(machine, sourceOf(v2), { slot: "b", dryRun: true })), reason);
  assert.match(await refusal(mend(machine, sourceOf(v2))), reason);
  assert.not.match(machine.kernel.trace, /^write\("\/dev\/vda/m);
  assert.equal(slotB(machine), before);
  assert.is(machine.recordWrites, writes);
});

const pendingB = slot({ state: "trial", tries: 3, priority: 3, imageId: "ef".repeat(32) });

test("refused before anything is written, each with its reason", async () => {
  const foreign = await make(2, range(1, 60), { system: "other" });
  const unsigned = await make(2, range(1, 60), {}, []);
  const strangers = await make(2, range(1, 60), {}, [stranger]);
  const needy = await make(2, range(1, 60), { needs: { controlFormat: 2, features: [] } });
  const large = await make(2, range(1, 1100));
  const quarantined = [{ imageId: v2.manifest.rootHash, reason: "trial used up without a commit", attempt: 3 }];
  const three = [..."abc"].map((name, index) => ({ name, device: `PARTLABEL=${["root-a", "root-b", "sys-data"][index]}` }));
  for (const [image, change, order, options, expected] of [
    [foreign, {}, {}, {}, /is for the system other, this machine is acme/],
    [unsigned, {}, {}, {}, /the seal is not signed, and must be by 1 of 1 trusted keys/],
    [strangers, {}, {}, {}, /the seal is signed by 0 trusted keys; not trusted/],
    [needy, {}, {}, {}, /control file format 2, this initrd reads 1/],
    [large, {}, {}, {}, /takes 4\.3 MiB .* slot b has 4\.0 MiB/],
    [v2, { floors: { install: 1, boot: 0 } }, {}, {}, /rollback index 0, this machine takes none below 1/],
    [v2, { quarantined }, {}, {}, /quarantined since attempt 3/],
    [v2, {}, { slot: "a" }, {}, /slot a is the running one and is never written/],
    [
      v2,
      { slots: { a: slot({ priority: 2, state: "trial", tries: 2, imageId: v1.manifest.rootHash }), b: slot() } },
      {},
      {},
      /the running slot a is on trial, slot b is its fallback/,
    ],
    [
      v2,
      {
        slots: {
          a: slot({ priority: 2, imageId: v1.manifest.rootHash }),
          b: pendingB,
          c: slot({ ...pendingB, state: "empty", tries: 0, priority: 1 }),
        },
      },
      { slot: "c" },
      { control: { ...trusting([key]), slots: three } },
      /slot b waits for its trial; reboot into it, or run "slipway mark-bad b"/,
    ],
  ] as const) {
    const machine = machineOf(change, options);
    const before = [slotB(machine), JSON.stringify(machine.record())];
    for (const dryRun of [true, false]) {
      assert.match(await refusal(run(machine, sourceOf(image), { ...order, dryRun })), expected);
      assert.equal([slotB(machine), JSON.stringify(machine.record())], before, String(expected));
    }
  }
  const error = await run(machineOf(), sourceOf(v2), { slot: "z" }).catch((thrown: unknown) => thrown);
  assert.instance(error, BadInput);
});

test("a quarantined image with --retry: installed, and its quarantine is forgotten", async () => {
  const quarantined = [{ imageId: v2.manifest.rootHash, reason: "trial used up without a commit", attempt: 3 }];
  const machine = machineOf({ quarantined });
  await run(machine, sourceOf(v2), { retry: true });
  assert.equal(machine.record().quarantined, []);
  assert.ok(holds(machine, v2));
});

test("a slot that is in use, write-protected or gone", async () => {
  for (const [code, expected] of [
    ["EBUSY", /cannot be opened \(EBUSY\); it is mounted or in use: unmount it/],
    ["EROFS", /cannot be opened \(EROFS\); is it set read-only/],
    ["ENXIO", /cannot be opened \(ENXIO\); is the disk still there/],
  ] as const) {
    const machine = machineOf();
    machine.kernel.failOn({ call: "open", match: /vda3.*RDWR/, code });
    assert.match(await refusal(run(machine, sourceOf(v2))), expected);
    assert.is(machine.recordWrites, 0);
  }
});

test("a slot's file that is smaller than declared: not grown for an image that is refused, and large enough for others", async () => {
  const { slots } = controlFile().control;
  const file = { name: "c", file: "images/c.img", size: 384 * BLOCK };
  const control = { ...trusting([key]), slots: [...slots, file] };
  const c = slot({ state: "empty", tries: 0, imageId: null, priority: 1 });
  const known = { a: slot({ priority: 3, imageId: v1.manifest.rootHash }), b: slot({ priority: 2 }), c };
  const data = { images: { "c.img": new Uint8Array(256 * BLOCK) } };
  const machine = machineOf({ slots: known }, { control, data });
  machine.kernel.beginTrace();
  for (const dryRun of [true, false]) {
    const large = sourceOf(await make(3, range(1, 500)));
    assert.match(await refusal(run(machine, large, { slot: "c", dryRun })), /slot c has 1\.5 MiB \(1572864\)/);
  }
  assert.not.match(machine.kernel.trace, /^allocate/m);
  const fits = await make(3, range(1, 300));
  assert.is((await run(machine, sourceOf(fits), { slot: "c", dryRun: true })).slot, "c");
  assert.is((await run(machine, sourceOf(fits), { slot: "c" })).changed, true);
  assert.match(machine.kernel.trace, /^allocate/m);
});

test("one install at a time; a dry run may look meanwhile", async () => {
  const machine = machineOf();
  const held = machine.kernel.open(machine.places.installLock, O.RDWR | O.CREAT);
  machine.kernel.lock(held);
  machine.kernel.write(held, new TextEncoder().encode("slipway repair (process 77)\n"), 0n);
  assert.match(await refusal(run(machine, sourceOf(v2))), /slipway repair \(process 77\) is under way/);
  await run(machine, sourceOf(v2), { dryRun: true });
  const broken = damaged([5]);
  const busy = broken.kernel.open(broken.places.installLock, O.RDWR | O.CREAT);
  broken.kernel.lock(busy);
  assert.match(await refusal(mend(broken)), /another slipway is under way/);
  assert.is((await mend(broken, null, "b", true)).changed, false);
  machine.kernel.close(held);
  await run(machine, sourceOf(v2));
});

/** A source during whose first fetch something happens to the machine. */
class Meanwhile extends MemorySource {
  constructor(
    bytes: Uint8Array,
    readonly happens: () => void,
  ) {
    super(bytes);
  }
  override async fetch(...args: Parameters<MemorySource["fetch"]>): Promise<void> {
    this.happens();
    await super.fetch(...args);
  }
}

test("what others change meanwhile: the slot, or the running one's state", async () => {
  const { openBootRecord } = await import("../../init/store/boot-record.ts");
  const write = (machine: TestMachine, changed: BootRecord) => {
    const store = openBootRecord(machine.kernel, "/dev/vda1");
    store.read();
    store.write(changed);
    store.close();
  };
  const other = machineOf();
  const stolen = new Meanwhile(v2.bytes, () =>
    write(other, { ...other.record(), slots: { ...other.record().slots, b: slot({ imageId: "ee".repeat(32) }) } }),
  );
  assert.match(
    await refusal(run(other, stolen)),
    /slot b was (empty and is committed|committed and is committed) now: somebody else changed it/,
  );
  const demoted = machineOf();
  const trial = new Meanwhile(v2.bytes, () => {
    const known = demoted.record();
    write(demoted, { ...known, slots: { ...known.slots, a: slot({ priority: 2, state: "trial", tries: 1 }) } });
  });
  assert.match(await refusal(run(demoted, trial)), /the running slot a is on trial/);
  assert.is(demoted.slot("b").tries === 3 && demoted.slot("b").state === "trial", false, "it was not armed");
});

test("a disk that is gone when all is to be read back is told of by its name, and the slot is not armed", async () => {
  const machine = machineOf();
  const { kernel } = machine;
  const readInto = kernel.readInto.bind(kernel);
  const source = new Meanwhile(v2.bytes, () => {
    kernel.readInto = () => {
      throw new KernelError("read", "/dev/vda3", "ENXIO");
    };
  });
  const error = await run(machine, source).catch((thrown: unknown) => thrown);
  assert.match(
    String(error),
    /^BadMedium: \/dev\/vda3: what was written cannot be read back \(ENXIO\); is the disk still there\?/,
  );
  kernel.readInto = readInto;
  assert.is(machine.slot("b").state, "empty");
});

test("a rollback meanwhile is not undone: what it goes to is neither taken nor put behind the new image", async () => {
  const early = machineOf();
  const before = slotB(early);
  const readSeal = new MemorySource(v2.bytes);
  const read = readSeal.read.bind(readSeal);
  let reads = 0;
  readSeal.read = async (wanted) => {
    if (++reads === 2) rollback(early.kernel, early.places);
    return read(wanted);
  };
  assert.match(await refusal(run(early, readSeal)), /in the order a, b and do in the order b, a now: somebody else chose one/);
  assert.equal(slotB(early), before);
  assert.is(early.slot("b").state, "committed");

  const { slots } = controlFile().control;
  const control = { ...trusting([key]), slots: [...slots, { name: "c", device: "/dev/vda4" }] };
  const known = { a: slot({ priority: 3, imageId: v1.manifest.rootHash }), b: slot({ priority: 1 }), c: slot({ priority: 2 }) };
  const late = machineOf({ slots: known }, { control });
  const during = new Meanwhile(v2.bytes, () => void rollback(late.kernel, late.places));
  assert.match(await refusal(run(late, during, { slot: "b" })), /in the order a, c, b and do in the order c, a, b now/);
});

test("a source that is no image, and one that breaks off: what has come is used by the next run", async () => {
  const machine = machineOf();
  const error = await run(machine, new MemorySource(new Uint8Array(40 * BLOCK))).catch((thrown: unknown) => thrown);
  assert.match(String(error), /memory is no sealed image: its last 4096 bytes are no footer/);
  const image = await make(3, range(2000, 2200));
  const first = sourceOf(image);
  first.breaksAfter = 120 * BLOCK;
  assert.match(String(await run(machine, first).catch((thrown: unknown) => thrown)), /memory broke off/);
  assert.is(machine.slot("b").state, "empty");
  const second = sourceOf(image);
  await run(machine, second);
  assert.ok(holds(machine, image));
  assert.ok(second.given.length < 110, `${second.given.length} blocks in the second run`);
});

test("a file, and a device that an image was copied to, are sources", async () => {
  const machine = machineOf({}, { root: { "srv/v2.img": v2.bytes } });
  const file = FileSource.of(machine.kernel, "/srv/v2.img", openToRead(machine.kernel, "/srv/v2.img"));
  await run(machine, file);
  assert.ok(holds(machine, v2));
  const stick = machineOf();
  stick.kernel.addDevice({ path: "/dev/sdz", number: { major: 8, minor: 0 }, size: 3 * 1024 * 1024, contents: v2.bytes });
  await run(stick, FileSource.of(stick.kernel, "/dev/sdz", openToRead(stick.kernel, "/dev/sdz")));
  assert.ok(holds(stick, v2));
});

function mend(machine: TestMachine, source: ImageSource | null = null, name = "b", dryRun = false) {
  return repair(machine.kernel, machine.places, { slot: name, source, dryRun, telling: "lines" });
}

/** Slot b holds v2, with these blocks overwritten. */
function damaged(blocks: number[], known: Partial<ReturnType<typeof slot>> = {}, options = {}): TestMachine {
  const b = slot({ imageId: v2.manifest.rootHash, damaged: "block 5 of the data is not the image's", ...known });
  const machine = machineOf({ slots: { a: slot({ priority: 2, imageId: v1.manifest.rootHash }), b } }, options);
  putImage(machine, "/dev/vda3", v2.bytes);
  withOpen(machine.kernel, "/dev/vda3", O.RDWR, (fd) => {
    for (const block of blocks) machine.kernel.write(fd, new Uint8Array(100).fill(0xee), BigInt(block * BLOCK + 300));
    machine.kernel.sync(fd);
  });
  machine.kernel.beginTrace();
  return machine;
}

test("repair from the other slot: no source is needed, and the slot counts as damaged no more", async () => {
  const machine = damaged([5, 50]);
  const planned = await mend(machine, null, "b", true);
  assert.equal([planned.changed, planned.bytes?.donorBytes], [false, { a: 2 * BLOCK }]);
  assert.ok(machine.slot("b").damaged !== null);
  const answer = await mend(machine);
  assert.ok(holds(machine, v2));
  assert.is(answer.changed, true);
  assert.is(answer.did.at(-1), "It counts as damaged no more.");
  assert.equal(machine.slot("b"), slot({ imageId: v2.manifest.rootHash }));
  const writes = machine.kernel.trace.split("\n").filter((line) => line.startsWith('write("/dev/vda3"'));
  assert.is(writes.length, 2);
});

test("repair of a block that no other slot has: refused without a source, and mended with one", async () => {
  const machine = damaged([5, 30]);
  assert.match(await refusal(mend(machine)), /slot b: 1 block is in no other slot; run "slipway repair b SOURCE"/);
  assert.ok(machine.slot("b").damaged !== null);
  const source = sourceOf(v2);
  const answer = await mend(machine, source);
  assert.is(answer.bytes?.sourceBytes, BLOCK, "what the other slot had was mended before");
  assert.equal(source.given.slice(2), [30]);
  assert.ok(holds(machine, v2));
});

test("repair of a damaged seal: with the same image", async () => {
  const sealBlock = v2.bytes.length / BLOCK - 2;
  const machine = damaged([sealBlock]);
  assert.match(await refusal(mend(machine)), /nothing else tells which image it held; give the image that it held as SOURCE/);
  await mend(machine, sourceOf(v2));
  assert.ok(holds(machine, v2));
});

test("repair of a damaged footer needs no source", async () => {
  const machine = damaged([4 * 256 - 1]);
  await mend(machine);
  assert.ok(holds(machine, v2));
});

test("repair with seal and footer gone: an install is needed", async () => {
  const machine = damaged([v2.bytes.length / BLOCK - 2, 4 * 256 - 1]);
  assert.match(await refusal(mend(machine, sourceOf(v2))), /nothing else tells which image it held; run slipway install/);
});

test("repairs that are refused", async () => {
  const v3 = await make(3, range(1, 60));
  for (const [machine, source, name, expected] of [
    [damaged([5]), null, "a", /slot a runs, and a running slot is never written/],
    [damaged([5]), sourceOf(v3), "b", /slot b holds 2\.0 \([0-9a-f]{12}\), memory is 3\.0/],
    [new TestMachine(trialOfB()), null, "a", /the running slot b is on trial, and no slot is written meanwhile/],
    [
      damaged([5], {}, { control: trusting([stranger]) }),
      null,
      "b",
      /slot b: the seal is signed by 0 trusted keys.*install a good image/,
    ],
    [machineOf(), null, "b", /slot b: .*nothing else tells which image it held/],
  ] as const) {
    machine.kernel.beginTrace();
    assert.match(await refusal(mend(machine, source, name)), expected);
    assert.not.match(machine.kernel.trace, /^write\("\/dev\/vda/m, String(expected));
  }
});

test("repair of a slot that is whole, and one whose device is read-only", async () => {
  const whole = damaged([], { damaged: null });
  const answer = await mend(whole);
  assert.equal([answer.changed, answer.did], [false, ["Slot b holds acme 2.0, whole: nothing was written."]]);
  const protectedSlot = damaged([5]);
  const flagOn = new Uint8Array(new ArrayBuffer(4));
  flagOn[0] = 1;
  withOpen(protectedSlot.kernel, "/dev/vda3", O.RDONLY, (fd) => protectedSlot.kernel.ioctl(fd, IOCTL.BLKROSET, flagOn));
  assert.match(await refusal(mend(protectedSlot)), /slot b: \/dev\/vda3 is read-only; blockdev --setrw/);
});

test.run();
