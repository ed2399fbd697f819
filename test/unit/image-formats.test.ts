import { test } from "uvu";
import * as assert from "uvu/assert";
import { decodeEnvelope, encodeEnvelope, PAYLOAD_TYPE, preAuthenticationEncoding } from "../../boot/image/envelope.ts";
import { decodeFooter, encodeFooter, footerOf } from "../../boot/image/footer.ts";
import { publicKey, publicKeyPem, readPublicKeyPem } from "../../boot/image/keys.ts";
import { decodeSeal, encodeManifest, layoutOf, type Manifest } from "../../boot/image/seal.ts";
import { isSignature, judgeEnvelope } from "../../boot/image/trust.ts";
import { decodeVeritySuperblock, encodeVeritySuperblock, saltOf, treeBlocks, treeLevels } from "../../boot/image/verity.ts";

const manifest: Manifest = {
  schema: 1,
  system: "acme",
  version: "1.0",
  filesystem: "erofs",
  filesystemSize: 8 * 4096,
  rootHash: "ab".repeat(32),
  salt: saltOf("acme").toHex(),
  rollbackIndex: 3,
  revokesBelow: null,
  needs: { controlFormat: 1, features: [] },
  kernelSignature: null,
};

test("tree: as many blocks as veritysetup makes", () => {
  for (const [data, blocks] of [
    [2, 1],
    [127, 1],
    [128, 1],
    [129, 3],
    [16384, 129],
    [16385, 132],
  ] as const) {
    assert.is(treeBlocks(data), blocks, `${data} data blocks`);
  }
  assert.equal(treeLevels(16385), [
    { start: 3, blocks: 129 },
    { start: 1, blocks: 2 },
    { start: 0, blocks: 1 },
  ]);
});

test("superblock of verity: what is encoded is decoded", () => {
  const parameters = { uuid: new Uint8Array(16).fill(5), dataBlocks: 77, salt: new Uint8Array(saltOf("acme")) };
  assert.equal(decodeVeritySuperblock(encodeVeritySuperblock(parameters)), { parameters });
});

test("envelope: the bytes that DSSE signs", () => {
  const bytes = preAuthenticationEncoding("http://example.com/HelloWorld", new TextEncoder().encode("hello world"));
  assert.is(new TextDecoder().decode(bytes), "DSSEv1 29 http://example.com/HelloWorld 11 hello world");
});

test("seal: what is sealed is read again, to the byte, and nothing else", () => {
  const envelope = { payloadType: PAYLOAD_TYPE.seal, payload: encodeManifest(manifest), signatures: [] };
  const bytes = encodeEnvelope(envelope);
  const seal = decodeSeal(bytes);
  assert.equal(seal.manifest, manifest);
  assert.equal(layoutOf(seal.manifest).sealOffset, (8 + 1 + 1) * 4096);
  assert.throws(() => decodeSeal(bytes.subarray(0, bytes.length - 1)), /canonical form/);
  assert.throws(() => decodeEnvelope("the seal", PAYLOAD_TYPE.channel, bytes), /payloadType/);
});

test("footer: what is encoded is decoded; a flipped byte is a fault, no magic is none", () => {
  const { sealDigest, ...rest } = footerOf(new Uint8Array(100), 8192);
  const footer = { ...rest, sealDigest: new Uint8Array(sealDigest) };
  const bytes = encodeFooter(footer);
  assert.equal(decodeFooter(bytes, 1 << 20), { is: "footer", footer });
  for (const at of [9, 13, 17, 30, 60, 100, 4095]) {
    const damaged = bytes.slice();
    damaged[at] = 0x5a;
    assert.is(decodeFooter(damaged, 1 << 20).is, "fault", `byte ${at}`);
  }
  assert.is(decodeFooter(bytes, 8192).is, "fault");
  assert.is(decodeFooter(new Uint8Array(4096), 1 << 20).is, "none");
});

test("trust: k of n, a wrong signature of a trusted key, an unknown key", async () => {
  const pairs = await Promise.all(
    [1, 2, 3].map(async () => {
      const pair = await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"]);
      if (!("publicKey" in pair)) throw new Error("a pair of keys");
      const raw = new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey));
      return { key: publicKey(raw), privateKey: pair.privateKey };
    }),
  );
  const [first, second, third] = pairs;
  if (!first || !second || !third) throw new Error("three keys");
  const payload = encodeManifest(manifest);
  const message = preAuthenticationEncoding(PAYLOAD_TYPE.seal, payload);
  const sign = async ({ key, privateKey }: typeof first) => ({
    keyId: key.id,
    signature: new Uint8Array(await crypto.subtle.sign("Ed25519", privateKey, new Uint8Array(message))),
  });
  const signatures = [await sign(first), await sign(third)];
  const envelope = { payloadType: PAYLOAD_TYPE.seal, payload, signatures };
  const judge = (threshold: number, keys = [first.key, second.key]) =>
    judgeEnvelope("the seal", envelope, { mode: "signed", keys, threshold });
  assert.ok(await isSignature(first.key, message, signatures[0]?.signature ?? new Uint8Array()));
  assert.equal(await judge(1), { trusted: true, signers: [first.key.id] });
  assert.is((await judge(2)).trusted, false);
  assert.is((await judge(1, [second.key])).trusted, false);
  signatures[0]?.signature.fill(0, 0, 1);
  assert.match(JSON.stringify(await judge(1, [first.key, third.key])), /is wrong/);
});

test("keys: PEM as openssl writes it", () => {
  const key = publicKey(new Uint8Array(32).fill(9));
  assert.equal(readPublicKeyPem("k.pub.pem", publicKeyPem(key)), key);
  assert.throws(
    () => readPublicKeyPem("k.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
    /openssl pkey/,
  );
});

test.run();
