/**
 * Whatever the bytes of a footer, a superblock, a seal, an envelope or a key: a clear refusal or a value whose one form is those
 * very bytes, in bounded time. SLIPWAY_SEED repeats a run.
 */
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { readSuperblock } from "../../boot/devices/superblock.ts";
import { decodeEnvelope, encodeEnvelope, PAYLOAD_TYPE, parseJson } from "../../boot/image/envelope.ts";
import { decodeFooter, encodeFooter } from "../../boot/image/footer.ts";
import { publicKeyPem, readPublicKeyPem } from "../../boot/image/keys.ts";
import { decodeManifest, decodeSeal, encodeManifest, LONGEST_SEAL, layoutOf } from "../../boot/image/seal.ts";
import { judgeEnvelope } from "../../boot/image/trust.ts";
import { BLOCK, decodeVeritySuperblock, encodeVeritySuperblock } from "../../boot/image/verity.ts";
import { readSeal } from "../../init/image/read-seal.ts";
import { O } from "../../init/kernel/constants.ts";
import { RecordingKernel } from "../../init/kernel/recording/recording.ts";
import { sha256Bytes } from "../../state-ops/sha256.ts";
import { imageOf, keyPair, sampleFilesystem, sealOver, trustIn } from "../samples/image-parts.ts";
import { Ends, editedBytes, editedText, encode, numbers, odd, outcome, runs } from "./fuzz-inputs.ts";

const keys = [keyPair("first"), keyPair("second")];
const whole = imageOf(sampleFilesystem(130, "fuzz"), keys);
const { manifest, layout, parts } = whole;
const sealText = new TextDecoder().decode(parts.seal);

test("footer: none, a fault, or a footer whose one form the bytes are and whose seal lies in the file", () => {
  const ends = new Ends();
  const edited = editedBytes(parts.footer, 96);
  /** As one who wants to deceive writes it: with the right digest. */
  const resigned = edited.map((bytes) => {
    const block = new Uint8Array(BLOCK);
    block.set(bytes.subarray(0, BLOCK));
    block.set(sha256Bytes(block.subarray(0, 56)), 56);
    return block;
  });
  const sizes = fc.oneof(fc.constant(whole.bytes.length), fc.constantFrom(0, 1, BLOCK, 2 * BLOCK, ...numbers), fc.nat());
  const input = fc.oneof(edited, resigned, resigned, fc.constant(parts.footer), fc.uint8Array({ maxLength: 5000 }));
  fc.assert(
    fc.property(input, sizes, (bytes, size) => {
      const reading = decodeFooter(bytes, size);
      if (reading.is !== "footer") {
        ends.refused++;
        if (reading.is === "fault") assert.match(reading.reason, /^the footer /);
        return;
      }
      ends.accepted++;
      assert.equal(encodeFooter(reading.footer), bytes);
      const { sealOffset, sealLength } = reading.footer;
      assert.ok(Number.isSafeInteger(sealOffset) && sealOffset >= 0 && sealOffset + sealLength <= size - BLOCK);
    }),
    runs(3000),
  );
  ends.check(50, 500);
});

test("superblock of verity: a fault, or parameters within the limits", () => {
  const ends = new Ends();
  const input = fc.oneof(editedBytes(parts.superblock, 512), fc.constant(parts.superblock), fc.uint8Array({ maxLength: 5000 }));
  fc.assert(
    fc.property(input, (bytes) => {
      const read = decodeVeritySuperblock(bytes);
      if ("fault" in read) {
        ends.refused++;
        return;
      }
      ends.accepted++;
      const { parameters } = read;
      assert.ok(parameters.dataBlocks >= 2 && parameters.dataBlocks <= 2 ** 31 && parameters.salt.length <= 256);
      assert.equal(decodeVeritySuperblock(encodeVeritySuperblock(parameters)), { parameters });
    }),
    runs(3000),
  );
  ends.check(300, 500);
});

