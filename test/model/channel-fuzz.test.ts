/** Whatever the bytes of a channel: a clear error, or a channel whose one form they are, in bounded time. */
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Channel, decodeChannel, decodeSignedChannel, encodeChannel, type Release } from "../../boot/channel/channel.ts";
import { chooseRelease, recoveryReleases } from "../../boot/channel/choose-release.ts";
import { compareVersions, isNewer } from "../../boot/channel/version-order.ts";
import { encodeEnvelope } from "../../boot/image/envelope.ts";
import { canonicalJson } from "../../state-ops/canonical-json.ts";
import { BadInput, Refusal } from "../../state-ops/outcome.ts";
import { channel, release, signedChannel } from "../samples/channel.ts";
import { testKey } from "../samples/sealed-image.ts";

const key = await testKey();
const whole = await signedChannel(channel(), [key]);
const payload = encodeChannel(channel());

/** Reads bytes as a file or a payload; anything but a channel must be BadInput of one short line. */
function readsOrRefuses<Read>(bytes: Uint8Array, read: (bytes: Uint8Array) => Read, again: (read: Read) => Uint8Array): void {
  let content: Read;
  try {
    content = read(bytes);
  } catch (error) {
    if (!(error instanceof BadInput)) throw error;
    assert.ok(error.message.length < 2000 && !error.message.includes("\n"), JSON.stringify(error.message));
    return;
  }
  assert.is(Buffer.compare(again(content), bytes), 0, "two forms of one channel");
}

const cut = (bytes: Uint8Array) =>
  fc
    .record({
      at: fc.nat({ max: bytes.length }),
      drop: fc.nat({ max: 40 }),
      put: fc.oneof(
        fc.uint8Array({ maxLength: 12 }),
        fc
          .constantFrom(
            '"',
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\\u0041",
            "null",
            "1e3",
            "-0",
            "1.0",
            "9".repeat(20),
            '"a":1,',
            "__proto__",
          )
          .map((text) => new TextEncoder().encode(text)),
      ),
    })
    .map(({ at, drop, put }) => Buffer.concat([bytes.subarray(0, at), put, bytes.subarray(at + drop)]));

test("bytes near a channel's file", () => {
  const file = (bytes: Uint8Array) =>
    readsOrRefuses(bytes, decodeSignedChannel, ({ envelope, channel: read }) =>
      encodeEnvelope({ ...envelope, payload: encodeChannel(read) }),
    );
  fc.assert(fc.property(fc.oneof({ weight: 8, arbitrary: cut(whole) }, fc.uint8Array({ maxLength: 200 })), file), {
    numRuns: 3000,
  });
});

test("bytes near its payload", () => {
  const property = fc.property(cut(payload), (bytes) => readsOrRefuses(bytes, decodeChannel, encodeChannel));
  fc.assert(property, { numRuns: 3000 });
});

const values = fc.oneof(
  fc.constantFrom<unknown>(null, true, "", "a", "../x", 0, 1, -1, 1.5, 101, 2 ** 53, "0".repeat(64), [], {}, "x".repeat(300)),
  fc.jsonValue({ maxDepth: 2 }),
);

test("any value in the place of any key", () => {
  const keys = [...Object.keys(channel()), ...Object.keys(release("1.0")).map((name) => `releases.${name}`)];
  const property = fc.property(fc.constantFrom(...keys), values, (name, value) => {
    const [first = "", second] = name.split(".");
    const content =
      second === undefined
        ? { ...channel(), [first]: value }
        : { ...channel(), releases: [{ ...release("2.0"), [second]: value }, release("1.0")] };
    let text: string;
    try {
      text = canonicalJson(content);
    } catch {
      return; // a lone surrogate
    }
    readsOrRefuses(new TextEncoder().encode(text), decodeChannel, encodeChannel);
  });
  fc.assert(property, { numRuns: 3000 });
});

const versions = fc
  .array(fc.constantFrom("1", "2", "10", "0", "a", "rc", "~", "-", "^", ".", "_"), { minLength: 1, maxLength: 5 })
  .map((parts) => `1${parts.join("")}`);

test("versions: whoever is newer than a newer one is newer", () => {
  const property = fc.property(versions, versions, versions, (a, b, c) => {
    const sorted = [a, b, c].sort(compareVersions);
    const [low = "", middle = "", high = ""] = sorted;
    assert.ok(
      compareVersions(low, middle) <= 0 && compareVersions(middle, high) <= 0 && compareVersions(low, high) <= 0,
      `${sorted}`,
    );
  });
  fc.assert(property, { numRuns: 5000 });
});

const releases: fc.Arbitrary<Release[]> = fc.uniqueArray(
  fc
    .record({
      number: fc.nat({ max: 12 }),
      rollout: fc.constantFrom(0, 1, 50, 99, 100),
      rollbackIndex: fc.nat({ max: 3 }),
      minimum: fc.option(fc.nat({ max: 12 })),
    })
    .map(({ number, minimum, ...rest }) =>
      release(`1.${number}`, { ...rest, minimumVersion: minimum === null ? null : `1.${minimum}` }),
    ),
  { selector: ({ version }) => version },
);

test("choice: what is taken may be taken, and every other has a reason", () => {
  const machine = fc.record({
    running: fc.option(
      fc.nat({ max: 12 }).map((number) => ({ version: `1.${number}`, imageId: release(`1.${number}`).rootHash })),
    ),
    installFloor: fc.nat({ max: 3 }),
    quarantined: fc.array(
      fc.nat({ max: 12 }).map((number) => ({ imageId: release(`1.${number}`).rootHash, reason: "r", attempt: 1 })),
      { maxLength: 3 },
    ),
    machineId: fc.option(fc.constantFrom("a".repeat(32), "b".repeat(32))),
  });
  const property = fc.property(releases, machine, fc.boolean(), fc.boolean(), (list, facts, retry, other) => {
    const content: Channel = channel({ releases: list, system: other ? "other" : "acme" });
    const choose = () => chooseRelease(content, { system: "acme", ...facts }, { retry });
    if (other) {
      assert.throws(choose, (error: unknown) => error instanceof Refusal);
      return;
    }
    const { release: taken, passedOver } = choose();
    assert.is(passedOver.length + (taken === null ? 0 : 1), list.length);
    if (taken !== null) {
      const { running } = facts;
      assert.ok(running === null || isNewer(taken.version, running.version));
      assert.ok(taken.rollbackIndex >= facts.installFloor && taken.rollout > 0);
      assert.ok(taken.minimumVersion === null || (running !== null && !isNewer(taken.minimumVersion, running.version)));
      assert.ok(retry || facts.quarantined.every(({ imageId }) => imageId !== taken.rootHash));
      for (const { release: passed, because } of passedOver) {
        assert.is(because.is === "not-newest", because.is === "not-newest" && isNewer(taken.version, passed.version));
      }
    }
    const recovery = recoveryReleases(content, { system: "acme", ...facts }, null);
    assert.is(recovery.releases.length + recovery.passedOver.length, list.length);
    assert.ok(recovery.releases.every(({ rollbackIndex }) => rollbackIndex >= facts.installFloor));
  });
  fc.assert(property, { numRuns: 3000 });
});

test.run();
