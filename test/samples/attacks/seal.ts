/** Attacks on the seal: its text, its signatures, and what somebody who may sign could write into it by mistake. */
import { encodeEnvelope, PAYLOAD_TYPE, type Signature } from "../../../boot/image/envelope.ts";
import { encodeManifest } from "../../../boot/image/seal.ts";
import { BLOCK } from "../../../boot/image/verity.ts";
import { imageOf, signatureOf } from "../image-parts.ts";
import { type Attack, type AttackedWorld, attacks, flipped, withManifest, withParts, withPayload } from "./attack.ts";

const bytesOf = (text: string) => new Uint8Array(Buffer.from(text));

/** The text of the seal is changed, and the footer made to fit: everyone can do that. */
export function textAttacks(world: AttackedWorld): Attack[] {
  const { seal } = world.image.parts;
  const text = new TextDecoder().decode(seal);
  const payloadAt = text.indexOf('"payload":"') + '"payload":"'.length;
  const edited = (pattern: string | RegExp, put: string) => () => withParts(world, { seal: bytesOf(text.replace(pattern, put)) });
  const notCanonical = /the seal is not in its canonical form/;
  const payload = (change: (manifest: string) => string) => {
    const changed = change(new TextDecoder().decode(encodeManifest(world.image.manifest)));
    return edited(text.slice(payloadAt, text.indexOf('"', payloadAt)), bytesOf(changed).toBase64());
  };
  return attacks("seal", [
    [
      "a byte of the seal, the footer as it was",
      /the seal (at \d+ )?is not the one that the footer names/,
      () => {
        return flipped(world.image.bytes, world.image.layout.sealOffset + payloadAt);
      },
    ],
    [
      "another version in the signed manifest",
      /the signature of key [0-9a-f]{12} under the seal is wrong/,
      payload((manifest) => {
        return manifest.replace('"version":"5"', '"version":"7"');
      }),
    ],
    [
      "another root hash in the signed manifest",
      /the signature of key [0-9a-f]{12} under the seal is wrong/,
      payload((manifest) => {
        return manifest.replace(world.image.manifest.rootHash, world.other.manifest.rootHash);
      }),
    ],
    ["an open end", /the seal is not JSON/, edited(/\}\n$/, "\n")],
    ["a space", notCanonical, edited(/^\{/, "{ ")],
    ["no newline at the end", notCanonical, edited(/\n$/, "")],
    ["a second newline", notCanonical, edited(/\n$/, "\n\n")],
    ["a byte order mark", notCanonical, edited(/^/, "\ufeff")],
    ["bytes behind the seal that are no JSON", /the seal is not JSON/, edited(/$/, "x")],
    ["a zero byte in the seal", /the seal is not JSON/, edited(/^\{/, "{\0")],
    ["a key twice in the envelope", notCanonical, edited(/^\{/, `{"payload":"${bytesOf("{}").toBase64()}",`)],
    ["a letter as an escape", notCanonical, edited('"payload"', '"p\\u0061yload"')],
    ["a payload in base64 with a line break", notCanonical, edited(/("payload":".{20})/, "$1\\n")],
    ["a payload that is no base64", /the seal\.payload must be base64/, edited(/("payload":".{20})/, "$1!")],
    ["an unknown key in the envelope", /the seal\.expires is not known to this version/, edited(/^\{/, '{"expires":1,')],
    ["no signatures' list", /the seal\.signatures is missing/, edited(/,"signatures":\[.*\]/, "")],
    [
      "a key id in capitals",
      /signatures\[0\]\.keyid must be 64 hex digits/,
      edited(/"keyid":"[0-9a-f]{64}"/, `"keyid":"${"A".repeat(64)}"`),
    ],
    [
      "a signature of 63 bytes",
      /signatures\[0\]\.sig must be 64 bytes/,
      edited(/"sig":"[^"]*"/, `"sig":"${new Uint8Array(63).toBase64()}"`),
    ],
    ["a list instead of a seal", /the seal must be an object, is a list/, () => withParts(world, { seal: bytesOf("[]\n") })],
  ]);
}

/** Too few signatures, and such as say nothing. */
export function signatureAttacks(world: AttackedWorld): Attack[] {
  const { keys, stranger, image } = world;
  const [first, second] = keys;
  const payload = encodeManifest(image.manifest);
  const by =
    (...signatures: Signature[]) =>
    () => {
      return withParts(world, { seal: encodeEnvelope({ payloadType: PAYLOAD_TYPE.seal, payload, signatures }) });
    };
  const sign = (key: typeof first, payloadType: string = PAYLOAD_TYPE.seal, keyId?: string) => {
    return signatureOf(key, payloadType, payload, keyId);
  };
  const wrong = /the signature of key [0-9a-f]{12} under the seal is wrong/;
  const good = sign(first);
  const both = [good, sign(second)].sort((left, right) => (left.keyId < right.keyId ? 1 : -1));
  const backwards = JSON.stringify({
    payload: payload.toBase64(),
    payloadType: PAYLOAD_TYPE.seal,
    signatures: both.map(({ keyId, signature }) => ({ keyid: keyId, sig: signature.toBase64() })),
  });
  const many = Array.from({ length: 17 }, (_, index) => ({
    keyId: index.toString(16).padStart(64, "0"),
    signature: good.signature,
  }));
  return attacks("seal", [
    ["no signature", /the seal is not signed, and must be by 2 of 3 trusted keys/, by()],
    ["one signature of the two", /the seal is signed by 1 trusted keys, and must be by 2 of 3/, by(good)],
    ["one key's signature twice", /the seal has two signatures of one key/, by(good, good)],
    [
      "a signature of a key that is not trusted",
      /signed by [01] trusted keys; not trusted: [0-9a-f]{12}, and must/,
      by(good, sign(stranger)),
    ],
    ["only a stranger's signature", /signed by [01] trusted keys; not trusted: [0-9a-f]{12}, and must/, by(sign(stranger))],
    [
      "a trusted key's signature under another trusted key's id",
      wrong,
      by(good, sign(first, PAYLOAD_TYPE.seal, second.publicKey.id)),
    ],
    ["a stranger's signature under a trusted key's id", wrong, by(good, sign(stranger, PAYLOAD_TYPE.seal, second.publicKey.id))],
    ["one bit of a signature", wrong, by(good, { ...sign(second), signature: flipped(sign(second).signature, 63, 0x10) })],
    [
      "signatures of zeros",
      wrong,
      by(...[first, second].map(({ publicKey }) => ({ keyId: publicKey.id, signature: new Uint8Array(64) }))),
    ],
    [
      "signatures over the payload as a channel's",
      wrong,
      by(sign(first, PAYLOAD_TYPE.channel), sign(second, PAYLOAD_TYPE.channel)),
    ],
    [
      "the signatures of another image's seal",
      wrong,
      () => {
        const signatures = [first, second].map((key) =>
          signatureOf(key, PAYLOAD_TYPE.seal, encodeManifest(world.other.manifest)),
        );
        return withParts(world, { seal: encodeEnvelope({ payloadType: PAYLOAD_TYPE.seal, payload, signatures }) });
      },
    ],
    [
      "a channel's envelope in the place of the seal",
      /the seal\.payloadType must be "[^"]*seal\+json", is "[^"]*channel\+json"/,
      () => {
        const signatures = [sign(first, PAYLOAD_TYPE.channel), sign(second, PAYLOAD_TYPE.channel)];
        return withParts(world, { seal: encodeEnvelope({ payloadType: PAYLOAD_TYPE.channel, payload, signatures }) });
      },
    ],
    [
      "signatures in another order",
      /the seal is not in its canonical form/,
      () => withParts(world, { seal: bytesOf(`${backwards}\n`) }),
    ],
    ["seventeen signatures", /signatures must be a list of at most 16/, by(...many)],
  ]);
}

/** Signed by those who are trusted: what a careless or foolish builder made. */
export function manifestAttacks(world: AttackedWorld): Attack[] {
  const { manifest } = world.image;
  const text = new TextDecoder().decode(encodeManifest(manifest));
  const says = (key: string, json: string) => () =>
    withPayload(world, text.replace(new RegExp(`"${key}":[^,}]*`), `"${key}":${json}`));
  const size = (json: string | number) => says("filesystemSize", String(json));
  const wholeSize = /the seal's manifest\.filesystemSize must be a whole number from 8192 to 8796093022208, is /;
  const elsewhere = /the seal lies at \d+, an image of its size has it at \d+/;
  const notCanonical = /the seal's manifest is not in its canonical form/;
  return attacks("seal", [
    ["schema 2", /schema must be 1, is 2; this slipway is older than the image/, says("schema", "2")],
    ["no schema", /the seal's manifest\.schema is missing/, () => withPayload(world, text.replace('"schema":1,', ""))],
    ["an unknown key", /the seal's manifest\.zebra is not known/, () => withPayload(world, text.replace("}\n", ',"zebra":1}\n'))],
    ["a key twice", notCanonical, () => withPayload(world, text.replace('"system":', '"system":"other","system":'))],
    ["a manifest that is no JSON", /the seal's manifest is not JSON/, () => withPayload(world, "{")],
    ["a filesystem of no size", wholeSize, size(0)],
    ["a filesystem of one block", wholeSize, size(BLOCK)],
    ["a filesystem of a negative size", wholeSize, size(-BLOCK)],
    ["a filesystem of half a byte more", wholeSize, size(manifest.filesystemSize + 0.5)],
    ["a filesystem's size in quotes", wholeSize, size(`"${manifest.filesystemSize}"`)],
    ["a filesystem of no number", wholeSize, size("null")],
    ["a filesystem's size with an exponent", notCanonical, size(`${manifest.filesystemSize / 10}e1`)],
    ["a filesystem that ends within a block", /filesystemSize must be a multiple of 4096/, size(manifest.filesystemSize + 512)],
    ["a filesystem of one block less", elsewhere, size(manifest.filesystemSize - BLOCK)],
    ["a filesystem of one block more", elsewhere, size(manifest.filesystemSize + BLOCK)],
    ["a filesystem of two blocks, the least", elsewhere, size(2 * BLOCK)],
    ["a filesystem of 8 TiB, the most", elsewhere, size(2 ** 43)],
    ["a filesystem of a block more than 8 TiB", wholeSize, size(2 ** 43 + BLOCK)],
    ["a filesystem of 2^53 bytes", wholeSize, size(2 ** 53)],
    ["a filesystem of more than a number can say", wholeSize, size("1e999")],
    ["a negative rollback index", /rollbackIndex must be a whole number from 0/, says("rollbackIndex", "-1")],
    ["a rollback index of 2^53", /rollbackIndex must be a whole number from 0/, says("rollbackIndex", `${2 ** 53}`)],
    ["a seal that revokes itself", /revokesBelow must be a whole number from 0 to 5/, says("revokesBelow", "6")],
    ["half a root hash", /rootHash must be 64 hex digits/, says("rootHash", `"${manifest.rootHash.slice(32)}"`)],
    ["a root hash in capitals", /rootHash must be 64 hex digits/, says("rootHash", `"${"AB".repeat(32)}"`)],
    ["a salt of its own", /salt is not the one of the system small/, says("salt", `"${"00".repeat(32)}"`)],
    ["no salt", /salt must be 2 to 512 hex digits/, says("salt", '"z"')],
    ["a filesystem that no image has", /filesystem must be "erofs" or "squashfs"/, says("filesystem", '"vfat"')],
    ["a system's name with a slash", /system: may have letters, digits/, says("system", '"../small"')],
    ["a version of 65 characters", /version: has 65 characters, the most are 64/, says("version", `"${"1".repeat(65)}"`)],
    ["a kernel signature that no JSON could hold", /kernelSignature must be base64/, says("kernelSignature", '"\\ud800"')],
  ]);
}

/** Seals that are right, and must be refused by this machine all the same. */
export function foreignAttacks(world: AttackedWorld): Attack[] {
  const signers = world.keys.slice(0, 2);
  return attacks("seal", [
    [
      "an older image, whose rollback index is below the floor",
      /rollback index 4\b.*\b5\b/,
      () => withManifest(world, { version: "4", rollbackIndex: 4 }),
    ],
    [
      "another system's image",
      /for the system other\b/,
      () => imageOf(world.image.parts.filesystem, signers, { system: "other", rollbackIndex: 9 }).bytes,
    ],
    [
      "an image for a control file of another format",
      /needs control file format 2/,
      () => withManifest(world, { needs: { controlFormat: 2, features: [] } }),
    ],
    [
      "an image that needs what the initrd has not",
      /needs the feature teleport/,
      () => {
        return withManifest(world, { needs: { controlFormat: 1, features: ["teleport"] } });
      },
    ],
  ]);
}