/** Checks that what was read of `bytes` is what these bytes, and none else, say. */
function checkSeal(bytes: Uint8Array, ends: Ends): void {
  const read = outcome(() => decodeSeal(bytes));
  if ("refused" in read) {
    ends.refused++;
    assert.match(read.refused, /^the seal/);
    return;
  }
  ends.accepted++;
  const { envelope, manifest } = read.value;
  assert.equal(encodeEnvelope(envelope), bytes);
  assert.equal(encodeManifest(manifest), envelope.payload);
  const places = layoutOf(manifest);
  assert.ok(Number.isSafeInteger(places.sealOffset) && places.sealOffset % BLOCK === 0);
}

test("seal: its text edited is refused, unless it is another seal in its one form", () => {
  const ends = new Ends();
  const swapped = fc.tuple(fc.nat(sealText.length - 1), fc.constantFrom(..."0123456789abcdefABCDEF+/=_-")).map(([at, letter]) => {
    return encode(sealText.slice(0, at) + letter + sealText.slice(at + 1)); // often another signature, rarely another payload
  });
  const input = fc.oneof(
    editedText(sealText).map(encode),
    editedBytes(parts.seal),
    swapped,
    fc.constant(parts.seal),
    fc.uint8Array({ maxLength: 300 }),
    fc.json().map(encode),
  );
  fc.assert(
    fc.property(input, (bytes) => checkSeal(bytes, ends)),
    runs(3000),
  );
  ends.check(300, 1000);
});

test("manifest: whatever stands under a key, signed as it should be, is refused or kept to the byte", () => {
  const ends = new Ends();
  const names = fc.constantFrom(...Object.keys(manifest), "schemas", "__proto__", "features", "constructor");
  const needs = fc
    .record({ controlFormat: odd, features: fc.oneof(odd, fc.array(odd, { maxLength: 3 })) })
    .map((value) => ({ needs: value }));
  const change = fc.oneof(
    fc.tuple(names, odd).map(([name, value]) => ({ [name]: value })),
    needs,
    fc.constant({}),
  );
  const sorted = (values: object) => Object.entries(values).sort(([left], [right]) => (left < right ? -1 : 1));
  const changed = change.map((values) => JSON.stringify(Object.fromEntries(sorted({ ...manifest, ...values }))));
  const payload = fc.oneof(
    { weight: 2, arbitrary: changed },
    { weight: 1, arbitrary: editedText(new TextDecoder().decode(encodeManifest(manifest)).trimEnd()) },
  );
  fc.assert(
    fc.property(payload, (text) => {
      const bytes = encode(`${text}\n`);
      const read = outcome(() => decodeManifest(bytes));
      if ("value" in read) assert.equal(encodeManifest(read.value), bytes);
      checkSeal(sealOver(bytes, keys), ends);
    }),
    runs(2000),
  );
  ends.check(100, 500);
});

for (const [name, change] of [
  ["a kernel signature that is no base64", { kernelSignature: "\ud800" }],
  ["a kernel signature with line breaks", { kernelSignature: "AAAA\nAAAA" }],
  ["features out of order", { needs: { controlFormat: 1, features: ["b", "a"] } }],
  ["a feature twice", { needs: { controlFormat: 1, features: ["a", "a"] } }],
] as const) {
  test(`manifest: ${name} is refused`, () => {
    const sorted = Object.entries({ ...manifest, ...change }).sort(([left], [right]) => (left < right ? -1 : 1));
    const read = outcome(() => decodeManifest(encode(`${JSON.stringify(Object.fromEntries(sorted))}\n`)));
    assert.match(
      "refused" in read ? read.refused : "accepted",
      /kernelSignature must be base64|features must be a sorted list of different names/,
    );
  });
}

