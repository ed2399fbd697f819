/** Hash trees as they are built block by block, against trees made at once and against veritysetup. */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { TreeBuilder } from "../../boot/image/tree-build.ts";
import { BLOCK, saltOf, treeBlocks } from "../../boot/image/verity.ts";
import { randomNumbers } from "../samples/random.ts";
import { hashTree } from "../samples/sealed-image.ts";
import { Desk } from "./builder-desk.ts";

const salt = saltOf("acme");

/** The tree over `data`, given to the builder in pieces of `blocks` blocks. */
function built(data: Uint8Array, blocks: number): { tree: Uint8Array; rootHash: string } {
  const dataBlocks = data.length / BLOCK;
  const tree = new Uint8Array(treeBlocks(dataBlocks) * BLOCK);
  const taken = new Set<number>();
  const builder = new TreeBuilder(salt.toHex(), dataBlocks, (treeBlock, block) => {
    assert.not.ok(taken.has(treeBlock), `tree block ${treeBlock} twice`);
    taken.add(treeBlock);
    tree.set(block, treeBlock * BLOCK);
  });
  for (let at = 0; at < data.length; at += blocks * BLOCK) builder.add(data.subarray(at, at + blocks * BLOCK));
  const rootHash = builder.rootHash();
  assert.is(taken.size, treeBlocks(dataBlocks));
  return { tree, rootHash };
}

/** Every third block is zero, as in images of writable filesystems. */
function sample(dataBlocks: number): Uint8Array {
  const data = new Uint8Array(dataBlocks * BLOCK);
  const view = new DataView(data.buffer);
  for (let block = 0; block < dataBlocks; block++) if (block % 3 !== 0) view.setUint32(block * BLOCK, block + 1, true);
  return data;
}

const sizes = [2, 3, 127, 128, 129, 256, 257, 128 * 128 - 1, 128 * 128, 128 * 128 + 1];

for (const dataBlocks of sizes) {
  test(`${dataBlocks} blocks: the tree that is made at once`, () => {
    const data = sample(dataBlocks);
    const wanted = hashTree(data, salt);
    for (const pieces of dataBlocks < 1000 ? [1, 7, dataBlocks] : [1024]) {
      const { tree, rootHash } = built(data, pieces);
      assert.is(rootHash, wanted.rootHash);
      assert.is(Buffer.compare(tree, wanted.tree), 0);
    }
  });
}

test("more or fewer blocks than were said are no tree", () => {
  const builder = new TreeBuilder(salt.toHex(), 4, () => {});
  builder.add(sample(3));
  assert.throws(() => builder.rootHash(), /3 of 4 data blocks/);
  builder.add(sample(2));
  assert.throws(() => builder.rootHash(), /5 of 4 data blocks/);
});

test("what veritysetup makes of the same data and salt: root hash and every byte of the tree", () => {
  const desk = new Desk();
  try {
    for (const dataBlocks of [2, 128, 129, 128 * 128 + 1]) {
      const data = sample(dataBlocks);
      const random = randomNumbers(dataBlocks);
      for (let at = 0; at < data.length; at += 1021) data[at] = random() * 256;
      writeFileSync(desk.path("data"), data);
      const said = desk.host("veritysetup", "format", "data", "tree", `--salt=${salt.toHex()}`, "--no-superblock");
      const { tree, rootHash } = built(data, 64);
      assert.is(/Root hash:\s+([0-9a-f]+)/.exec(said)?.[1], rootHash, `${dataBlocks} blocks`);
      assert.is(Buffer.compare(readFileSync(desk.path("tree")), tree), 0, `${dataBlocks} blocks`);
      rmSync(desk.path("tree"));
    }
  } finally {
    desk.clear();
  }
});

test.run();
