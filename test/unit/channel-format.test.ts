/** The channel's file: one form, strictly read, and believed only with its signatures. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  type Channel,
  decodeChannel,
  decodeSignedChannel,
  encodeChannel,
  imageNameFault,
  LONGEST_CHANNEL,
  LONGEST_IMAGE_NAME,
  MOST_RELEASES,
  releaseFault,
} from "../../boot/channel/channel.ts";
import { encodeEnvelope, MOST_SIGNATURES, PAYLOAD_TYPE } from "../../boot/image/envelope.ts";
import { imageSizeOf, LONGEST_SEAL } from "../../boot/image/seal.ts";
import { judgeEnvelope } from "../../boot/image/trust.ts";
import { BLOCK, MOST_DATA_BLOCKS } from "../../boot/image/verity.ts";
import { canonicalJson } from "../../state-ops/canonical-json.ts";
import { BadInput } from "../../state-ops/outcome.ts";
import { channel, release, signedChannel, signedPayload } from "../samples/channel.ts";
import { sealedImage, testKey } from "../samples/sealed-image.ts";

const encoder = new TextEncoder();
const [first, second, third] = [await testKey(), await testKey(), await testKey()];

/** The message of the BadInput with which `value` is refused as a channel's payload. */
function refused(value: unknown): string {
  try {
    decodeChannel(encoder.encode(canonicalJson(value)));
  } catch (error) {
    if (error instanceof BadInput) return error.message;
    throw error;
  }
  return "it was taken";
}

test("what is encoded is decoded, newest release first", async () => {
  const content = channel({ releases: [release("1.0"), release("1.10", { rollout: 0, minimumVersion: "1.9" }), release("1.9")] });
  const { channel: read } = decodeSignedChannel(await signedChannel(content, [first]));
  assert.equal(
    read.releases.map(({ version }) => version),
    ["1.10", "1.9", "1.0"],
  );
  assert.equal(read, { ...content, releases: read.releases });
  assert.equal(decodeChannel(encodeChannel(channel({ releases: [] }))).releases, []);
});

test("one byte that is cut off, added or changed is refused", async () => {
  const bytes = await signedChannel(channel(), [first]);
  assert.throws(() => decodeSignedChannel(bytes.subarray(0, bytes.length - 1)), /canonical form/);
  assert.throws(() => decodeSignedChannel(Buffer.concat([bytes, encoder.encode(" ")])), /canonical form/);
  assert.throws(() => decodeSignedChannel(new Uint8Array()), /is not JSON/);
  const trust = { mode: "signed" as const, keys: [first.key], threshold: 1 };
  for (let at = 0; at < bytes.length; at += 7) {
    const changed = bytes.slice();
    changed[at] = (changed[at] ?? 0) ^ 1;
    let trusted = false;
    try {
      trusted = (await judgeEnvelope("the channel", decodeSignedChannel(changed).envelope, trust)).trusted;
    } catch (error) {
      assert.instance(error, BadInput);
    }
    assert.is(trusted, false, `byte ${at}`);
  }
});

test("a payload that is not in its one form is refused, whatever signs it", async () => {
  for (const payload of [
    JSON.stringify(channel(), null, 1),
    canonicalJson(channel()).trim(),
    canonicalJson(channel({ releases: [release("1.0"), release("2.0")] })),
    canonicalJson(channel()).replace('"serial":5', '"serial":5.0'),
    canonicalJson(channel()).replace('"serial":5', '"serial":4,"serial":5'),
  ]) {
    const bytes = await signedPayload(encoder.encode(payload), [first]);
    assert.throws(() => decodeSignedChannel(bytes), /canonical form/, payload);
  }
});

test("a seal is no channel, and its signature says nothing of one", async () => {
  const payload = encodeChannel(channel());
  const seal = encodeEnvelope({ payloadType: PAYLOAD_TYPE.seal, payload, signatures: [] });
  assert.throws(() => decodeSignedChannel(seal), /payloadType must be/);
  const { envelope } = decodeSignedChannel(await signedChannel(channel(), [first]));
  const trust = { mode: "signed" as const, keys: [first.key], threshold: 1 };
  assert.is((await judgeEnvelope("the channel", envelope, trust)).trusted, true);
  assert.is((await judgeEnvelope("the channel", { ...envelope, payloadType: PAYLOAD_TYPE.seal }, trust)).trusted, false);
});

