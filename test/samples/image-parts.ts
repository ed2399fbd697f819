/**
 * Sealed images in memory as their parts, which need not belong together. Tree and signatures are made here once more, by
 * node:crypto and without the product's code, so that a mistake in one of the two shows.
 */
import { createHash, createPrivateKey, type KeyObject, sign } from "node:crypto";
import { encodeEnvelope, PAYLOAD_TYPE, preAuthenticationEncoding, type Signature } from "../../boot/image/envelope.ts";
import { encodeFooter, footerOf } from "../../boot/image/footer.ts";
import { type PublicKey, publicKey } from "../../boot/image/keys.ts";
import {
  encodeManifest,
  type ImageLayout,
  layoutOf,
  type Manifest,
  paddedSealLength,
  superblockOf,
} from "../../boot/image/seal.ts";
import type { Trust } from "../../boot/image/trust.ts";
import { BLOCK } from "../../boot/image/verity.ts";

const sha256 = (...parts: (Uint8Array | string)[]): Buffer => {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
};

/** A pair of keys, the same in every run. */
export interface KeyPair {
  publicKey: PublicKey;
  privateKey: KeyObject;
}

/** The key called `name`: its seed is the name's hash. */
export function keyPair(name: string): KeyPair {
  const head = Buffer.from("302e020100300506032b657004220420", "hex"); // PKCS#8 of an Ed25519 seed: RFC 8410, section 7
  const der = Buffer.concat([head, sha256(`slipway test key ${name}`)]);
  const privateKey = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
  const { x } = privateKey.export({ format: "jwk" });
  if (x === undefined) throw new Error("an Ed25519 key has an x");
  return { publicKey: publicKey(new Uint8Array(Buffer.from(x, "base64url"))), privateKey };
}

/** The signature of `key` over a payload, as `keyId`'s where that is another. */
export function signatureOf(key: KeyPair, payloadType: string, payload: Uint8Array, keyId = key.publicKey.id): Signature {
  const signature = sign(null, preAuthenticationEncoding(payloadType, payload), key.privateKey);
  return { keyId, signature: new Uint8Array(signature) };
}

export function trustIn(keys: readonly KeyPair[], threshold: number): Trust {
  return { mode: "signed", keys: keys.map((key) => key.publicKey), threshold };
}

/** `count` blocks that all differ, the first with an erofs superblock (fs/erofs/erofs_fs.h) that names their size. */
export function sampleFilesystem(count: number, tag: string): Uint8Array {
  const bytes = new Uint8Array(count * BLOCK);
  const view = new DataView(bytes.buffer);
  for (let block = 0; block < count; block++) bytes.set(sha256(`block ${block} of ${tag}`), block * BLOCK + 2048);
  view.setUint32(1024, 0xe0f5e1e2, true);
  view.setUint8(1024 + 12, 12);
  view.setUint32(1024 + 36, count, true);
  bytes.set(sha256(tag).subarray(0, 16), 1024 + 48);
  return bytes;
}

/** The salt of a system's images, in hex. */
export function sampleSalt(system: string): string {
  return sha256(`slipway verity salt 1\n${system}`).toString("hex");
}

/** The hash tree over `filesystem`, top first, and its root hash in hex: Documentation/admin-guide/device-mapper/verity.rst. */
export function treeOf(filesystem: Uint8Array, salt: string): { tree: Uint8Array; rootHash: string } {
  const levels: Uint8Array[] = [];
  let below = filesystem;
  do {
    const blocks = below.length / BLOCK;
    const level = new Uint8Array(Math.ceil(blocks / 128) * BLOCK);
    for (let block = 0; block < blocks; block++) {
      level.set(sha256(Buffer.from(salt, "hex"), below.subarray(block * BLOCK, (block + 1) * BLOCK)), block * 32);
    }
    levels.unshift(level);
    below = level;
  } while (below.length > BLOCK);
  return { tree: new Uint8Array(Buffer.concat(levels)), rootHash: sha256(Buffer.from(salt, "hex"), below).toString("hex") };
}

/** The parts of an image file. What is put together of them need not belong together. */
export interface ImageParts {
  filesystem: Uint8Array;
  superblock: Uint8Array;
  tree: Uint8Array;
  seal: Uint8Array;
  footer: Uint8Array;
}

/** An image with all that it was made of. */
export interface SampleImage {
  bytes: Uint8Array;
  parts: ImageParts;
  manifest: Manifest;
  layout: ImageLayout;
}

export function assembled({ filesystem, superblock, tree, seal, footer }: ImageParts): Uint8Array {
  const padding = new Uint8Array(paddedSealLength(seal.length) - seal.length);
  return new Uint8Array(Buffer.concat([filesystem, superblock, tree, seal, padding, footer]));
}

/** The bytes of a seal over `payload`, signed by all of `signers`. */
export function sealOver(payload: Uint8Array, signers: readonly KeyPair[]): Uint8Array {
  const signatures = signers.map((key) => signatureOf(key, PAYLOAD_TYPE.seal, payload));
  return encodeEnvelope({ payloadType: PAYLOAD_TYPE.seal, payload, signatures });
}

/** The image of `filesystem`, whose bytes are whole blocks, signed by `signers`. */
export function imageOf(filesystem: Uint8Array, signers: readonly KeyPair[], change: Partial<Manifest> = {}): SampleImage {
  const system = change.system ?? "small";
  const salt = sampleSalt(system);
  const { tree, rootHash } = treeOf(filesystem, salt);
  const manifest: Manifest = {
    ...{ schema: 1, system, version: "1", filesystem: "erofs", filesystemSize: filesystem.length, rootHash, salt },
    ...{ rollbackIndex: 5, revokesBelow: null, needs: { controlFormat: 1, features: [] }, kernelSignature: null },
    ...change,
  };
  const seal = sealOver(encodeManifest(manifest), signers);
  const layout = layoutOf({ filesystemSize: filesystem.length });
  const footer = encodeFooter(footerOf(seal, layout.sealOffset));
  const parts = { filesystem, superblock: superblockOf(manifest), tree, seal, footer };
  return { bytes: assembled(parts), parts, manifest, layout };
}
