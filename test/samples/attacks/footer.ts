/** Attacks on where the seal is found: the footer, and the search for a seal without one. */
import { decodeFooter, encodeFooter } from "../../../boot/image/footer.ts";
import { LONGEST_SEAL } from "../../../boot/image/seal.ts";
import { BLOCK } from "../../../boot/image/verity.ts";
import { sha256Bytes } from "../../../state-ops/sha256.ts";
import { assembled, imageOf, sealOver } from "../image-parts.ts";
import { type Attack, type AttackedWorld, attacks, flipped, withParts } from "./attack.ts";

/** A footer that `change` was let at, with the digest made anew: everyone can do that. */
function remade(world: AttackedWorld, change: (view: DataView) => void): () => Uint8Array {
  return () => {
    const footer = world.image.parts.footer.slice();
    change(new DataView(footer.buffer));
    footer.set(sha256Bytes(footer.subarray(0, 56)), 56);
    return assembled({ ...world.image.parts, footer });
  };
}

export function footerAttacks(world: AttackedWorld): Attack[] {
  const { bytes, layout, parts } = world.image;
  const damaged = /the footer is damaged: its SHA-256 differs/;
  const notThere = /the footer says a seal at \d+, which is not where one can be/;
  const length = /the footer says a seal of \d+ bytes, the most are 65536/;
  const offset = (place: bigint) => remade(world, (view) => view.setBigUint64(16, place, true));
  const field = (at: number) => () => flipped(bytes, at - BLOCK);
  const size = BigInt(bytes.length);
  return attacks("seal", [
    ["the footer's version", damaged, field(8)],
    ["the footer's length of the seal", damaged, field(12)],
    ["the footer's place of the seal", damaged, field(17)],
    ["the footer's digest of the seal", damaged, field(24)],
    ["the footer's own digest", damaged, field(87)],
    ["the padding of the footer", /the footer has something behind its fields/, field(88)],
    ["the last byte of the footer", /the footer has something behind its fields/, field(BLOCK - 1)],
    ["a footer of version 2", /the footer has version 2, known is 1/, remade(world, (view) => view.setUint32(8, 2, true))],
    ["a seal of no bytes", length, remade(world, (view) => view.setUint32(12, 0, true))],
    ["a seal of a byte more than the longest", length, remade(world, (view) => view.setUint32(12, LONGEST_SEAL + 1, true))],
    ["a seal of 4 GiB", length, remade(world, (view) => view.setUint32(12, 0xffffffff, true))],
    ["a seal that reaches into the footer", notThere, remade(world, (view) => view.setUint32(12, 2 * BLOCK, true))],
    ["a seal in the footer", notThere, offset(size - BigInt(BLOCK))],
    ["a seal behind the end", notThere, offset(size + BigInt(BLOCK))],
    ["a seal at 2^53", notThere, offset(2n ** 53n)],
    ["a seal at 2^64 less a block", notThere, offset(2n ** 64n - BigInt(BLOCK))],
    ["a seal within a block", notThere, offset(BigInt(layout.sealOffset + 512))],
    ["a footer that points into the data", /the seal (at \d+ )?is not the one that the footer names/, offset(BigInt(BLOCK))],
    [
      "a footer that names the seal and a byte more",
      /the seal is not JSON/,
      () => {
        const longer = new Uint8Array(Buffer.concat([parts.seal, new Uint8Array(1)]));
        const footer = { sealOffset: layout.sealOffset, sealLength: longer.length, sealDigest: sha256Bytes(longer) };
        return assembled({ ...parts, footer: encodeFooter(footer) });
      },
    ],
    [
      "a right seal of an older image in the data, and a footer that points there",
      /the seal lies at \d+, an image of its size has it at \d+/,
      () => {
        const signers = world.keys.slice(0, 2);
        const { seal } = imageOf(world.other.parts.filesystem, signers, { system: world.system }).parts;
        const filesystem = parts.filesystem.slice();
        filesystem.set(seal, BLOCK);
        const footer = encodeFooter({ sealOffset: BLOCK, sealLength: seal.length, sealDigest: sha256Bytes(seal) });
        return assembled({ ...parts, filesystem, footer });
      },
    ],
    [
      "another image's footer",
      /the seal (at \d+ )?is not the one that the footer names/,
      () => {
        const read = decodeFooter(world.other.parts.footer, world.other.bytes.length);
        if (read.is !== "footer") throw new Error("the other image has a footer");
        return assembled({ ...parts, footer: encodeFooter({ ...read.footer, sealOffset: layout.sealOffset }) });
      },
    ],
  ]);
}

