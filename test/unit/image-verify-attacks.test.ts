/** `slipway image verify` as a wall: every attack is an error there, and so is any byte of the file that is altered, cut or added. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { BLOCK } from "../../boot/image/verity.ts";
import { withImage } from "../../init/builder/image/open-image.ts";
import { proveImage } from "../../init/builder/image/prove-image.ts";
import { linuxKernel } from "../../init/kernel/linux.ts";
import { BadInput } from "../../state-ops/outcome.ts";
import { allAttacks } from "../samples/attacks/all.ts";
import { attackedWorld, flipped } from "../samples/attacks/attack.ts";
import { foreignAttacks } from "../samples/attacks/seal.ts";
import { sampleFilesystem } from "../samples/image-parts.ts";
import { randomNumbers } from "../samples/random.ts";

const world = attackedWorld(sampleFilesystem(130, "this"), sampleFilesystem(130, "other"));
const { image } = world;
const kernel = linuxKernel();
const directory = mkdtempSync(join(tmpdir(), "slipway-verify-"));
const file = join(directory, "image");
test.after(() => rmSync(directory, { recursive: true, force: true }));

/** What is wrong with an image of these bytes, by region or by message; null where nothing is. */
async function wrong(bytes: Uint8Array): Promise<string | null> {
  writeFileSync(file, bytes);
  try {
    const { damages } = await withImage(kernel, file, (open) => proveImage(kernel, open, world.trust));
    return damages[0] === undefined ? null : `${damages[0].region}: ${damages[0].text}`;
  } catch (error) {
    // An Error is one that is told as it is; what has another class is a fault of the program.
    if (error instanceof BadInput || (error instanceof Error && error.constructor === Error)) return error.message;
    throw error;
  }
}

test("the images that are attacked are right to the last byte", async () => {
  assert.is(await wrong(image.bytes), null);
  assert.is(await wrong(world.other.bytes), null);
});

const regions = {
  data: /^filesystem: /,
  tree: /^hash tree: /,
  form: /^(verity superblock|padding of the seal): |footer|must have/,
};

const foreign = new Set(foreignAttacks(world).map(({ name }) => name));
for (const { name, foundBy, words, make } of allAttacks(world).filter((attack) => !foreign.has(attack.name))) {
  test(`${foundBy}: ${name}`, async () => {
    const said = (await wrong(make())) ?? "nothing is wrong";
    if (foundBy === "seal")
      assert.match(said, name.startsWith("no footer") ? new RegExp(`${words.source}|has no footer`) : words);
    else if (foundBy === "tree" && /superblock|this image's seal over/.test(name))
      assert.match(said, /^(verity superblock|hash tree): /);
    else assert.match(said, regions[foundBy]);
  });
}

test("a bit of any byte of the image: all of a small part, others sampled", async () => {
  const random = randomNumbers(Number(process.env.SLIPWAY_SEED ?? Date.now() % 1_000_000));
  const { layout, bytes, parts } = image;
  const long = process.env.SLIPWAY_TIER === "long";
  const every = (from: number, to: number, step: number) =>
    Array.from({ length: Math.ceil((to - from) / step) }, (_, index) => from + index * step);
  const sealEnd = layout.sealOffset + parts.seal.length;
  const places = [
    ...every(0, layout.sealOffset, BLOCK).map((block) => block + Math.floor(random() * BLOCK)),
    ...every(layout.hashOffset, layout.hashOffset + 130, 1),
    ...every(layout.sealOffset, sealEnd, long ? 1 : 5),
    ...every(sealEnd, bytes.length - BLOCK, long ? 1 : 97),
    ...every(bytes.length - BLOCK, bytes.length - BLOCK + 100, 1),
    ...every(bytes.length - BLOCK + 100, bytes.length, long ? 1 : 97),
  ];
  const causes = new Set<string>();
  for (const at of places) {
    const said = await wrong(flipped(bytes, at, 1 << Math.floor(random() * 8)));
    assert.is.not(said, null, `byte ${at}`);
    causes.add(/^[a-z ]+(?=: is|: the)/.exec(said ?? "")?.[0] ?? "refused");
  }
  assert.equal([...causes].sort(), ["filesystem", "hash tree", "padding of the seal", "refused", "verity superblock"]);
});

test("any length but its own", async () => {
  const { bytes } = image;
  for (const length of [0, 1, BLOCK, bytes.length - 1, bytes.length - 512, bytes.length - BLOCK]) {
    assert.is.not(await wrong(bytes.slice(0, length)), null, `${length} bytes`);
  }
  for (const more of [1, 512, BLOCK, 3 * BLOCK]) {
    const longer = new Uint8Array(bytes.length + more);
    longer.set(bytes);
    assert.is.not(await wrong(longer), null, `${more} bytes more`);
    longer.copyWithin(bytes.length - BLOCK + more, bytes.length - BLOCK, bytes.length);
    assert.is.not(await wrong(longer), null, `${more} bytes more before the footer`);
  }
});

test.run();
