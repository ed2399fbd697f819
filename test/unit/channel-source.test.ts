/** A channel as the source of an install: the release that it names, and no other image under that name. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { INDEX_SUFFIX } from "../../boot/channel/channel.ts";
import { BLOCK } from "../../boot/image/verity.ts";
import { NothingOffered, offeredRelease } from "../../init/channel/ask-channel.ts";
import { heldRelease } from "../../init/channel/held-release.ts";
import { openSource } from "../../init/converge/open-source.ts";
import { readSourceSeal } from "../../init/converge/read-source-seal.ts";
import { type ImageSource, SourceError } from "../../init/converge/source.ts";
import type { Tree } from "../../init/kernel/recording/memory-tree.ts";
import { PLAIN } from "../../init/network/options.ts";
import { BadInput, Refusal } from "../../state-ops/outcome.ts";
import { channel, release, signedChannel } from "../samples/channel.ts";
import { type SealedImage, sealedImage, testKey } from "../samples/sealed-image.ts";
import { failure, sealedMachine, trusting } from "./channel-machine.ts";
import type { TestMachine } from "./commands-machine.ts";

const key = await testKey();
const make = (version: string, fill: number, change = {}) =>
  sealedImage(new Uint8Array(32 * BLOCK).fill(fill), [key], { version, ...change });
const [v1, v2, v3] = [await make("1.0", 1), await make("2.0", 2), await make("3.0", 3)];

const named = ({ manifest, bytes }: SealedImage, change = {}) =>
  release(manifest.version, { rootHash: manifest.rootHash, imageSize: bytes.length, ...change });

/** A machine that runs 1.0, with a channel of `releases` in /srv/stable, and `files` there. */
async function machineWith(releases: ReturnType<typeof release>[], files: Tree, system = "acme"): Promise<TestMachine> {
  const list = await signedChannel(channel({ releases, system }), [key]);
  return sealedMachine(v1, { control: trusting([key]), root: { "srv/stable": { "channel.json": list, ...files } } });
}

function open(machine: TestMachine, text = "/srv/stable", mustBeChannel = false): Promise<ImageSource> {
  const { kernel, places } = machine;
  return openSource(text, {
    kernel,
    network: PLAIN,
    mustBeChannel,
    choose: (name, file) =>
      offeredRelease(kernel, places, name, file, { who: "a test", channel: "stable", retry: false, dryRun: false }),
  });
}

test("the release that the machine may take", async () => {
  const files = {
    "acme-2.0.img": v2.bytes,
    "acme-3.0.img": v3.bytes,
    [`acme-2.0.img${INDEX_SUFFIX}`]: v2.bytes.slice(32 * BLOCK),
  };
  const machine = await machineWith([named(v3, { minimumVersion: "2.0" }), named(v2), named(v1)], files);
  for (const text of ["/srv/stable", "/srv/stable/", "file:///srv/stable/channel.json"]) {
    const source = await open(machine, text);
    assert.is(source.name, "/srv/stable/acme-2.0.img");
    assert.is((await readSourceSeal(source)).seal.manifest.version, "2.0");
    assert.is(await source.size(), v2.bytes.length);
    assert.is(Buffer.compare(await source.read({ offset: 0, length: BLOCK }), v2.bytes.subarray(0, BLOCK)), 0);
    assert.is(source.transferred, 0);
    await source.close();
  }
  assert.equal(machine.record().channelSerials, { stable: 5 });
});

test("what is no source is not told with the password in it", async () => {
  const { message } = await failure(open(await machineWith([], {}), "ftp://me:secret@updates.example/v2.img"));
  assert.match(message, /^"\?@updates\.example\/v2\.img": a source is an https:, http: or file: URL/);
});

test("an image that is named by itself needs no channel", async () => {
  const machine = await machineWith([], { "acme-2.0.img": v2.bytes });
  const source = await open(machine, "/srv/stable/acme-2.0.img");
  assert.is((await readSourceSeal(source)).seal.manifest.version, "2.0");
  assert.is(machine.record().channelSerials, undefined);
});

