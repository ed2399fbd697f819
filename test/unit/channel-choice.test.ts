/** Which release a machine takes: versions, rollout shares, minimum versions, floors, quarantine; and old lists. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { becauseText, chooseRelease, type MachineFacts, recoveryReleases } from "../../boot/channel/choose-release.ts";
import { isOffered, rolloutPlace } from "../../boot/channel/rollout.ts";
import { withSerial } from "../../boot/channel/serial.ts";
import { MOST_CHANNELS } from "../../boot/record/shape.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import { channel, release } from "../samples/channel.ts";
import { record } from "./commands-machine.ts";

const machineId = "0123456789abcdef0123456789abcdef";
const ids = (count: number) =>
  Array.from({ length: count }, (_, index) => new Bun.CryptoHasher("md5").update(`machine ${index}`).digest("hex"));

function facts(change: Partial<MachineFacts> = {}): MachineFacts {
  const running = { version: "1.0", imageId: release("1.0").rootHash };
  return { system: "acme", running, installFloor: 0, quarantined: [], machineId, ...change };
}

/** "2.0 | 3.0: why": what is taken, then what is passed over. */
function story(releases: ReturnType<typeof release>[], change: Partial<MachineFacts> = {}, retry = false): string {
  const { release: taken, passedOver } = chooseRelease(channel({ releases }), facts(change), { retry });
  return [taken?.version ?? "nothing", ...passedOver.map((over) => `${over.release.version}: ${becauseText(over)}`)].join(" | ");
}

const quarantined = [{ imageId: release("2.0").rootHash, reason: "trial used up", attempt: 4 }];
const unknown = { running: null };

const table: [name: string, seen: string, wanted: string][] = [
  [
    "the newest of those above",
    story([release("1.1"), release("1.10"), release("1.9")]),
    "1.10 | 1.9: 1.10 is newer | 1.1: 1.10 is newer",
  ],
  ["what runs is not taken again", story([release("1.0")]), "nothing | 1.0: it is what runs"],
  [
    "what runs is known by its image, not by its version",
    story([release("1.0", { rootHash: "11".repeat(32) })]),
    "nothing | 1.0: it is not above 1.0, which runs",
  ],
  ["nothing older", story([release("0.9")]), "nothing | 0.9: it is not above 1.0, which runs"],
  ["an empty channel", story([]), "nothing"],
  ["without a known version any is newer", story([release("0.1")], unknown), "0.1"],
  [
    "one step at a time",
    story([release("3.0", { minimumVersion: "2.0" }), release("2.0", { minimumVersion: "1.0" })]),
    "2.0 | 3.0: it is for machines that run 2.0 at least, 1.0 runs here",
  ],
  ["a minimum that is reached", story([release("3.0", { minimumVersion: "1.0" })]), "3.0"],
  ["a minimum of a later version of the same number", story([release("3.0", { minimumVersion: "1.00" })]), "3.0"],
  [
    "a minimum where nothing is known",
    story([release("3.0", { minimumVersion: "0.1" })], unknown),
    "nothing | 3.0: it is for machines that run 0.1 at least, and what runs here has no version",
  ],
  [
    "below the floor",
    story([release("2.0", { rollbackIndex: 4 }), release("1.5", { rollbackIndex: 5 })], { installFloor: 5 }),
    "1.5 | 2.0: its rollback index 4 is below 5, which was committed here",
  ],
  [
    "quarantined",
    story([release("2.0"), release("1.5")], { quarantined }),
    "1.5 | 2.0: it failed here before (trial used up); --retry takes it all the same",
  ],
  ["quarantined, and asked for again", story([release("2.0"), release("1.5")], { quarantined }, true), "2.0 | 1.5: 2.0 is newer"],
  [
    "offered to nobody",
    story([release("2.0", { rollout: 0 })]),
    `nothing | 2.0: it is offered to 0 % of the machines, this one comes in above ${rolloutPlace(machineId, release("2.0").rootHash).toFixed(1)} %`,
  ],
  [
    "no machine id",
    story([release("2.0", { rollout: 99 }), release("1.5")], { machineId: null }),
    "1.5 | 2.0: it is offered to 99 % of the machines, and this one has no machine id to tell whether it is among them",
  ],
  ["retry does not lift the others", story([release("2.0", { rollout: 0 })], { quarantined }, true).slice(0, 7), "nothing"],
];

for (const [name, seen, wanted] of table) test(`choice: ${name}`, () => assert.is(seen, wanted));

test("choice: another system's channel is refused", () => {
  assert.throws(
    () => chooseRelease(channel({ system: "other" }), facts(), { retry: true }),
    (error: unknown) => error instanceof Refusal && /is for the system other, this machine is acme/.test(error.message),
  );
  assert.throws(() => recoveryReleases(channel({ system: "other" }), facts(), null), /is for the system other/);
});

