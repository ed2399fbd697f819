/** Attacks on the image that a source gives: nothing of a slot is written before its tree is proven, and nothing wrong ever. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { HEAD_BLOCKS } from "../../boot/converge/head.ts";
import { readSuperblock, SUPERBLOCK_BYTES } from "../../boot/devices/superblock.ts";
import { judgeEnvelope } from "../../boot/image/trust.ts";
import { BLOCK } from "../../boot/image/verity.ts";
import { readSourceSeal } from "../../init/converge/read-source-seal.ts";
import { SourceError } from "../../init/converge/source.ts";
import { readSeal } from "../../init/image/read-seal.ts";
import { O } from "../../init/kernel/constants.ts";
import { allAttacks } from "../samples/attacks/all.ts";
import { attackedWorld } from "../samples/attacks/attack.ts";
import { foreignAttacks, signatureAttacks } from "../samples/attacks/seal.ts";
import { sampleFilesystem } from "../samples/image-parts.ts";
import { MemorySource, SlotsWorld, TARGET } from "./converge-world.ts";

const world = attackedWorld(sampleFilesystem(130, "this"), sampleFilesystem(130, "other"));
const { image, other } = world;
const SLOT = image.bytes.length / BLOCK + 5;
const foreign = new Set(foreignAttacks(world).map(({ name }) => name));

/** The slot holds the other image, of the same system, whole. */
function before(): SlotsWorld {
  const slots = new SlotsWorld(SLOT);
  slots.put(TARGET, other);
  return slots;
}

const zeros = new Uint8Array(SLOT * BLOCK);
const untouched = before().bytes(TARGET);

/** As an install does it. Returns why nothing came of it; null where it did. */
async function install(slots: SlotsWorld, bytes: Uint8Array): Promise<string | null> {
  try {
    const source = new MemorySource(bytes);
    const { seal } = await readSourceSeal(source);
    const verdict = await judgeEnvelope("the seal", seal.envelope, world.trust);
    if (!verdict.trusted) return verdict.reason;
    await slots.install(source);
    return null;
  } catch (error) {
    if (!(error instanceof SourceError)) throw error;
    return error.message;
  }
}

const block = (bytes: Uint8Array, index: number) => Buffer.from(bytes.subarray(index * BLOCK, (index + 1) * BLOCK));
const isSame = (left: Uint8Array, right: Uint8Array, index: number) => block(left, index).equals(block(right, index));

/** Whether somebody who asks the slot alone, without a boot record, finds something to boot. */
function bootable(slots: SlotsWorld): boolean {
  const kernel = slots.kernel();
  const sealed = readSeal(kernel, kernel.open(TARGET, O.RDONLY), BigInt(SLOT * BLOCK)).is === "sealed";
  return sealed || readSuperblock(slots.bytes(TARGET).subarray(0, SUPERBLOCK_BYTES)) !== null;
}

test("the image that is attacked is installed", async () => {
  const slots = before();
  assert.is(await install(slots, image.bytes), null);
  assert.ok(slots.holds({ bytes: image.bytes, manifest: image.manifest }));
});

for (const { name, foundBy, words, make } of allAttacks(world).filter((attack) => !foreign.has(attack.name))) {
  test(`${foundBy}: ${name}`, async () => {
    const slots = before();
    const refused = await install(slots, make());
    const after = slots.bytes(TARGET);
    if (foundBy === "seal") {
      const noFooter = /is no sealed image: (its last 4096 bytes are no footer|\d+ bytes are not the size of one)/;
      assert.ok(words.test(refused ?? "") || noFooter.test(refused ?? ""), refused ?? "it was installed");
    }
    if (foundBy === "form") {
      // Nothing of what was altered is written: the slot holds the image as it was signed, or the source was refused.
      assert.ok(refused !== null || slots.holds({ bytes: image.bytes, manifest: image.manifest }), refused ?? "something else");
    } else assert.is.not(refused, null);
    if (foundBy === "seal" || foundBy === "tree" || (foundBy === "form" && refused !== null)) {
      assert.ok(Buffer.from(after).equals(untouched), "not a byte of the slot was written");
      assert.is(slots.withdrawals, 0);
    }
    if (foundBy === "data") {
      assert.not.ok(bootable(slots), "what is not whole cannot boot, not even where nothing is proven");
      for (let index = 0; index < image.layout.dataBlocks; index++) {
        const known = [image.bytes, HEAD_BLOCKS.includes(index) ? zeros : untouched].some((bytes) => isSame(after, bytes, index));
        assert.ok(known, `block ${index} is neither the image's nor what was there before`);
      }
    }
  });
}

test("a source that gives data of another image says so for a block, and what was right is kept", async () => {
  const [attack] = allAttacks(world).filter(({ name }) => name === "a byte in the middle of the data");
  if (attack === undefined) throw new Error("the attack has another name");
  const slots = before();
  const refused = await install(slots, attack.make());
  assert.match(refused ?? "", /memory/);
  assert.match(refused ?? "", /block 65\b|byte 266240/);
  const kept = Array.from({ length: image.layout.dataBlocks }, (_, index) => index).filter((index) => {
    return isSame(slots.bytes(TARGET), image.bytes, index);
  });
  assert.ok(kept.length > 60, `${kept.length} blocks are there`);
  const source = new MemorySource(image.bytes);
  await slots.install(source);
  assert.ok(source.given.length < image.bytes.length / BLOCK - kept.length + 10, "the second run fetches only what is missing");
  assert.ok(slots.holds({ bytes: image.bytes, manifest: image.manifest }));
});

test("trust unsigned: signatures say nothing, and the hashes still hold", async () => {
  for (const { name, make } of signatureAttacks(world)) {
    const slots = before();
    try {
      await slots.install(new MemorySource(make()));
      const { sealOffset } = image.layout;
      assert.ok(Buffer.from(slots.bytes(TARGET).subarray(0, sealOffset)).equals(image.bytes.subarray(0, sealOffset)), name);
      assert.ok(bootable(slots), name);
    } catch (error) {
      assert.instance(error, SourceError, `${name}: ${error}`);
      assert.ok(Buffer.from(slots.bytes(TARGET)).equals(untouched), name);
    }
  }
});

test.run();
