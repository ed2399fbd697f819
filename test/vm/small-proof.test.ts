/** Sealed images: one boot past slots that prove nothing, dm-verity under the root, and what a bad block comes to. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { layoutOf } from "../../boot/image/seal.ts";
import { BLOCK } from "../../boot/image/verity.ts";
import { withSlot } from "../../boot/selection/slots.ts";
import { trustLine } from "../../qemu/seal.ts";
import { recordOn } from "./support/disk-file.ts";
import { readMounts } from "./support/mounts.ts";
import { changeRecord, twoSlots, validRecord } from "./support/record-on-disk.ts";
import { manifestIn, type SmallImage, smallControl, smallImage, smallSystem } from "./support/small-image.ts";
import { boot, part, smallMachine, startSmall } from "./support/small-machine.ts";

const scratch = mkdtempSync(`${tmpdir()}/slipway-small-proof-`);
test.after(() => rmSync(scratch, { recursive: true, force: true }));

const trust = await trustLine(["release"]);
const signedSystem = (slots: string[]) => smallSystem(slots).replace("trust: unsigned\n", trust);

/** An image file of `image` that `spoil` changed. */
async function spoiled(name: string, image: SmallImage, control: string, spoil: (bytes: Buffer) => void): Promise<string> {
  const bytes = readFileSync(await smallImage(image, control));
  spoil(bytes);
  writeFileSync(`${scratch}/${name}`, bytes);
  return `${scratch}/${name}`;
}

function flip(bytes: Buffer, at: number): void {
  bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
}

const signed = { keys: ["release"], rollbackIndex: 3 };

/** Slots in the order they are tried in, and why each but the last does not boot. */
const reasons: Record<string, RegExp | null> = {
  unsealed: /^no sealed image: .*; make one with slipway image seal, and install it$/,
  unsigned: /^the seal is not signed, and must be by 1 of 1 trusted keys/,
  stranger: /^the seal is signed by 0 trusted keys; not trusted: [0-9a-f]{12}, and must be by 1 of 1/,
  other: /^the image is for the system other, and this initrd is for small/,
  signature: /^the signature of key [0-9a-f]{12} under the seal is wrong$/,
  data: /^the image differs from its hash tree \(dm-verity\)/,
  tree: /^the image differs from its hash tree \(dm-verity\)/,
  swapped: /^the image differs from its hash tree \(dm-verity\)/,
  good: null,
};
const names = Object.keys(reasons);

test("one boot goes past eight slots whose images prove nothing, and says why of each", async () => {
  const system = signedSystem(names);
  const control = await smallControl(system);
  const otherControl = readFileSync(await smallControl(system.replace("system: small", "system: other")), "utf8");
  const fine: SmallImage = { facts: "v1", seal: signed };
  const second = readFileSync(await smallImage({ facts: "v2", seal: signed }, control));
  const script =
    "report dm cat /sys/block/dm-0/dm/name /sys/block/dm-0/ro /sys/block/dm-0/dm/suspended; report raw cat /sys/class/block/vda10/ro";
  const machine = await smallMachine({
    system,
    slots: {
      unsealed: { facts: "unsealed" },
      unsigned: { facts: "unsigned", seal: { keys: [] } },
      stranger: { facts: "stranger", seal: { keys: ["stranger"] } },
      other: { facts: "other", control: otherControl, seal: { ...signed, system: "other" } },
      signature: await spoiled("signature", fine, control, (bytes) => {
        const at = bytes.lastIndexOf('"sig":"') + 7;
        bytes.write(bytes.toString("latin1", at, at + 1) === "A" ? "B" : "A", at, "latin1");
      }),
      data: await spoiled("data", fine, control, (bytes) => flip(bytes, 0)),
      tree: await spoiled("tree", fine, control, (bytes) => flip(bytes, layoutOf(manifestIn(bytes)).treeOffset + 7)),
      swapped: await spoiled("swapped", fine, control, (bytes) => {
        const { filesystemSize } = manifestIn(bytes);
        assert.is(manifestIn(second).filesystemSize, filesystemSize, "both images are of one size");
        second.copy(bytes, 0, 0, filesystemSize);
      }),
      good: { facts: "good", seal: signed, script },
    },
    size: "1G",
  });
  const told = await boot(machine);
  const { root, report, console } = told;
  assert.is(root, "good");
  assert.equal(
    report.skipped.map(({ slot }) => slot),
    names.slice(0, -1),
  );
  const record = validRecord(machine.disk);
  for (const { slot, reason } of report.skipped) {
    assert.match(reason, reasons[slot] ?? /never/, slot);
    assert.ok(console.includes(`slipway: slot ${slot} failed: ${reason}`), `the console tells of ${slot}`);
    assert.ok(record.slots[slot]?.damaged, `slot ${slot} is damaged`);
  }
  assert.equal(record.quarantined, []);
  assert.equal(report.warnings, []);
  assert.is(report.proof, "signed");
  assert.is(report.signers.length, 1);
  assert.is(report.image?.rollbackIndex, 3);
  assert.is(report.imageId, report.image?.rootHash);
  assert.is(record.slots.good?.imageId, report.imageId);
  assert.equal(report.verity, { device: "/dev/dm-0", options: ["restart_on_corruption"] });
  assert.is(readMounts(part(told, "mounts")).find(({ path }) => path === "/")?.source, "/dev/dm-0");
  assert.is(part(told, "dm"), "slipway-good\n1\n0");
  assert.is(part(told, "raw"), "1");
});

