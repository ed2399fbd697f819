/** Which slot an image goes into, which image a machine takes, and what people are told meanwhile: tables. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { amountsText, bytesOf } from "../../boot/converge/amounts-text.ts";
import { chooseTarget } from "../../boot/converge/choose-target.ts";
import { magicSector } from "../../boot/converge/head.ts";
import { refuseImage, refuseLarge, withoutDamage, withoutQuarantine } from "../../boot/converge/preflight.ts";
import { durationText, type Progress, progressJson, progressLine, Rate, secondsLeft } from "../../boot/converge/progress-text.ts";
import { decodeSeal } from "../../boot/image/seal.ts";
import type { BootRecord, SlotRecord } from "../../boot/record/record.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import { type SealedImage, sealedImage } from "../samples/sealed-image.ts";
import { record, slot } from "./commands-machine.ts";

const policyOf = (slots: string[]) => ({ slots, tries: { trial: 3, committed: 10 }, trust: { mode: "unsigned" as const } });

/** A record of these slots, the first one first in rank; a runs. */
function recordOf(slots: Record<string, Partial<SlotRecord>>): BootRecord {
  const names = Object.keys(slots);
  const ranks = names.map((name, index) => [name, slot({ priority: names.length - index, ...slots[name] })]);
  return record({ slots: Object.fromEntries(ranks) });
}

const empty = { state: "empty", tries: 0, imageId: null } as const;
const trial = { state: "trial", tries: 3 } as const;
const spent = { state: "trial", tries: 0, reason: "used up" } as const;

for (const [name, slots, holders, wanted] of [
  ["of two, the other one", { a: {}, b: {} }, [], "b"],
  ["of three, not the fallback", { a: {}, b: {}, c: {} }, [], "c"],
  ["the fallback is the first committed one that can boot", { a: {}, b: { tries: 0 }, c: {} }, [], "b"],
  ["an empty one before one that could boot", { a: {}, b: {}, c: {}, d: empty }, [], "d"],
  ["one that used up its trial before an older good one", { a: {}, b: {}, c: spent, d: {} }, [], "c"],
  ["the last of those that could boot", { a: {}, b: {}, c: {}, d: {} }, [], "d"],
  ["the one that waits for its trial", { c: trial, a: {}, b: {}, d: empty }, [], "c"],
  ["one that holds the image", { a: {}, b: {}, c: {}, d: empty }, ["b"], "b"],
  ["the running one is no target though it holds it", { a: {}, b: {}, c: {} }, ["a"], "c"],
  ["a damaged one", { a: {}, b: {}, c: {}, d: { damaged: "bad" } }, [], "d"],
] as const) {
  test(`target: ${name}`, () => {
    const known = recordOf(slots);
    assert.is(chooseTarget(known, "a", policyOf(Object.keys(slots)), holders), wanted);
  });
}

test("target: none where there is one slot, or the control file has no other", () => {
  assert.throws(() => chooseTarget(recordOf({ a: {} }), "a", policyOf(["a"]), []), /only one/);
  assert.throws(() => chooseTarget(recordOf({ a: {}, b: {} }), "a", policyOf(["a"]), []), /needs another slot/);
});

const image = await sealedImage(new Uint8Array(8 * 4096).fill(3), [], { rollbackIndex: 4 });
const sealOf = ({ bytes }: SealedImage) => {
  const text = bytes.subarray(10 * 4096, 11 * 4096);
  return decodeSeal(text.slice(0, text.indexOf(0)));
};
const facts = { name: "acme 1.0 (x.img)", seal: sealOf(image) };
const trust = { mode: "signed" as const, keys: [], threshold: 1, rollbackFloor: 0, kernelSignature: "ignored" as const };
const machine = {
  system: "acme",
  record: record(),
  policy: { ...policyOf(["a", "b"]), trust },
  initrd: { controlFormat: 1, features: [] as string[] },
  retry: false,
};

test("an image that this machine may get", () => {
  refuseImage(facts, machine);
  refuseImage(facts, { ...machine, record: record({ floors: { install: 4, boot: 0 } }) });
});

test("images that it may not get, each with its reason", async () => {
  const quarantined = [{ imageId: image.manifest.rootHash, reason: "trial used up without a commit", attempt: 5 }];
  for (const [change, expected] of [
    [{ system: "other" }, /is for the system acme, this machine is other/],
    [{ record: record({ floors: { install: 5, boot: 0 } }) }, /rollback index 4, this machine takes none below 5/],
    [{ policy: { ...machine.policy, trust: { ...trust, rollbackFloor: 9 } } }, /none below 9/],
    [{ record: record({ quarantined }) }, /quarantined since attempt 5: trial used up.*--retry/],
    [{ initrd: { controlFormat: 0, features: [] } }, /control file format 1, this initrd reads 0; renew the initrd/],
  ] as const) {
    assert.throws(
      () => refuseImage(facts, { ...machine, ...change }),
      (error: unknown) => error instanceof Refusal && expected.test(error.message),
      String(expected),
    );
  }
  const needy = await sealedImage(new Uint8Array(8 * 4096), [], { needs: { controlFormat: 1, features: ["erofs-dedupe"] } });
  const wanting = { name: "x", seal: sealOf(needy) };
  assert.throws(() => refuseImage(wanting, machine), /needs the feature erofs-dedupe/);
  refuseImage(wanting, { ...machine, initrd: { controlFormat: 1, features: ["erofs-dedupe"] } });
  refuseImage(facts, { ...machine, record: record({ quarantined }), retry: true });
  assert.equal(withoutQuarantine(record({ quarantined }), image.manifest.rootHash).quarantined, []);
});