// Worked out from the description with another SHA-256: these must never change, or rollouts move under machines.
test("rollout: where machines stand, once and for all", () => {
  const hash = "ab".repeat(32);
  const known: [id: string, place: string][] = [
    [machineId, "80.4263"],
    ["0".repeat(32), "87.0069"],
    ["f".repeat(32), "54.2313"],
  ];
  for (const [id, place] of known) assert.is(rolloutPlace(id, hash).toFixed(4), place, id);
});

test("rollout: 0 is for none, 100 for all, and a larger share takes nobody out", () => {
  const { rootHash } = release("2.0");
  for (const id of ids(500)) {
    const place = rolloutPlace(id, rootHash);
    assert.ok(place >= 0 && place < 100);
    const offered = Array.from({ length: 101 }, (_, share) => isOffered(place, share));
    assert.is(offered[0], false);
    assert.is(offered[100], true);
    assert.is(offered.indexOf(true), Math.floor(place) + 1);
    assert.is(offered.lastIndexOf(false), Math.floor(place), "once in, for ever in");
  }
});

test("rollout: shares are what they say, and others for each image", () => {
  const machines = ids(20_000);
  const count = (version: string, share: number) =>
    machines.filter((id) => isOffered(rolloutPlace(id, release(version).rootHash), share)).length;
  for (const share of [1, 5, 10, 25, 50, 75, 99]) {
    const expected = (machines.length * share) / 100;
    const deviation = Math.sqrt((expected * (100 - share)) / 100);
    // Five standard deviations; the ids are always the same, so that this fails always or never.
    assert.ok(
      Math.abs(count("2.0", share) - expected) < 5 * deviation,
      `${share} %: ${count("2.0", share)} of ${machines.length}`,
    );
  }
  const both = machines.filter((id) =>
    ["2.0", "3.0"].every((version) => isOffered(rolloutPlace(id, release(version).rootHash), 50)),
  ).length;
  assert.ok(Math.abs(both - machines.length / 4) < 5 * Math.sqrt((machines.length * 3) / 16), `${both}`);
});

test("rollout: of the machines that it is offered to, and of no others, the choice takes it", () => {
  const releases = [release("2.0", { rollout: 30 }), release("1.5")];
  for (const id of ids(200)) {
    const taken = chooseRelease(channel({ releases }), facts({ machineId: id }), { retry: false }).release?.version;
    assert.is(taken, isOffered(rolloutPlace(id, release("2.0").rootHash), 30) ? "2.0" : "1.5");
  }
});

test("recovery: the last committed image, then the newest, those that failed last; rollouts do not count", () => {
  const releases = [release("3.0", { rollout: 0 }), release("2.0"), release("1.0"), release("0.5", { rollbackIndex: 1 })];
  const order = (last: string | null, change: Partial<MachineFacts> = {}) =>
    recoveryReleases(channel({ releases }), facts(change), last === null ? null : release(last).rootHash);
  const versions = (found: ReturnType<typeof order>) => found.releases.map(({ version }) => version);
  assert.equal(versions(order("1.0", { quarantined })), ["1.0", "3.0", "0.5", "2.0"]);
  assert.equal(versions(order(null)), ["3.0", "2.0", "1.0", "0.5"]);
  assert.equal(versions(order("2.0", { quarantined })), ["3.0", "1.0", "0.5", "2.0"]);
  assert.equal(versions(order("9.9", { installFloor: 1 })), ["0.5"]);
  assert.is(order(null, { installFloor: 1 }).passedOver.length, 3);
  const stepwise = channel({ releases: [release("3.0", { minimumVersion: "2.0" }), release("1.0")] });
  assert.is(recoveryReleases(stepwise, facts(), null).releases[0]?.version, "1.0");
  assert.is(recoveryReleases(stepwise, facts(unknown), null).releases[0]?.version, "3.0");
});

test("serial: the highest is kept, the same changes nothing, an older one is refused", () => {
  const start = record();
  const seen = withSerial(start, { channel: "stable", serial: 7 });
  assert.equal(seen, { ...start, channelSerials: { stable: 7 } });
  assert.is(withSerial(seen, { channel: "stable", serial: 7 }), seen);
  assert.throws(
    () => withSerial(seen, { channel: "stable", serial: 6 }),
    (error: unknown) => error instanceof Refusal && /serial 6, and 7 was seen before/.test(error.message),
  );
  assert.equal(withSerial(seen, { channel: "stable", serial: 9 }).channelSerials, { stable: 9 });
  assert.equal(withSerial(seen, { channel: "beta", serial: 1 }).channelSerials, { beta: 1, stable: 7 });
  assert.equal(withSerial(start, { channel: "constructor", serial: 1 }).channelSerials, { constructor: 1 });
});

test("serial: the record has room for so many channels and no more", () => {
  const names = Array.from({ length: MOST_CHANNELS }, (_, index) => `c${index}`);
  const full = names.reduce((known, name) => withSerial(known, { channel: name, serial: 1 }), record());
  assert.throws(() => withSerial(full, { channel: "more", serial: 1 }), /the 17th of this machine.*c0, c1/);
  assert.is(withSerial(full, { channel: "c3", serial: 2 }).channelSerials?.c3, 2);
});

test.run();