/** Text that nothing compresses, so that it lies in the image as it is. */
const big = Array.from({ length: 4096 }, (_, index) => Bun.hash(String(index)).toString(36)).join("");

test("a bad block that is read after the handover restarts the machine, and the other slot takes over", async () => {
  const system = signedSystem(["a", "b"]);
  const control = await smallControl(system);
  const files = { "/usr/big": { content: big, mode: 0o644 } };
  const broken: SmallImage = { facts: "broken", seal: signed, files, script: "cat /usr/big >/dev/null; report big echo read" };
  const a = await spoiled("late", broken, control, (bytes) => {
    const at = bytes.indexOf(big.slice(8 * BLOCK, 8 * BLOCK + 64));
    assert.ok(at > 0 && at < manifestIn(bytes).filesystemSize, "the file lies in the image as it is");
    flip(bytes, at + 100);
  });
  const machine = await smallMachine({ system, slots: { a, b: { facts: "v2", seal: signed } } });
  changeRecord(machine.disk, twoSlots, (record) => ({ ...withSlot(record, "a", { tries: 1 }), uncleanEnds: 3 }));
  const running = await startSmall(machine);
  await running.expectResult(/small root up: broken\n/);
  await running.exited;
  assert.match(running.console.text, /verity: .*data block \d+ is corrupted[\s\S]*dm-verity device corrupted/);
  assert.not.match(running.results.text, /begin big/);
  assert.is(validRecord(machine.disk).slots.a?.tries, 0);

  const next = await boot(machine);
  assert.is(next.root, "v2");
  assert.match(next.report.rollback?.reason ?? "", /trial used up without a commit/);
  assert.is(validRecord(machine.disk).uncleanEnds, 4);

  // As a committed slot would be left after five such ends, with tries to go on with.
  changeRecord(machine.disk, twoSlots, (record) => ({ ...withSlot(record, "a", { tries: 3, reason: null }), quarantined: [] }));
  const checked = await boot(machine);
  assert.is(checked.root, "v2");
  const [left] = checked.report.skipped;
  assert.is(left?.slot, "a");
  assert.match(left?.reason ?? "", /^block \d+ of the data \(byte \d+\) is not the image's; repair the slot, or install again$/);
  assert.match(checked.console, /slipway: slot a is read whole, since the last 5 boots or more ended uncleanly/);
  const record = validRecord(machine.disk);
  assert.is(record.slots.a?.damaged, left?.reason);
  assert.is(record.uncleanEnds, 0, "slot b was read whole, and is sound");
  assert.equal(record.quarantined, []);
  assert.is(
    recordOn(machine.disk).journal.find(({ slot, outcome }) => slot === "a" && outcome === "failed")?.reason,
    left?.reason,
  );
});

test.run();