test("envelope of a channel: an edit is refused, or leaves one form", () => {
  const ends = new Ends();
  const payload = encode('{"serial":1}\n');
  const bytes = encodeEnvelope({ payloadType: PAYLOAD_TYPE.channel, payload, signatures: [] });
  const input = fc.oneof(editedText(new TextDecoder().decode(bytes)).map(encode), fc.constant(bytes), fc.constant(parts.seal));
  fc.assert(
    fc.property(input, (edited) => {
      const read = outcome(() => decodeEnvelope("the channel", PAYLOAD_TYPE.channel, edited));
      if ("refused" in read) {
        ends.refused++;
        return;
      }
      ends.accepted++;
      assert.equal(encodeEnvelope(read.value), edited);
      outcome(() => parseJson("its payload", read.value.payload));
    }),
    runs(1500),
  );
  ends.check(100, 300);
});

test("trust: no edit of a signed seal is trusted with another payload than the one that was signed", async () => {
  const trust = trustIn(keys, 2);
  const ends = new Ends();
  const resigned = fc
    .record({ version: fc.constantFrom("1", "2", "3"), signers: fc.subarray(keys) })
    .map(({ version, signers }) => {
      return sealOver(encodeManifest({ ...manifest, version }), signers);
    });
  const at = sealText.indexOf('"signatures"');
  const forged = fc
    .tuple(fc.nat(sealText.length - at - 1), fc.constantFrom(..."0123456789abcdefABCDEFxyz+/"))
    .map(([place, letter]) => {
      return encode(sealText.slice(0, at + place) + letter + sealText.slice(at + place + 1));
    });
  await fc.assert(
    fc.asyncProperty(fc.oneof(resigned, forged, editedText(sealText).map(encode)), async (bytes) => {
      const read = outcome(() => decodeSeal(bytes));
      if ("refused" in read) return;
      const verdict = await judgeEnvelope("the seal", read.value.envelope, trust);
      if (!verdict.trusted) {
        ends.refused++;
        assert.match(verdict.reason, /^(the seal is (not )?signed|the signature of key [0-9a-f]{12} under the seal is wrong)/);
        return;
      }
      ends.accepted++;
      assert.is(read.value.envelope.signatures.length, 2);
      assert.equal([...verdict.signers].sort(), keys.map((key) => key.publicKey.id).sort());
    }),
    runs(1000),
  );
  ends.check(20, 100);
});

/** Texts that keep a careless reader busy, as long as a seal may be. */
const costly: [string, string][] = [
  ["lists in each other", "[".repeat(LONGEST_SEAL)],
  ["closed ones", `${"[".repeat(LONGEST_SEAL / 2)}${"]".repeat(LONGEST_SEAL / 2)}`],
  ["objects in each other", '{"a":'.repeat(LONGEST_SEAL / 5)],
  ["a number", "9".repeat(LONGEST_SEAL)],
  ["escapes", `"${"\\u0000".repeat(10_000)}"`],
  ["keys", `{${Array.from({ length: 6000 }, (_, index) => `"k${index}":0`).join(",")}}`],
  ["signatures", JSON.stringify({ payload: "", payloadType: PAYLOAD_TYPE.seal, signatures: Array(6000).fill({}) })],
  ["one byte too many", `${sealText}${" ".repeat(LONGEST_SEAL + 1 - sealText.length)}`],
];
for (const [name, text] of costly) {
  test(`costly seal: ${name}`, () => {
    const read = outcome(() => decodeSeal(encode(text)));
    if (!("refused" in read)) throw new Error("it was accepted");
    assert.ok(read.refused.length < 1000, `a message of ${read.refused.length} characters`);
    assert.ok("refused" in outcome(() => decodeManifest(encode(text))));
  });
}

