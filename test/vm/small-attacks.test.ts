/** One disk with a slot for each attack: one boot refuses them all, records why, and ends in the slot that is right. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Policy } from "../../boot/selection/policy.ts";
import { attackNamed, putImage, trustOfWorld, worldOf } from "./support/attack-disk.ts";
import { recordOn } from "./support/disk-file.ts";
import { changeRecord, validRecord } from "./support/record-on-disk.ts";
import { smallControl, smallImage, smallSystem } from "./support/small-image.ts";
import { boot, part, smallMachine, type Told } from "./support/small-machine.ts";

/** The attacks by slot, in the order in which the slots are tried, and what is said of those that no seal tells. */
const attacks: Record<string, [name: string, words?: RegExp]> = {
  a: ["a byte in the middle of the data", /^block \d+ of the data \(byte \d+\) is not the image's; repair the slot/],
  b: ["the first leaf", /^block 1 of the hash tree is not the image's; repair the slot/],
  c: ["another image's data under seal and tree of this one", /^block 0 of the data \(byte 0\) is not the image's/],
  d: ["this image's seal over all of another image", /^block 0 of the hash tree is not the image's/],
  e: ["a byte of the seal, the footer as it was"],
  f: ["one bit of a signature"],
  g: ["one signature of the two"],
  h: ["one key's signature twice"],
  i: ["a signature of a key that is not trusted"],
  j: ["no signature"],
  k: ["an older image, whose rollback index is below the floor"],
  l: ["another system's image"],
  m: ["an image that needs what the initrd has not"],
  n: ["the footer's place of the seal"],
  o: ["no footer, and no superblock of verity"],
};
const GOOD = "p";
const slots = [...Object.keys(attacks), GOOD];
const policy: Policy = { slots, tries: { trial: 3, committed: 10 }, trust: { mode: "unsigned" } };

/** Both are signed with keys of the test's own, so that the product's builder has no part in them. */
const plain = await smallControl(smallSystem());
const script = "report root cat /proc/mounts; report verity cat /sys/block/dm-0/dm/name /sys/block/dm-0/ro";
const world = worldOf(await smallImage({ facts: "good", script }, plain), await smallImage({ facts: "other", script }, plain));
const system = smallSystem(slots, "ext4", "", await trustOfWorld(world));
const machine = await smallMachine({ system, slots: {}, slotSize: "8M" });
for (const [slot, [name]] of Object.entries(attacks)) putImage(machine.disk, slot, attackNamed(world, name).make());
// Nothing but the seal says what verity needs to know: whatever the superblock before the tree says, the image is the same.
putImage(machine.disk, GOOD, attackNamed(world, "the superblock's salt").make());
changeRecord(machine.disk, policy, (record) => ({
  ...record,
  uncleanEnds: 5, // so that a slot is read whole before it is used: dm-verity restarts the machine at a bad block
  floors: { install: world.floor, boot: world.floor },
}));

/** These images are what their builder made: it is this machine that does not take them. */
const notDamaged = /^an (older image|image that needs)/;

let told: Told;

test("the machine boots the one slot that is right, under dm-verity, in one boot", async () => {
  told = await boot(machine);
  assert.is(told.root, "good");
  assert.is(told.report.slot, GOOD);
  assert.is(told.report.attempt, slots.length);
  assert.is(told.report.imageId, world.image.manifest.rootHash);
  const root = part(told, "root")
    .split("\n")
    .map((line) => line.split(" "))
    .find(([, path]) => path === "/");
  assert.match(root?.[0] ?? "", /^\/dev\/(dm-0|mapper\/)/);
});

for (const [slot, [name, words]] of Object.entries(attacks)) {
  test(`slot ${slot} is refused: ${name}`, () => {
    const expected = words ?? attackNamed(world, name).words;
    const skipped = told.report.skipped.find((entry) => entry.slot === slot);
    assert.match(skipped?.reason ?? "it was not skipped", expected);
    const { slots } = validRecord(machine.disk);
    // What is right and not for this machine is no damage: another initrd, or another floor, would boot it.
    if (notDamaged.test(name)) assert.is(slots[slot]?.damaged, null);
    else assert.match(slots[slot]?.damaged ?? "not damaged", expected);
    assert.is(slots[slot]?.tries, 2, "the try was counted");
    const entry = recordOn(machine.disk).journal.find((candidate) => candidate.slot === slot);
    assert.is(entry?.outcome, "failed");
    assert.match(entry?.reason ?? "", expected);
    assert.ok(told.console.includes(skipped?.reason.slice(0, 60) ?? "?"), "the console says it too");
  });
}

test("no two of the reasons are the same, and the slot that booted has none", () => {
  const reasons = told.report.skipped.map(({ reason }) => reason);
  assert.is(reasons.length, slots.length - 1);
  assert.is(new Set(reasons).size, reasons.length);
  const good = validRecord(machine.disk).slots[GOOD];
  assert.equal([good?.damaged, good?.reason], [null, null]);
});

test.run();
