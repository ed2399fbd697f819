/** Every attack on an image is found out where it must be at the latest, and says what was wrong; no altered byte gets through. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { judgeSeal, refuseUnsealed } from "../../boot/image/judge-seal.ts";
import { LONGEST_SEAL } from "../../boot/image/seal.ts";
import { BLOCK } from "../../boot/image/verity.ts";
import { freshRecord } from "../../boot/record/store.ts";
import { SlotFailure } from "../../boot/selection/attempt.ts";
import { whyBelowFloor } from "../../boot/selection/floors.ts";
import { checkSlot, openRaw } from "../../init/image/check-slot.ts";
import { readSeal, type SealReading } from "../../init/image/read-seal.ts";
import { BlockDevice } from "../../init/kernel/recording/memory-devices.ts";
import { RecordingKernel } from "../../init/kernel/recording/recording.ts";
import type { ControlTrust } from "../../state-ops/control.ts";
import { allAttacks } from "../samples/attacks/all.ts";
import { attackedWorld, flipped, withManifest } from "../samples/attacks/attack.ts";
import { sampleFilesystem } from "../samples/image-parts.ts";

const world = attackedWorld(sampleFilesystem(130, "this"), sampleFilesystem(130, "other"));
const { image } = world;
const control: ControlTrust = {
  ...{ mode: "signed", keys: world.trusted.map(({ raw }) => raw.toHex()), threshold: 2 },
  ...{ rollbackFloor: 0, kernelSignature: "ignored" },
};
const attacks = allAttacks(world);

/** A device of these bytes, for reading and for altering. */
function deviceOf(bytes: Uint8Array) {
  const whole = new Uint8Array(Math.ceil(bytes.length / 512) * 512);
  whole.set(bytes);
  const device = new BlockDevice({ path: "/dev/vdb", number: { major: 254, minor: 16 }, contents: whole });
  const kernel = new RecordingKernel();
  kernel.addDevice(device);
  const fd = openRaw(kernel, device.path);
  return { device, kernel, fd, size: BigInt(whole.length) };
}

type Opened = ReturnType<typeof deviceOf>;

/** A record in which an image with the floor's rollback index was committed, and what is older revoked. */
const record = {
  ...freshRecord({ slots: ["a"], tries: { trial: 3, committed: 10 } }),
  floors: { install: world.floor, boot: world.floor },
};

/**
 * Why PID 1 leaves the slot before anything else of the image is looked at, and what was read of its seal. `damaged`: it counts
 * as damaged from then on.
 */
async function judged({ kernel, fd, size }: Opened): Promise<{ reading: SealReading; refused: string | null; damaged: boolean }> {
  const reading = readSeal(kernel, fd, size);
  try {
    if (reading.is !== "sealed") refuseUnsealed(reading, control);
    else {
      await judgeSeal(reading.seal, { system: world.system, trust: control, architecture: "x86-64" });
      const tooOld = whyBelowFloor(record, reading.seal.manifest.rollbackIndex, control);
      if (tooOld !== null) return { reading, refused: tooOld, damaged: false };
    }
    return { reading, refused: null, damaged: false };
  } catch (error) {
    if (!(error instanceof SlotFailure)) throw error;
    return { reading, refused: error.message, damaged: error.kind === "proof" };
  }
}

/** Parts of the image whose hashes are wrong: "tree", or "data" where the tree is right. */
function damageIn({ kernel, fd }: Opened, reading: SealReading): "tree" | "data" | null {
  if (reading.is !== "sealed") throw new Error(reading.reason);
  const damaged = [...checkSlot(kernel, fd, reading.seal.manifest)].flatMap((step) => step.damaged);
  if (damaged.some(({ part }) => part === "tree")) return "tree";
  return damaged.length > 0 ? "data" : null;
}

/** What the messages of two attacks have in common, whatever the places and keys in them. */
const shape = (message: string) => message.replace(/[0-9a-f]{12,}|\d+/g, "#");

test("the images that are attacked are right", async () => {
  for (const { bytes } of [image, world.other]) {
    const opened = deviceOf(bytes);
    const { reading, refused } = await judged(opened);
    assert.is(refused, null);
    assert.is(damageIn(opened, reading), null);
  }
});

test("the attacks differ from the image and from each other", () => {
  assert.ok(attacks.length > 100, `${attacks.length} attacks`);
  assert.is(new Set(attacks.map(({ name }) => name)).size, attacks.length);
  const bytes = new Set([image.bytes, ...attacks.map(({ make }) => make())].map((made) => Bun.hash(made)));
  assert.is(bytes.size, attacks.length + 1);
});

for (const { name, foundBy, words, make } of attacks) {
  test(`${foundBy}: ${name}`, async () => {
    const opened = deviceOf(make());
    const { reading, refused, damaged } = await judged(opened);
    if (foundBy === "seal") {
      assert.match(refused ?? "nothing was refused", words);
      // What is right and not for this machine is no damage: another initrd, or another floor, would boot it.
      assert.is(damaged, !/^an (older image|image for a control file|image that needs)/.test(name));
      return;
    }
    assert.is(refused, null, "what is altered is not in the seal");
    assert.is(damageIn(opened, reading), foundBy === "form" ? null : foundBy);
  });
}

test("what differs in its cause differs in its words", async () => {
  const words = new Map<string, Set<string>>();
  for (const attack of attacks.filter(({ foundBy }) => foundBy === "seal")) {
    const { refused } = await judged(deviceOf(attack.make()));
    const said = shape(refused ?? "");
    words.set(said, (words.get(said) ?? new Set()).add(attack.words.source));
  }
  assert.equal(
    [...words].filter(([, sources]) => sources.size > 1),
    [],
  );
  assert.ok(words.size > 40, `${words.size} different messages`);
});

