/** Every byte of an image against its seal: what slipway image verify does. */
import { encodeFooter, footerOf } from "../../../boot/image/footer.ts";
import { layoutOf, superblockOf } from "../../../boot/image/seal.ts";
import { TreeProof } from "../../../boot/image/tree-proof.ts";
import { judgeEnvelope, type Trust } from "../../../boot/image/trust.ts";
import { BLOCK } from "../../../boot/image/verity.ts";
import { checkSlot, openRaw } from "../../image/check-slot.ts";
import { withProgress } from "../../image/progress.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import type { OpenImage } from "./open-image.ts";

/** Something in an image that is not what the seal says. `offset` counts bytes from the image's start. */
export interface Damage {
  region: "filesystem" | "hash tree" | "verity superblock" | "padding of the seal" | "footer";
  offset: number;
  text: string;
}

/** As many are found before the reading stops: a file of another kind is not wrong in one place. */
const MOST_DAMAGES = 20;

/**
 * Proves `image` to the last byte, but for the filesystem of an .idx, which is not in it, and what lies behind an image on a
 * device, which is no part of it.
 *
 * @returns ids of the trusted keys that signed it, and what is wrong; `more` where there may be more than was looked for
 * @throws Error where it is not signed as `trust` asks for
 */
export async function proveImage(
  kernel: Kernel,
  image: OpenImage,
  trust: Trust,
): Promise<{ signers: string[]; damages: Damage[]; more: boolean }> {
  const verdict = await judgeEnvelope("the seal", image.seal.envelope, trust);
  if (!verdict.trusted) throw new Error(`${image.name}: ${verdict.reason}`);
  const damages = [...superblockDamage(image), ...tailDamage(image)];
  const read = image.kind === "index" ? treeDamage(image) : blockDamage(kernel, image);
  const { treeOffset, sealOffset, hashOffset } = image.layout;
  const total = image.kind === "index" ? sealOffset - treeOffset : sealOffset - treeOffset + hashOffset;
  const more = await withProgress(`reading ${image.name}`, total, async (onBytes) => {
    let turn = 0;
    for (const { done, damaged } of read) {
      damages.push(...damaged);
      if (damages.length > MOST_DAMAGES) return true;
      onBytes(done);
      if (turn++ % 16 === 0) await new Promise(setImmediate); // a signal ends us in between
    }
    return false;
  });
  return { signers: verdict.signers, damages: damages.slice(0, MOST_DAMAGES), more };
}

function superblockDamage({ reader, fd, seal, layout }: OpenImage): Damage[] {
  const wanted = superblockOf(seal.manifest);
  return difference("verity superblock", layout.hashOffset, reader.read(fd, BLOCK, BigInt(layout.hashOffset)), wanted);
}

/** Padding of the seal, and the footer where there is one: on a device it may be the device's own, or have been left out. */
function tailDamage({ reader, fd, kind, seal, layout, size }: OpenImage): Damage[] {
  const { bytes } = seal;
  const end = layout.sealOffset + bytes.length;
  const padding = size - BLOCK - end;
  const damages = difference("padding of the seal", end, reader.read(fd, padding, BigInt(end)), new Uint8Array(padding));
  if (kind === "device") return damages;
  const footer = encodeFooter(footerOf(bytes, layout.sealOffset));
  return [...damages, ...difference("footer", size - BLOCK, reader.read(fd, BLOCK, BigInt(size - BLOCK)), footer)];
}

function difference(region: Damage["region"], offset: number, found: Uint8Array, wanted: Uint8Array): Damage[] {
  const at = wanted.findIndex((byte, index) => found[index] !== byte);
  if (at < 0) return [];
  const value = found[at]?.toString(16).padStart(2, "0") ?? "nothing";
  return [
    {
      region,
      offset: offset + at,
      text: `is ${value} instead of ${wanted[at]?.toString(16).padStart(2, "0")}, which the seal says`,
    },
  ];
}

const noDigest = "the block has not the digest that the tree says";

interface Step {
  done: number;
  damaged: Damage[];
}

/** Of a device the medium is asked, and not what the kernel remembers of it. */
function* blockDamage(kernel: Kernel, { name, kind, fd, seal, layout }: OpenImage): Generator<Step, void> {
  const from = kind === "device" ? openRaw(kernel, name) : fd;
  try {
    for (const { done, damaged } of checkSlot(kernel, from, seal.manifest)) {
      const found = damaged.map(({ part, block, error }): Damage => {
        const text = error === null ? noDigest : `the block cannot be read (${error})`;
        return part === "data"
          ? { region: "filesystem", offset: block * BLOCK, text }
          : { region: "hash tree", offset: layout.treeOffset + block * BLOCK, text };
      });
      yield { done, damaged: found };
    }
  } finally {
    if (from !== fd) kernel.close(from);
  }
}

/** The tree alone, which is all of it that an .idx has. */
function* treeDamage({ reader, fd, seal }: OpenImage): Generator<Step, void> {
  const { dataBlocks, treeOffset } = layoutOf(seal.manifest);
  const proof = new TreeProof(seal.manifest, dataBlocks);
  const { start, blocks } = proof.leaves;
  const leaves = Array.from({ length: blocks }, (_, index) => ({ level: 0, index, treeBlock: start + index }));
  let done = 0;
  for (const { level, index, treeBlock } of [...proof.upperPlaces(), ...leaves]) {
    const offset = treeOffset + treeBlock * BLOCK;
    const right = proof.accept(level, index, reader.read(fd, BLOCK, BigInt(offset)));
    done += BLOCK;
    yield { done, damaged: right ? [] : [{ region: "hash tree", offset, text: noDigest }] };
  }
}
