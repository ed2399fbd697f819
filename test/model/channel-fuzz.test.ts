/** Whatever the bytes of a channel's file: a clear refusal or a channel whose one form they are; and versions have one order. */
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { decodeSignedChannel, encodeChannel, LONGEST_CHANNEL, type Release } from "../../boot/channel/channel.ts";
import { withSerial } from "../../boot/channel/serial.ts";
import { compareVersions } from "../../boot/channel/version-order.ts";
import { encodeEnvelope, PAYLOAD_TYPE } from "../../boot/image/envelope.ts";
import { labelFault } from "../../boot/image/seal.ts";
import { freshRecord } from "../../boot/record/store.ts";
import { canonicalJson } from "../../state-ops/canonical-json.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import { channel, release } from "../samples/channel.ts";
import { keyPair, signatureOf } from "../samples/image-parts.ts";
import { Ends, editedText, encode, odd, outcome, runs } from "./fuzz-inputs.ts";

const key = keyPair("publisher");
const signed = (payload: Uint8Array) => {
  const payloadType = PAYLOAD_TYPE.channel;
  return encodeEnvelope({ payloadType, payload, signatures: [signatureOf(key, payloadType, payload)] });
};
const sample = channel({
  releases: [release("1.10"), release("1.9", { minimumVersion: "1.2" }), release("1.2~rc1", { rollout: 5 })],
});
const payload = encodeChannel(sample);
const payloadText = new TextDecoder().decode(payload);
const whole = signed(payload);

function check(bytes: Uint8Array, ends: Ends): void {
  const read = outcome(() => decodeSignedChannel(bytes));
  if ("refused" in read) {
    ends.refused++;
    assert.match(read.refused, /^the channel/);
    return;
  }
  ends.accepted++;
  assert.equal(encodeEnvelope(read.value.envelope), bytes);
  assert.equal(encodeChannel(read.value.channel), read.value.envelope.payload);
}

test("channel: an edit of its file, or of what is signed in it, is refused or leaves one form", () => {
  const ends = new Ends();
  const input = fc.oneof(
    editedText(new TextDecoder().decode(whole)).map(encode),
    editedText(payloadText).map((text) => signed(encode(text))),
    fc.constant(whole),
    fc.uint8Array({ maxLength: 300 }),
  );
  fc.assert(
    fc.property(input, (bytes) => check(bytes, ends)),
    runs(2000),
  );
  ends.check(100, 500);
});

/** Whatever can be signed at all. */
function signedValue(value: unknown): Uint8Array | null {
  try {
    return signed(encode(canonicalJson(value)));
  } catch {
    return null; // what no JSON can hold
  }
}

test("channel: whatever stands under a key of it or of a release is refused, or kept to the byte", () => {
  const ends = new Ends();
  const inChannel = fc.tuple(fc.constantFrom(...Object.keys(sample), "expires", "__proto__"), odd);
  const inRelease = fc.tuple(fc.constantFrom(...Object.keys(release("1")), "url", "__proto__"), odd);
  const value = fc.oneof(
    inChannel.map(([name, put]) => ({ ...sample, ...Object.fromEntries([[name, put]]) })),
    inRelease.map(([name, put]) => ({ ...sample, releases: [{ ...release("1.10"), ...Object.fromEntries([[name, put]]) }] })),
  );
  fc.assert(
    fc.property(value, (changed) => {
      const bytes = signedValue(changed);
      if (bytes !== null) check(bytes, ends);
    }),
    runs(2000),
  );
  ends.check(50, 500);
});

const names = fc.constantFrom(
  "",
  "/",
  "\\",
  "..",
  ".",
  "%2e%2e",
  "a/../b",
  "?",
  "#",
  "\0",
  "é",
  "channel.json",
  "a.idx",
  "a b",
  "CON",
);

test("channel: an image's name is a file name and nothing else, in the directory and behind a URL", () => {
  const name = fc.oneof(fc.string({ unit: "binary", maxLength: 12 }), fc.stringMatching(/^[A-Za-z0-9._+~-]{1,12}$/), names);
  let accepted = 0;
  fc.assert(
    fc.property(name, (image) => {
      const bytes = signedValue({ ...sample, releases: [release("1", { image })] });
      const read = bytes === null ? { refused: "" } : outcome(() => decodeSignedChannel(bytes));
      if ("refused" in read) return;
      accepted++;
      const url = new URL(image, "https://updates.example/gateway/");
      assert.is(url.href, `https://updates.example/gateway/${image}`);
    }),
    runs(1500),
  );
  assert.ok(accepted > 50, `${accepted} names were accepted`);
});

