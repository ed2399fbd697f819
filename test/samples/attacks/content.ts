/** Attacks on what the seal vouches for: data, hash tree, superblock, padding; and what belongs to another image. */
import { BLOCK } from "../../../boot/image/verity.ts";
import { assembled } from "../image-parts.ts";
import { type Attack, type AttackedWorld, attacks, flipped, withParts } from "./attack.ts";

/** Nothing that reads a seal says a word about these. */
const none = /^$/;

export function contentAttacks(world: AttackedWorld): Attack[] {
  const { image, other } = world;
  const { filesystem, tree, superblock, seal } = image.parts;
  const { layout } = image;
  const middle = Math.floor(layout.dataBlocks / 2) * BLOCK;
  const leaves = layout.treeBlocks - Math.ceil(layout.dataBlocks / 128);
  const sameSize = other.bytes.length === image.bytes.length;
  const data = attacks("data", [
    ["the first byte of the data", none, () => withParts(world, { filesystem: flipped(filesystem, 0) })],
    ["a byte in the middle of the data", none, () => withParts(world, { filesystem: flipped(filesystem, middle + 77, 0x80) })],
    ["the last byte of the data", none, () => withParts(world, { filesystem: flipped(filesystem, -1) })],
    ["two blocks of the data exchanged", none, () => withParts(world, { filesystem: exchanged(filesystem, 1, 2) })],
    [
      "another image's data under seal and tree of this one",
      none,
      () => withParts(world, { filesystem: other.parts.filesystem }),
    ],
  ]);
  const hashes = attacks("tree", [
    ["the first byte of the tree's top", none, () => withParts(world, { tree: flipped(tree, 0) })],
    ["the padding of the tree's top", none, () => withParts(world, { tree: flipped(tree, BLOCK - 1) })],
    ["the first leaf", none, () => withParts(world, { tree: flipped(tree, leaves * BLOCK) })],
    ["the last byte of the leaves", none, () => withParts(world, { tree: flipped(tree, -1) })],
    ["another image's tree", none, () => withParts(world, { tree: other.parts.tree })],
    [
      "data and a tree that are right for each other, under another image's seal",
      none,
      () => {
        return withParts(world, { filesystem: other.parts.filesystem, tree: other.parts.tree });
      },
    ],
    [
      "another image's tree and superblock, each right",
      none,
      () => {
        return withParts(world, { tree: other.parts.tree, superblock: other.parts.superblock });
      },
    ],
    ["this image's seal over all of another image", none, () => assembled({ ...other.parts, seal, footer: image.parts.footer })],
  ]);
  const form = attacks("form", [
    ["the superblock's UUID", none, () => withParts(world, { superblock: flipped(superblock, 16) })],
    ["the superblock's count of blocks", none, () => withParts(world, { superblock: flipped(superblock, 72) })],
    ["the superblock's salt", none, () => withParts(world, { superblock: flipped(superblock, 88) })],
    ["the superblock's name", none, () => withParts(world, { superblock: flipped(superblock, 0) })],
    ["the padding of the superblock", none, () => withParts(world, { superblock: flipped(superblock, -1) })],
    ["another image's superblock", none, () => withParts(world, { superblock: other.parts.superblock })],
    ["the padding behind the seal", none, () => flipped(image.bytes, layout.sealOffset + seal.length)],
    ["the last byte before the footer", none, () => flipped(image.bytes, -BLOCK - 1)],
    ["the footer's name, so that the seal has to be found", none, () => flipped(image.bytes, -BLOCK)],
    ["no footer, so that the seal has to be found", none, () => image.bytes.slice(0, -BLOCK)],
    ["something behind the footer", none, () => new Uint8Array(Buffer.concat([image.bytes, new Uint8Array(BLOCK).fill(7)]))],
  ]);
  // These put two images together, which works only where both are laid out alike.
  return [...data, ...hashes, ...form].filter(({ name }) => sameSize || !/another image/.test(name));
}

function exchanged(filesystem: Uint8Array, one: number, other: number): Uint8Array {
  const copy = filesystem.slice();
  copy.set(filesystem.subarray(one * BLOCK, (one + 1) * BLOCK), other * BLOCK);
  copy.set(filesystem.subarray(other * BLOCK, (other + 1) * BLOCK), one * BLOCK);
  return copy;
}