test("k of n signatures", async () => {
  const judge = async (signers: (typeof first)[], threshold: number) => {
    const { envelope } = decodeSignedChannel(await signedChannel(channel(), signers));
    return judgeEnvelope("the channel", envelope, { mode: "signed", keys: [first.key, second.key], threshold });
  };
  assert.equal(await judge([first, second], 2), { trusted: true, signers: [first, second].map(({ key }) => key.id).sort() });
  assert.match(JSON.stringify(await judge([first], 2)), /is signed by 1 trusted keys, and must be by 2 of 2/);
  assert.match(JSON.stringify(await judge([first, third], 2)), /is signed by 1 trusted keys; not trusted/);
  assert.match(JSON.stringify(await judge([third], 1)), /is signed by 0 trusted keys; not trusted/);
  assert.match(JSON.stringify(await judge([], 1)), /the channel is not signed/);
});

const one = (change: object) => ({ ...channel(), releases: [{ ...release("2.0"), ...change }] });
const table: [name: string, value: unknown, message: RegExp][] = [
  ["an unknown key", { ...channel(), expires: 1 }, /the channel\.expires is not known to this version/],
  ["a missing key", { ...channel(), serial: undefined }, /./],
  ["a newer schema", { ...channel(), schema: 2 }, /this slipway is older than the channel/],
  ["no object", [], /the channel must be an object, is a list/],
  ["an empty name", { ...channel(), channel: "" }, /channel\.channel must be a text/],
  ["a name with a slash", { ...channel(), channel: "a/b" }, /channel\.channel: may have letters/],
  ["a long name", { ...channel(), channel: "a".repeat(65) }, /has 65 characters, the most are 64/],
  ["a system with a newline", { ...channel(), system: "a\nb" }, /channel\.system: may have letters/],
  ["serial 0", { ...channel(), serial: 0 }, /serial must be a whole number from 1/],
  ["a serial below 0", { ...channel(), serial: -1 }, /serial must be a whole number/],
  ["a serial that is no whole number", { ...channel(), serial: 1.5 }, /serial must be a whole number/],
  ["a serial past exact numbers", { ...channel(), serial: 2 ** 53 }, /serial must be a whole number/],
  ["a serial as text", { ...channel(), serial: "7" }, /serial must be a whole number.*is "7"/],
  ["releases that are no list", { ...channel(), releases: {} }, /releases must be a list/],
  ["a release that is none", { ...channel(), releases: [null] }, /releases\[0\] must be an object/],
  ["an unknown key of a release", one({ url: "https://evil.example" }), /releases\[0\]\.url is not known/],
  ["an unknown key of objects", one({ constructor: 1 }), /releases\[0\]\.constructor is not known/],
  ["a size of 0", one({ imageSize: 0 }), /imageSize must be a whole number from 24576/],
  ["a size one block too small", one({ imageSize: 5 * BLOCK }), /imageSize must be a whole number from 24576/],
  ["a size that is no multiple", one({ imageSize: 8 * BLOCK + 1 }), /imageSize must be a multiple of 4096/],
  ["a size of 2^53", one({ imageSize: 2 ** 53 }), /imageSize must be a whole number/],
  ["a root hash in capitals", one({ rootHash: "AB".repeat(32) }), /rootHash must be 64 hex digits/],
  ["a short root hash", one({ rootHash: "ab".repeat(31) }), /rootHash must be 64 hex digits/],
  ["a rollback index below 0", one({ rollbackIndex: -1 }), /rollbackIndex must be a whole number/],
  ["a share above 100", one({ rollout: 101 }), /rollout must be a whole number from 0 to 100, is 101/],
  ["a share below 0", one({ rollout: -1 }), /rollout must be a whole number/],
  ["half a percent", one({ rollout: 0.5 }), /rollout must be a whole number/],
  ["a share as text", one({ rollout: "100" }), /rollout must be a whole number/],
  ["an empty minimum version", one({ minimumVersion: "" }), /minimumVersion must be a text/],
  ["a minimum version with a space", one({ minimumVersion: "1 2" }), /minimumVersion: may have letters/],
  [
    "one image twice",
    channel({ releases: [release("2"), release("1", { image: "acme-2.img" })] }),
    /two releases with the image/,
  ],
  [
    "one root hash twice",
    channel({ releases: [release("2"), release("1", { rootHash: release("2").rootHash })] }),
    /two releases with the root hash/,
  ],
  ["one version twice", channel({ releases: [release("1.0"), release("1.00")] }), /neither is newer: 1\.0 and 1\.00/],
];