/** As versions are written, and as they could be. */
const version = fc
  .oneof(
    fc.stringMatching(/^[0-9]{1,2}(\.[0-9]{1,2}){0,2}([~+-](rc|a|[0-9])[0-9]?)?$/),
    fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._+~-]{0,8}$/),
    fc.stringMatching(/^[01a][01a.~+_-]{0,4}$/),
  )
  .filter((text) => labelFault(text) === null);

test("versions: one order, in which nothing is both above and below, and no circle", () => {
  const seen = { below: 0, equal: 0 };
  fc.assert(
    fc.property(version, version, version, (left, middle, right) => {
      assert.is(compareVersions(left, left), 0);
      const order = compareVersions(left, middle);
      assert.is(Math.sign(compareVersions(middle, left)) + order, 0, `${left} and ${middle}`);
      if (order === 0) seen.equal++;
      else seen.below++;
      const sorted = [left, middle, right].sort(compareVersions);
      const [first = "", second = "", third = ""] = sorted;
      assert.ok(compareVersions(first, second) <= 0 && compareVersions(second, third) <= 0, sorted.join(" "));
      assert.ok(compareVersions(first, third) <= 0, `a circle: ${sorted.join(" ")}`);
      if (compareVersions(first, second) === 0) assert.is(compareVersions(first, third), compareVersions(second, third));
    }),
    runs(5000),
  );
  assert.ok(seen.below > 500, JSON.stringify(seen));
});

test("channel: the order in which a builder names releases changes nothing", () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(version, { maxLength: 6, comparator: (a, b) => compareVersions(a, b) === 0 }),
      fc.nat(),
      (all, turn) => {
        const releases: Release[] = all.map((text) => release(text));
        const turned = [...releases.slice(turn % (all.length || 1)), ...releases.slice(0, turn % (all.length || 1))];
        assert.equal(encodeChannel({ ...sample, releases: turned }), encodeChannel({ ...sample, releases }));
      },
    ),
    runs(500),
  );
});

test("serials: in whatever order lists come, the one that is taken never goes back", () => {
  const policy = { slots: ["a", "b"], tries: { trial: 3, committed: 10 } };
  const lists = fc.array(
    fc.record({ channel: fc.constantFrom("stable", "beta", "__proto__", "toString"), serial: fc.integer({ min: 1, max: 9 }) }),
    { maxLength: 12 },
  );
  let refusals = 0;
  fc.assert(
    fc.property(lists, (all) => {
      let record = freshRecord(policy);
      const highest = new Map<string, number>();
      for (const list of all) {
        const before = highest.get(list.channel) ?? 0;
        try {
          record = withSerial(record, list);
          assert.ok(list.serial >= before, `${list.channel} ${list.serial} was taken after ${before}`);
          highest.set(list.channel, list.serial);
        } catch (error) {
          assert.instance(error, Refusal, String(error));
          assert.ok(list.serial < before);
          refusals++;
        }
      }
      for (const [name, serial] of highest)
        assert.is(Object.getOwnPropertyDescriptor(record.channelSerials ?? {}, name)?.value, serial, name);
    }),
    runs(500),
  );
  assert.ok(refusals > 50);
});

for (const [name, text] of [
  ["many releases", canonicalJson({ ...sample, releases: Array.from({ length: 250 }, (_, index) => release(`1.${index}`)) })],
  [
    "versions that take long to compare",
    canonicalJson({ ...sample, releases: Array.from({ length: 250 }, (_, index) => release(`${"0".repeat(60)}${index}`)) }),
  ],
  ["no releases, but 256 KiB", `{${" ".repeat(LONGEST_CHANNEL)}}`],
  ["lists in each other", "[".repeat(100_000)],
] as const) {
  test(`costly channel: ${name}`, () => {
    outcome(() => decodeSignedChannel(signed(encode(text))));
  });
}

test.run();