test("another image under the release's name is refused, signed as it is", async () => {
  const other = await make("2.0", 9);
  const foreign = await make("2.0", 2, { system: "other" });
  const table: [name: string, bytes: Uint8Array, words: RegExp][] = [
    [
      "an older one",
      v1.bytes,
      /acme-2\.0\.img is not the image that channel stable names as 2\.0: its version is 1\.0, named is 2\.0/,
    ],
    ["another of that version", other.bytes, /its root hash is [0-9a-f]{64}, named is [0-9a-f]{64}; was the file replaced\?/],
    ["another system's", foreign.bytes, /its system is other, named is acme/],
  ];
  for (const [name, bytes, words] of table) {
    const machine = await machineWith([named(v2)], { "acme-2.0.img": bytes });
    const said = await failure(open(machine).then(readSourceSeal));
    assert.instance(said, SourceError, name);
    assert.match(said.message, words, name);
  }
});

test("the seal of one image over another's blocks: what the channel names is the seal's", async () => {
  const mixed = v2.bytes.slice();
  mixed.set(v3.bytes.subarray(0, 32 * BLOCK));
  const machine = await machineWith([named(v2)], { "acme-2.0.img": mixed });
  // The blocks are converge's to judge: each against its leaf.
  assert.is((await readSourceSeal(await open(machine))).seal.manifest.rootHash, v2.manifest.rootHash);
  const swapped = v2.bytes.slice();
  swapped.set(v3.bytes.subarray(33 * BLOCK), 33 * BLOCK);
  const said = await failure(open(await machineWith([named(v2)], { "acme-2.0.img": swapped })).then(readSourceSeal));
  assert.match(said.message, /its version is 3\.0, named is 2\.0/);
});

test("nothing to install says why, and is no fault", async () => {
  const machine = await machineWith([named(v3, { minimumVersion: "2.0" }), named(v1)], {});
  const said = await failure(open(machine));
  assert.instance(said, NothingOffered);
  assert.is(
    said.message,
    "channel stable has nothing above 1.0, which runs; 3.0: it is for machines that run 2.0 at least, 1.0 runs here",
  );
});

test("a channel that is not believed opens nothing", async () => {
  const other = await machineWith([named(v2)], { "acme-2.0.img": v2.bytes }, "other");
  assert.instance(await failure(open(other)), Refusal);
  const unsigned = sealedMachine(v1, {
    control: trusting([key]),
    root: { "srv/stable": { "channel.json": await signedChannel(channel({ releases: [named(v2)] })), "acme-2.0.img": v2.bytes } },
  });
  assert.match((await failure(open(unsigned))).message, /is not signed/);
});

test("a release whose file is missing", async () => {
  const said = await failure(open(await machineWith([named(v2)], {})));
  assert.instance(said, SourceError);
  assert.match(said.message, /\/srv\/stable\/acme-2\.0\.img cannot be opened \(ENOENT\)/);
});

test("a directory without a channel has one image, or is no source", async () => {
  const machine = await machineWith([], {});
  machine.kernel.plant("/", { "srv/plain/v2.img": v2.bytes });
  assert.is((await open(machine, "/srv/plain")).name, "/srv/plain/v2.img");
  const said = await failure(open(machine, "/srv/plain", true));
  assert.instance(said, SourceError);
  assert.match(said.message, /\/srv\/plain has no channel\.json/);
});

test("a repair's source is the release that the slot holds, old or not", async () => {
  const machine = await machineWith([named(v3), named(v1, { rollout: 0 })], { "acme-1.0.img": v1.bytes });
  const { kernel, places } = machine;
  const repairing = (slot: string) =>
    openSource("/srv/stable", {
      kernel,
      network: PLAIN,
      choose: (name, file) => heldRelease(kernel, places, name, file, { who: "a test", slot }),
    });
  assert.is((await repairing("a")).name, "/srv/stable/acme-1.0.img");
  assert.match(
    (await failure(repairing("b"))).message,
    /slot b holds image [0-9a-f]{12}, and channel stable offers others \(3\.0, 1\.0\)/,
  );
  assert.instance(await failure(repairing("c")), BadInput);
  const other = await machineWith([named(v1)], {}, "other");
  const asked = heldRelease(other.kernel, other.places, "x", await signedChannel(channel({ system: "other" }), [key]), {
    who: "a test",
    slot: "a",
  });
  assert.match((await failure(asked)).message, /is for the system other/);
});

test("where a channel is meant, the URL of an image is none", async () => {
  const said = await failure(open(await machineWith([], {}), "https://updates.example/v2.img", true));
  assert.instance(said, BadInput);
  assert.match(said.message, /v2\.img is the URL of an image, and a channel is meant; a channel's ends with a slash/);
});

test.run();
