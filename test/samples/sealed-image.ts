/** Sealed images in memory: any bytes as the filesystem, its hash tree and its seal, by the code that reads them. */
import { encodeEnvelope, PAYLOAD_TYPE, preAuthenticationEncoding, type Signature } from "../../boot/image/envelope.ts";
import { encodeFooter, footerOf } from "../../boot/image/footer.ts";
import { type PublicKey, publicKey } from "../../boot/image/keys.ts";
import { encodeManifest, imageSizeOf, layoutOf, type Manifest, superblockOf } from "../../boot/image/seal.ts";
import { BLOCK, blockDigestOf, DIGEST, saltOf, treeLevels } from "../../boot/image/verity.ts";

/** A key pair of a test. */
export interface TestKey {
  key: PublicKey;
  sign(message: Uint8Array): Promise<Uint8Array>;
}

/** The key pair of a seed of one byte: the same at every run, so that traces can show its id. For tests only. */
export function fixedKey(seed: number): Promise<TestKey> {
  return keyOf(new Uint8Array([...Uint8Array.fromHex("302e020100300506032b657004220420"), ...new Uint8Array(32).fill(seed)]));
}

/** The key pair in a PEM file of slipway keys new. */
export function keyOfPem(pem: string): Promise<TestKey> {
  return keyOf(Uint8Array.fromBase64(pem.replace(/-----[^-]+-----/g, "").trim()));
}

async function keyOf(pkcs8: Uint8Array<ArrayBuffer>): Promise<TestKey> {
  const privateKey = await crypto.subtle.importKey("pkcs8", pkcs8, "Ed25519", true, ["sign"]);
  const { x } = await crypto.subtle.exportKey("jwk", privateKey);
  return {
    key: publicKey(Uint8Array.fromBase64(x ?? "", { alphabet: "base64url" })),
    sign: async (message) => new Uint8Array(await crypto.subtle.sign("Ed25519", privateKey, new Uint8Array(message))),
  };
}

export async function testKey(): Promise<TestKey> {
  const pair = await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"]);
  if (!("publicKey" in pair)) throw new Error("a pair of keys");
  const raw = new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey));
  return {
    key: publicKey(raw),
    sign: async (message) => new Uint8Array(await crypto.subtle.sign("Ed25519", pair.privateKey, new Uint8Array(message))),
  };
}

/** The hash tree over `data`, whole blocks, top block first, and its root hash. */
export function hashTree(data: Uint8Array, salt: Uint8Array): { tree: Uint8Array; rootHash: string } {
  const digest = blockDigestOf(salt);
  const levels = treeLevels(data.length / BLOCK);
  const tree = new Uint8Array(levels.reduce((sum, { blocks }) => sum + blocks, 0) * BLOCK);
  let below = data;
  for (const { start, blocks } of levels) {
    const level = tree.subarray(start * BLOCK, (start + blocks) * BLOCK);
    for (let at = 0; at * BLOCK < below.length; at++) {
      level.set(digest(below.subarray(at * BLOCK, (at + 1) * BLOCK)), at * DIGEST);
    }
    below = level;
  }
  return { tree, rootHash: digest(below).toHex() };
}

export interface SealedImage {
  /** The whole file. */
  bytes: Uint8Array;
  manifest: Manifest;
}

/** `filesystem`, padded to whole blocks, as a sealed image. `change` is what its manifest says otherwise. */
export async function sealedImage(
  filesystem: Uint8Array,
  keys: readonly TestKey[] = [],
  change: Partial<Manifest> = {},
): Promise<SealedImage> {
  const data = new Uint8Array(Math.ceil(filesystem.length / BLOCK) * BLOCK);
  data.set(filesystem);
  const system = change.system ?? "acme";
  const salt = saltOf(system);
  const { tree, rootHash } = hashTree(data, salt);
  const manifest: Manifest = {
    schema: 1,
    system,
    version: "1.0",
    filesystem: "erofs",
    filesystemSize: data.length,
    rootHash,
    salt: salt.toHex(),
    rollbackIndex: 0,
    revokesBelow: null,
    needs: { controlFormat: 1, features: [] },
    kernelSignature: null,
    ...change,
  };
  const payload = encodeManifest(manifest);
  const message = preAuthenticationEncoding(PAYLOAD_TYPE.seal, payload);
  const signatures: Signature[] = [];
  for (const { key, sign } of keys) signatures.push({ keyId: key.id, signature: await sign(message) });
  const seal = encodeEnvelope({ payloadType: PAYLOAD_TYPE.seal, payload, signatures });
  const { hashOffset, treeOffset, sealOffset } = layoutOf(manifest);
  const bytes = new Uint8Array(imageSizeOf(manifest, seal.length));
  bytes.set(data);
  bytes.set(superblockOf(manifest), hashOffset);
  bytes.set(tree, treeOffset);
  bytes.set(seal, sealOffset);
  bytes.set(encodeFooter(footerOf(seal, sealOffset)), bytes.length - BLOCK);
  return { bytes, manifest };
}