test("public key: an edited PEM file is refused, or is the key that its own PEM file reads as", () => {
  const ends = new Ends();
  const pem = publicKeyPem(keys[0]?.publicKey ?? keyPair("first").publicKey);
  const words = fc.constantFrom(
    "-----BEGIN PUBLIC KEY-----\n",
    "-----END PUBLIC KEY-----\n",
    "PRIVATE ",
    "RSA ",
    "MCowBQYDK2VwAyEA",
    "\r\n",
    "=",
  );
  const more = fc.tuple(fc.nat(pem.length), words).map(([at, word]) => pem.slice(0, at) + word + pem.slice(at));
  fc.assert(
    fc.property(fc.oneof(editedText(pem), more, fc.constant(pem), fc.string({ unit: "binary" })), (text) => {
      const read = outcome(() => readPublicKeyPem("k.pub.pem", text));
      if ("refused" in read) {
        ends.refused++;
        assert.match(read.refused, /^k\.pub\.pem /);
        return;
      }
      ends.accepted++;
      assert.is(read.value.raw.length, 32);
      assert.equal(readPublicKeyPem("again", publicKeyPem(read.value)), read.value);
    }),
    runs(2000),
  );
  ends.check(100, 500);
  for (const text of [
    "-----BEGIN A-----\n".repeat(20_000),
    `-----BEGIN PUBLIC KEY-----\n${"A".repeat(500_000)}`,
    "-".repeat(500_000),
  ])
    assert.ok("refused" in outcome(() => readPublicKeyPem("k.pub.pem", text)));
});

test("superblock of a filesystem: whatever the bytes, none or one with a size", () => {
  const image = sampleFilesystem(17, "head");
  const magics: [number, Uint8Array][] = [
    [0, encode("hsqs")],
    [0, encode("XFSB")],
    [0x10040, encode("_BHRfS_M")],
    [1024, Uint8Array.of(0xe2, 0xe1, 0xf5, 0xe0)],
    [1024 + 0x38, Uint8Array.of(0x53, 0xef)],
    [510, Uint8Array.of(0x55, 0xaa)],
  ];
  const input = fc
    .tuple(fc.constantFrom(...magics), editedBytes(image, 2048), fc.nat(image.length))
    .map(([[at, magic], bytes, end]) => {
      const copy = bytes.slice(0, Math.max(end, at + magic.length));
      copy.set(magic.subarray(0, Math.max(0, copy.length - at)), Math.min(at, copy.length));
      return copy;
    });
  fc.assert(
    fc.property(input, (bytes) => {
      const size = readSuperblock(bytes)?.size ?? null;
      assert.ok(size === null || size >= 0n);
    }),
    runs(2000),
  );
});

test("a whole image: whatever was edited in it, readSeal says what it is and throws nothing", () => {
  const ends = new Ends();
  const found = new Set<string>();
  const { sealOffset, hashOffset } = layout;
  const end = whole.bytes.length;
  const place = (from: number, length: number) =>
    editedBytes(whole.bytes.subarray(from, from + length)).map((bytes) => {
      const copy = whole.bytes.slice();
      copy.set(bytes.subarray(0, length), from);
      return copy;
    });
  const without = (bytes: fc.Arbitrary<Uint8Array>) => bytes.map((copy) => copy.fill(0, end - BLOCK, end));
  const areas = [place(0, 2048), place(hashOffset, 512), place(sealOffset, parts.seal.length), place(end - BLOCK, 96)];
  const cut = fc.nat(end).map((size) => whole.bytes.slice(0, size));
  const input = fc.oneof(...areas, ...areas.slice(0, 3).map(without), without(fc.constant(whole.bytes.slice())), cut);
  fc.assert(
    fc.property(input, (bytes) => {
      const kernel = new RecordingKernel({ initramfs: { image: bytes } });
      const reading = readSeal(kernel, kernel.open("/image", O.RDONLY), BigInt(bytes.length));
      found.add(reading.is === "sealed" ? `sealed by ${reading.by}` : reading.is);
      if (reading.is !== "sealed") {
        ends.refused++;
        assert.ok(reading.reason.length > 10);
        return;
      }
      ends.accepted++;
      assert.equal(encodeEnvelope(reading.seal.envelope), reading.seal.bytes);
      assert.is(reading.layout.sealOffset, layoutOf(reading.seal.manifest).sealOffset);
    }),
    runs(1500),
  );
  ends.check(100, 300);
  assert.equal([...found].sort(), ["fault", "sealed by footer", "sealed by search", "unsealed"]);
});

test.run();