test("an unsigned machine knows no floors", () => {
  const unsigned = { ...machine, policy: policyOf(["a", "b"]), record: record({ floors: { install: 9, boot: 0 } }) };
  refuseImage(facts, unsigned);
});

test("an image that is too large, by a block", () => {
  refuseLarge(facts, "b", image.bytes.length);
  assert.throws(() => refuseLarge(facts, "b", image.bytes.length - 4096), /takes 48 KiB \(49152 bytes\), slot b has 44 KiB/);
});

test("damage is forgotten for the image that is whole, and no other", () => {
  const id = "ab".repeat(32);
  const hurt = record({ slots: { a: slot(), b: slot({ imageId: id, damaged: "a block", tries: 2 }) } });
  assert.equal(withoutDamage(hurt, "b", id).slots.b, slot({ imageId: id, tries: 2 }));
  assert.is(withoutDamage(hurt, "b", "cd".repeat(32)), hurt);
  assert.is(withoutDamage(hurt, "a", id), hurt);
});

test("where each filesystem says what it is", () => {
  assert.equal(
    (["erofs", "ext4", "squashfs", "xfs", "btrfs"] as const).map((type) => magicSector(type)),
    [1024, 1024, 0, 0, 65536],
  );
});

const MiB = 256;
const progress: Progress = {
  phase: "write",
  done: 30 * MiB,
  total: 120 * MiB,
  there: 4 * MiB,
  arrived: { zero: 1, target: 2 * MiB, donor: 20 * MiB, source: 4 * MiB },
  network: 5 * 1024 * 1024,
  rate: 1024 * 1024,
};

test("a bar as wide as the terminal, and a line where it is narrow", () => {
  const wide = progressLine(progress, 110);
  assert.is(wide.length, 109);
  assert.match(wide, /^writing {7}25 % \[#+\.+\] network 5\.0 MiB {2}local 22 MiB {2}there 4\.0 MiB {2}1\.0 MiB\/s {2}1:30$/);
  const [full = "", open = ""] = /\[(#+)(\.+)\]/.exec(wide)?.slice(1) ?? [];
  assert.is(full.length, Math.round((full.length + open.length) * 0.25));
  for (const columns of [0, 1, 10, 40, 79]) assert.ok(progressLine(progress, columns).length <= Math.max(0, columns - 1));
  assert.match(progressLine({ ...progress, network: 0, rate: null }, 120), /source 4\.0 MiB .* - \/s {2}-:--$/);
  assert.match(progressLine({ ...progress, done: 0, total: 0 }, 120), /100 %/);
});

test("progress for programs", () => {
  assert.equal(progressJson({ ...progress, rate: 1000.6 }), {
    type: "progress",
    phase: "write",
    doneBytes: 30 * 2 ** 20,
    totalBytes: 120 * 2 ** 20,
    networkBytes: 5 * 2 ** 20,
    sourceBytes: 4 * 2 ** 20,
    donorBytes: 20 * 2 ** 20,
    targetBytes: 2 * 2 ** 20,
    zeroBytes: 4096,
    thereBytes: 4 * 2 ** 20,
    bytesPerSecond: 1001,
    secondsLeft: Math.ceil((90 * 2 ** 20) / 1000.6),
  });
  assert.is(secondsLeft({ ...progress, rate: 0 }), null);
});

test("times left", () => {
  for (const [seconds, text] of [
    [null, "-:--"],
    [0, "0:00"],
    [67, "1:07"],
    [3600, "1:00:00"],
    [3_753, "1:02:33"],
    [400_000, "-:--"],
  ] as const)
    assert.is(durationText(seconds), text);
});

test("a rate is that of the last seconds, and begins anew when what is done goes back", () => {
  const rate = new Rate();
  assert.is(rate.perSecond, null);
  rate.add(0, 0);
  rate.add(400, 1000);
  assert.is(rate.perSecond, null, "too short to tell");
  rate.add(1000, 2000);
  assert.is(rate.perSecond, 2000);
  for (let second = 2; second <= 40; second++) rate.add(second * 1000, 2000 + (second - 1) * 100);
  assert.is(rate.perSecond, 100);
  rate.add(41_000, 0);
  assert.is(rate.perSecond, null);
});

test("amounts in words: what there is nothing of is left out", () => {
  const planned = { there: 256, zero: 0, target: 0, donors: [512, 0], source: 256, between: 8, tree: 2 };
  const bytes = bytesOf(planned, ["a", "c"]);
  assert.equal(bytes.donorBytes, { a: 512 * 4096, c: 0 });
  assert.equal(amountsText(bytes, "b"), [
    "   1.0 MiB  from the source: 1.0 MiB missing, 32 KiB between them, 8.0 KiB of hash tree",
    "   2.0 MiB  from slot a",
    "   1.0 MiB  in slot b already",
  ]);
});

test.run();