for (const [name, value, message] of table) {
  test(`refused: ${name}`, () => {
    const { serial, ...rest } = channel();
    assert.match(
      refused(name === "a missing key" ? rest : value),
      name === "a missing key" ? /serial is missing/ : message,
      `${serial}`,
    );
  });
}

test("names of images that would leave the directory, or mean something in a URL, are refused", () => {
  const long = "a".repeat(LONGEST_IMAGE_NAME);
  for (const name of [
    "../v2.img",
    "..",
    ".",
    ".hidden",
    "/v2.img",
    "a/v2.img",
    "a\\v2.img",
    "%2e%2e%2fv2.img",
    "http://evil.example/v2.img",
    "//evil.example/v2.img",
    "file:v2.img",
    "v2.img?x=1",
    "v2.img#x",
    "v2 .img",
    "v2.img\n",
    "v2.img\0",
    "-rf",
    "~root",
    "ü.img",
    "channel.json",
    "v2.img.idx",
    `${long}a`,
  ]) {
    assert.type(imageNameFault(name), "string", name);
    assert.match(refused(one({ image: name })), /releases\[0\]\.image/, name);
  }
  for (const name of ["v2.img", "acme-1.0~rc1+b_2.img", "CHANNEL.json", "v2.idx.img", long]) {
    assert.is(imageNameFault(name), null, name);
  }
});

test("at the limits all is taken, past them nothing", async () => {
  const largest = imageSizeOf({ filesystemSize: MOST_DATA_BLOCKS * BLOCK }, LONGEST_SEAL);
  const decode = (content: Channel) => decodeChannel(encodeChannel(content));
  assert.is(decode(one({ imageSize: largest })).releases[0]?.imageSize, largest);
  assert.match(refused(one({ imageSize: largest + BLOCK })), /imageSize must be a whole number/);
  assert.is(decode(channel({ serial: Number.MAX_SAFE_INTEGER })).serial, Number.MAX_SAFE_INTEGER);
  assert.is(decode(one({ imageSize: 6 * BLOCK, rollout: 0, rollbackIndex: Number.MAX_SAFE_INTEGER })).releases.length, 1);

  const long = (index: number) => `${"v".repeat(60)}${1000 + index}`;
  const full = Array.from({ length: MOST_RELEASES }, (_, index) => {
    const image = `${1000 + index}${"i".repeat(LONGEST_IMAGE_NAME - 4)}`;
    const most = { imageSize: largest, rollbackIndex: Number.MAX_SAFE_INTEGER, minimumVersion: long(index) };
    return release(long(index), { image, ...most });
  });
  const keys = await Promise.all(Array.from({ length: MOST_SIGNATURES }, () => testKey()));
  const bytes = await signedChannel(channel({ releases: full, serial: Number.MAX_SAFE_INTEGER }), keys);
  assert.is(decodeSignedChannel(bytes).channel.releases.length, MOST_RELEASES);
  assert.match(refused(channel({ releases: [release("w"), ...full] })), /releases must be a list of at most 256/);
  assert.throws(() => decodeSignedChannel(new Uint8Array(LONGEST_CHANNEL + 1).fill(32)), /262145 bytes, the most are 262144/);
});

test("an image that is not the one that the channel names", async () => {
  const { manifest, bytes } = await sealedImage(new Uint8Array(8 * BLOCK).fill(7), [], { version: "2.0", rollbackIndex: 3 });
  const named = release("2.0", { rootHash: manifest.rootHash, imageSize: bytes.length, rollbackIndex: 3 });
  const fault = (change: object, size = bytes.length) =>
    releaseFault({ channel: channel(), release: named }, { ...manifest, ...change }, size);
  assert.is(fault({}), null);
  assert.match(fault({ system: "other" }) ?? "", /its system is other, named is acme; was the file replaced\?/);
  assert.match(
    fault({ version: "1.0" }) ?? "",
    /acme-2\.0\.img is not the image that channel stable names as 2\.0: its version is 1\.0/,
  );
  assert.match(fault({ rootHash: "00".repeat(32) }) ?? "", /its root hash is 0{64}/);
  assert.match(fault({ rollbackIndex: 4 }) ?? "", /its rollback index is 4, named is 3/);
  assert.match(fault({}, bytes.length + BLOCK) ?? "", /its size is/);
});

test.run();