/** The footer is gone, so that the seal is looked for behind the filesystem, and something else is spoiled too. */
export function searchAttacks(world: AttackedWorld): Attack[] {
  const { layout, parts } = world.image;
  const footer = new Uint8Array(BLOCK);
  const found = (change: Partial<typeof parts>) => () => withParts(world, { ...change, footer });
  const superblock = (at: number, value: number) => found({ superblock: changed(parts.superblock, at, value) });
  const filesystem = (at: number, value: number) => found({ filesystem: changed(parts.filesystem, at, value) });
  const payload = new TextEncoder().encode("{}\n");
  return attacks("seal", [
    [
      "no footer, and no superblock of verity",
      /no footer, and what lies behind the filesystem has no verity signature/,
      superblock(0, 0),
    ],
    [
      "no footer, and another hash",
      /no footer, and what lies behind the filesystem has the algorithm "sha1"/,
      found({
        superblock: new Uint8Array(Buffer.from(parts.superblock).fill("sha1\0\0", 32, 38, "latin1")),
      }),
    ],
    [
      "no footer, and a superblock of too many blocks",
      /no footer, and what lies behind the filesystem says \d+ data blocks/,
      superblock(79, 1),
    ],
    [
      "no footer, and a tree that reaches past the end",
      /no footer, and no room for a seal behind the hash tree/,
      superblock(75, 1),
    ],
    ["no footer, and a tree that is smaller", /no footer, and no seal behind|the seal is not JSON/, superblock(72, 3)],
    ["no footer, and a filesystem larger than all", /no footer, and no room for a seal/, filesystem(1024 + 38, 0xff)],
    [
      "no footer, and a filesystem that says less",
      /no footer, and what lies behind the filesystem has no verity signature/,
      filesystem(1024 + 36, 1),
    ],
    ["no footer, and no filesystem", /no footer, and no filesystem behind which a seal could be/, filesystem(1024, 0)],
    [
      "no footer, and a seal that begins with zero",
      /no footer, and no seal behind the hash tree/,
      found({ seal: changed(parts.seal, 0, 0) }),
    ],
    ["no footer, and a seal with a zero in it", /the seal is not JSON/, found({ seal: changed(parts.seal, 200, 0) })],
    [
      "no footer, and a seal that is not signed",
      /the seal is not signed, and must be by 2 of 3 trusted keys/,
      found({ seal: sealOver(payloadOf(parts.seal), []) }),
    ],
    [
      "no footer, and a seal of nothing",
      /the seal's manifest\.schema is missing/,
      found({ seal: sealOver(payload, world.keys.slice(0, 2)) }),
    ],
    ["half an image", /no footer, and no room for a seal/, () => world.image.bytes.slice(0, layout.dataBlocks * BLOCK * 0.5)],
    [
      "an image that ends in its tree",
      /no footer, and no room for a seal/,
      () => world.image.bytes.slice(0, layout.treeOffset + BLOCK),
    ],
    [
      "an image that ends before its seal",
      /no footer, and no room for a seal behind the hash tree/,
      () => {
        return world.image.bytes.slice(0, layout.sealOffset);
      },
    ],
    ["three blocks of an image", /12288 bytes are too few for an image/, () => world.image.bytes.slice(0, 3 * BLOCK)],
    ["zeros", /no footer, and no filesystem behind which a seal could be/, () => new Uint8Array(64 * BLOCK)],
  ]);
}

function changed(bytes: Uint8Array, at: number, value: number): Uint8Array {
  const copy = bytes.slice();
  copy[at] = value;
  return copy;
}

function payloadOf(seal: Uint8Array): Uint8Array {
  const { payload }: { payload: string } = JSON.parse(new TextDecoder().decode(seal));
  return Uint8Array.fromBase64(payload);
}
