/** slipway install from a channel, on a machine in memory: what the units do at night. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { BLOCK } from "../../boot/image/verity.ts";
import { type Asked, askedOf } from "../../init/channel/asked.ts";
import type { ConvergeAnswer } from "../../init/commands/converge-answer.ts";
import { installFrom } from "../../init/commands/install.ts";
import { SourceError } from "../../init/converge/source.ts";
import { PLAIN } from "../../init/network/options.ts";
import { BadInput, Refusal } from "../../state-ops/outcome.ts";
import { channel, release, signedChannel } from "../samples/channel.ts";
import { type SealedImage, sealedImage, testKey } from "../samples/sealed-image.ts";
import { failure, sealedMachine, trusting } from "./channel-machine.ts";
import { NOW, slot, type TestMachine } from "./commands-machine.ts";

const key = await testKey();
const make = (version: string, fill: number, rollbackIndex = 0) =>
  sealedImage(new Uint8Array(32 * BLOCK).fill(fill), [key], { version, rollbackIndex });
const [v1, v2, v3] = [await make("1.0", 1), await make("2.0", 2), await make("3.0", 3)];
const named = ({ manifest, bytes }: SealedImage, change = {}) =>
  release(manifest.version, { rootHash: manifest.rootHash, imageSize: bytes.length, ...change });

const settings = { schema: 1, source: "/srv/stable", channel: "stable", window: "02:00-04:00" };

type Change = Parameters<typeof sealedMachine>[2];

async function machineWith(releases: ReturnType<typeof named>[], change: Change = {}, files = {}): Promise<TestMachine> {
  const list = await signedChannel(channel({ releases }), [key]);
  const stable = { "channel.json": list, "acme-2.0.img": v2.bytes, "acme-3.0.img": v3.bytes, ...files };
  const root = { "srv/stable": stable, "etc/slipway/update.json": JSON.stringify(settings) };
  return sealedMachine(v1, { control: trusting([key]), slotB: null, root }, change);
}

function install(
  { kernel, places }: TestMachine,
  asked: Partial<Asked> = {},
  retry = false,
  dryRun = false,
): Promise<ConvergeAnswer> {
  const plain = { source: "/srv/stable", channel: "stable", window: null, options: PLAIN };
  const order = { slot: null, dryRun, retry, telling: "lines" as const };
  return installFrom(kernel, places, { ...plain, ...asked }, order);
}

test("the release that the channel has for this machine is tried next", async () => {
  const machine = await machineWith([named(v3, { rollout: 0 }), named(v2), named(v1)]);
  const answer = await install(machine);
  assert.equal([answer.slot, answer.changed, answer.image?.version], ["b", true, "2.0"]);
  const { state, imageId, tries } = machine.slot("b");
  assert.equal([state, imageId, tries], ["trial", v2.manifest.rootHash, 3]);
  assert.equal(machine.record().channelSerials, { stable: 5 });
  const again = await install(machine);
  assert.equal([again.changed, again.slot], [false, "b"]);
});

test("nothing for this machine: no fault, and it says why", async () => {
  const quarantined = [{ imageId: v2.manifest.rootHash, reason: "trial used up without a commit", attempt: 5 }];
  const machine = await machineWith([named(v2)], { quarantined });
  const answer = await install(machine);
  assert.equal([answer.changed, answer.image, answer.next], [false, null, "nothing to do."]);
  assert.match(answer.did.join(), /Nothing to install: .*2\.0: it failed here before \(trial used up without a commit\)/);
  assert.is(machine.slot("b").state, "committed", "as it was");
  const retried = await install(machine, {}, true);
  assert.is(retried.image?.version, "2.0");
});

test("--dry-run remembers no serial, and refuses an old list all the same", async () => {
  const machine = await machineWith([named(v2)]);
  const answer = await install(machine, {}, false, true);
  assert.equal([answer.slot, answer.changed, answer.image?.version], ["b", false, "2.0"]);
  assert.is(machine.record().channelSerials, undefined);
  const old = await machineWith([named(v2)], { channelSerials: { stable: 6 } });
  assert.match((await failure(install(old, {}, false, true))).message, /serial 5, and 6 was seen before/);
});

test("a file that was put in a release's place, an old list, another channel: nothing is written", async () => {
  const swapped = await machineWith([named(v2)], {}, { "acme-2.0.img": v1.bytes });
  const said = await failure(install(swapped));
  assert.instance(said, SourceError);
  assert.match(said.message, /its version is 1\.0, named is 2\.0; was the file replaced\?/);
  assert.is(swapped.slot("b").state, "committed", "as it was");

  const old = await machineWith([named(v2)], { channelSerials: { stable: 6 } });
  assert.match((await failure(install(old))).message, /serial 5, and 6 was seen before/);
  assert.match((await failure(install(await machineWith([named(v2)]), { channel: "beta" }))).message, /meant is beta/);
});

test("a channel that names a release as newer than its floor allows to be is found out by the seal", async () => {
  const machine = await machineWith([named(v2, { rollbackIndex: 7 })], { floors: { install: 5, boot: 0 } });
  assert.match((await failure(install(machine))).message, /its rollback index is 0, named is 7/);
});

test("outside of the window nothing is even asked", async () => {
  const machine = await machineWith([named(v2)]);
  const minute = new Date(NOW).getHours() * 60 + new Date(NOW).getMinutes();
  const window = { from: (minute + 60) % 1440, to: (minute + 120) % 1440 };
  assert.instance(await failure(install(machine, { window })), Refusal);
  assert.is(machine.record().channelSerials, undefined);
  const open = { from: minute, to: (minute + 1) % 1440 };
  assert.is((await install(machine, { window: open })).changed, true);
});

test("without a source it is the machine's own; options come before its file", async () => {
  const { kernel } = await machineWith([]);
  const own = { source: "/srv/stable", channel: "stable", window: { from: 120, to: 240 }, options: PLAIN };
  assert.equal(askedOf(kernel, {}, undefined), own);
  assert.equal(askedOf(kernel, { window: "00:00-24:00", channel: "beta" }, undefined), {
    ...own,
    window: { from: 0, to: 1440 },
    channel: "beta",
  });
  assert.equal(askedOf(kernel, {}, "/media"), { source: "/media", channel: null, window: null, options: PLAIN });
  assert.throws(
    () => askedOf(kernel, { window: "2-4" }, "/media"),
    (error: unknown) => error instanceof BadInput,
  );
  assert.throws(() => askedOf(kernel, { ca: "/x" }, "http://updates.example/"), /are for https: only/);
});

test("an empty slot that never was committed", async () => {
  const slots = { a: slot({ priority: 2, imageId: v1.manifest.rootHash }), b: slot({ state: "empty", imageId: null, tries: 0 }) };
  assert.is((await install(await machineWith([named(v2)], { slots }))).slot, "b");
});

test.run();