test("a slot larger than the image, a slot of just its size, and one that is a sector too small", async () => {
  const { bytes, layout } = image;
  const larger = new Uint8Array(bytes.length + 10 * BLOCK + 512);
  larger.set(bytes.subarray(0, layout.sealOffset + BLOCK));
  larger.set(image.parts.footer, larger.length - 512 - BLOCK);
  const byFooter = await judged(deviceOf(larger));
  assert.equal([byFooter.reading.is === "sealed" && byFooter.reading.by, byFooter.refused], ["footer", null]);
  larger.fill(0, larger.length - 512 - BLOCK);
  larger.set(bytes);
  const byDd = await judged(deviceOf(larger));
  assert.equal([byDd.reading.is === "sealed" && byDd.reading.by, byDd.refused], ["search", null]);
  const smaller = await judged(deviceOf(bytes.subarray(0, layout.sealOffset + BLOCK - 512)));
  assert.match(smaller.refused ?? "", /no room for a seal/);
});

test("a seal that fills its last block is found by search too, where the image's footer follows it", async () => {
  const sealed = (length: number) => withManifest(world, { kernelSignature: new Uint8Array(length).toBase64() });
  const lengthOf = (bytes: Uint8Array) => new DataView(bytes.buffer).getUint32(bytes.length - BLOCK + 12, true);
  let length = 1;
  while (lengthOf(sealed(length)) % BLOCK !== 0 && length < 3 * BLOCK) length += 3;
  const full = sealed(length);
  assert.is(lengthOf(full) % BLOCK, 0);
  const larger = new Uint8Array(full.length + 10 * BLOCK);
  larger.set(full);
  const { reading, refused } = await judged(deviceOf(larger));
  assert.equal([reading.is === "sealed" && reading.by, refused], ["search", null]);
});

test("the longest seal is read, by footer and by search; one that is longer is refused", async () => {
  const sealed = (length: number) => {
    const kernelSignature = new Uint8Array(length).toBase64();
    return withManifest(world, { kernelSignature });
  };
  const lengthOf = (bytes: Uint8Array) => new DataView(bytes.buffer).getUint32(bytes.length - BLOCK + 12, true);
  // Base64 in base64: three bytes of a signature make sixteen of the seal, at most.
  let length = 3 * Math.floor((LONGEST_SEAL - lengthOf(sealed(1))) / 16) * 3;
  while (lengthOf(sealed(length)) > LONGEST_SEAL) length--;
  while (lengthOf(sealed(length + 1)) <= LONGEST_SEAL) length++;
  const longest = sealed(length);
  assert.ok(lengthOf(longest) > LONGEST_SEAL - 16 && longest.length === image.layout.sealOffset + LONGEST_SEAL + BLOCK);
  assert.is((await judged(deviceOf(longest))).refused, null);
  const found = await judged(deviceOf(longest.fill(0, -BLOCK)));
  assert.equal([found.reading.is === "sealed" && found.reading.by, found.refused], ["search", null]);
  const tooLong = sealed(length + 12);
  assert.match((await judged(deviceOf(tooLong))).refused ?? "", /the footer says a seal of \d+ bytes, the most are 65536/);
  assert.match((await judged(deviceOf(tooLong.fill(0, -BLOCK)))).refused ?? "", /the seal is not JSON/);
});

test("every bit pattern of one byte in footer, seal, padding and superblock: refused, or the very seal and nothing else is used", async () => {
  const { layout, bytes, parts } = image;
  const opened = deviceOf(bytes);
  const areas = [
    [layout.hashOffset, layout.treeOffset],
    [layout.sealOffset, bytes.length],
  ] as const;
  let unrefused = 0;
  for (const [from, to] of areas) {
    for (let at = from; at < to; at++) {
      const was = opened.device.storage.read(at, 1);
      opened.device.storage.write(at, flipped(was, 0, 1 << (at % 8)));
      const reading = readSeal(opened.kernel, opened.fd, opened.size);
      if (reading.is === "sealed") {
        unrefused++;
        const inSeal = at >= layout.sealOffset && at < layout.sealOffset + parts.seal.length;
        const inName = at >= bytes.length - BLOCK && at < bytes.length - BLOCK + 8;
        assert.not.ok(inSeal, `byte ${at} of the seal was altered`);
        assert.ok(at < bytes.length - BLOCK || inName, `byte ${at} of the footer was altered`);
        assert.equal(reading.seal.bytes, parts.seal);
        assert.is(reading.by, inName ? "search" : "footer");
      }
      opened.device.storage.write(at, was);
      opened.kernel.beginTrace();
    }
  }
  assert.is(unrefused, BLOCK + (BLOCK - parts.seal.length) + 8);
});

test("a bit of any block of data and tree", () => {
  const { layout, bytes } = image;
  const opened = deviceOf(bytes);
  const reading = readSeal(opened.kernel, opened.fd, opened.size);
  for (let block = 0; block < layout.sealOffset / BLOCK; block++) {
    if (block * BLOCK === layout.hashOffset) continue;
    const at = block * BLOCK + ((block * 1237) % BLOCK);
    const was = opened.device.storage.read(at, 1);
    opened.device.storage.write(at, flipped(was, 0, 1 << (block % 8)));
    assert.is(damageIn(opened, reading), block < layout.dataBlocks ? "data" : "tree", `block ${block}`);
    opened.device.storage.write(at, was);
    opened.kernel.beginTrace();
  }
  assert.is(damageIn(opened, reading), null);
});

test.run();
