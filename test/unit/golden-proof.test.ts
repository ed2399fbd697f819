/** Sealed images through the whole boot: proven, and every way in which they are not. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { withSlot } from "../../boot/selection/slots.ts";
import { matchesGolden } from "../golden.ts";
import { type Image, image } from "./golden-machine.ts";
import { type Boot, World } from "./golden-world.ts";
import {
  beforeTrial,
  flip,
  layout,
  leftFor,
  release,
  report,
  type SealChange,
  sealed,
  signedControl,
  stranger,
  v1,
} from "./sealed-world.ts";

function golden(name: string, boot: Boot): void {
  assert.is(boot.escaped, null, boot.end);
  matchesGolden(`boot-proof-${name}`, boot.kernel.trace);
}

test("a proven boot", async () => {
  const boot = await new World({ a: v1, control: signedControl() }).boot();
  assert.is(boot.root, "/dev/dm-0");
  const { proof, signers, imageId, image: told, verity, warnings, slotDevice } = report(boot);
  assert.equal(
    { proof, signers, imageId, slotDevice },
    { ...{ proof: "signed", signers: [release.key.id] }, imageId: v1.id, slotDevice: "/dev/vda2" },
  );
  assert.equal(verity, { device: "/dev/dm-0", options: ["restart_on_corruption"] });
  assert.is(told?.version, "1.0");
  assert.equal(warnings, []);
  golden("signed", boot);
});

test("a wrong signature", async () => {
  const spoiled = await sealed(2, { manifest: { rollbackIndex: 5 }, spoil: (bytes) => flipSignature(bytes) });
  const world = await beforeTrial(spoiled);
  const boot = await world.boot();
  assert.match(leftFor(boot), /^the signature of key [0-9a-f]{12} under the seal is wrong$/);
  golden("bad-signature", boot);
});

/** Changes one character of the first signature, so that it stays base64. */
function flipSignature(bytes: Uint8Array): void {
  const at = Buffer.from(bytes.buffer).lastIndexOf('"sig":"') + 10;
  bytes[at] = bytes[at] === 0x41 ? 0x42 : 0x41;
}

test("an image for another system", async () => {
  const world = await beforeTrial(await sealed(2, { manifest: { system: "other", rollbackIndex: 5 } }));
  const boot = await world.boot();
  assert.match(leftFor(boot), /^the image is for the system other, and this initrd is for acme-gateway/);
  golden("other-system", boot);
});

test("an image below the boot floor is refused, and not called damaged", async () => {
  const world = await beforeTrial(await sealed(2, { manifest: { rollbackIndex: 4 } }));
  const boot = await world.boot();
  assert.match(leftFor(boot), /^image 2\.0 is too old: its rollback index 4 is below the boot floor 5; install a newer image$/);
  assert.is(world.readRecord().record?.slots.b?.damaged, null);
  golden("below-floor", boot);
  for (const tries of [1, 0]) {
    assert.is((await world.boot()).root, "/dev/dm-0");
    assert.is(world.readRecord().record?.slots.b?.tries, tries);
  }
  assert.equal(world.readRecord().record?.quarantined, []);
});

test("a bad block is found by the whole reading after five unclean ends, in the same boot", async () => {
  const spoiled = await sealed(2, { manifest: { rollbackIndex: 5 }, spoil: (bytes) => flip(bytes, 7 * 4096 + 9) });
  const world = await beforeTrial(spoiled);
  world.change((record) => ({ ...record, uncleanEnds: 5 }));
  const boot = await world.boot();
  assert.match(leftFor(boot), /^block 7 of the data \(byte 28672\) is not the image's; repair the slot, or install again$/);
  const { record } = world.readRecord();
  assert.match(record?.slots.b?.damaged ?? "", /block 7/);
  assert.is(record?.uncleanEnds, 0, "slot a was read whole, and is sound");
  golden("read-whole", boot);
});

test("before five unclean ends nothing is read whole", async () => {
  const world = new World({ a: v1, control: signedControl() });
  await world.boot();
  world.change((record) => ({ ...record, uncleanEnds: 3 }));
  const kernel = world.kernel();
  kernel.recordReads();
  const boot = await world.boot(kernel);
  assert.is(world.readRecord().record?.uncleanEnds, 4);
  assert.not.match(boot.kernel.trace, /open\("\/dev\/vda2", RDONLY\|DIRECT/);
});

test("a trial's last try: after an unclean end the slot is read whole first, and a bad block is not held against the image", async () => {
  const made = await sealed(2, { manifest: { rollbackIndex: 5 } });
  const spoiled = await sealed(2, { manifest: { rollbackIndex: 5 }, spoil: (bytes) => flip(bytes, 7 * 4096 + 9) });
  const world = await beforeTrial(made);
  for (let attempt = 0; attempt < 2; attempt++) {
    const boot = await world.boot();
    assert.is(report(boot).slot, "b");
    assert.not.match(boot.kernel.trace, /read whole/);
  }
  const { record: before } = world.readRecord();
  world.installInB(spoiled);
  world.change((record) => before ?? record);
  const boot = await world.boot();
  assert.match(boot.kernel.trace, /slot b is read whole, since this is its last try, and the one before ended uncleanly/);
  assert.match(leftFor(boot), /^block 7 of the data/);
  await world.boot();
  const { record } = world.readRecord();
  assert.match(record?.slots.b?.damaged ?? "", /block 7/);
  assert.equal(record?.quarantined, []);
});

test("a sound image whose last try ends as those before is quarantined, though its slot was read", async () => {
  const world = await beforeTrial(await sealed(2, { manifest: { rollbackIndex: 5 } }));
  for (let attempt = 0; attempt < 3; attempt++) assert.is(report(await world.boot()).slot, "b");
  assert.is(report(await world.boot()).slot, "a");
  assert.is(world.readRecord().record?.quarantined.length, 1);
});

const signedUp: SealChange["manifest"] = { rollbackIndex: 5 };

/** What is in slot b, why it is left, and whether the slot is damaged by that. */
const attacks: Record<string, { b: () => Promise<Image>; reason: RegExp; damaged: boolean }> = {
  "no seal": { b: async () => image(2), reason: /^no sealed image: no footer, .*slipway image seal/, damaged: true },
  "nobody signed it": {
    b: () => sealed(2, { keys: [], manifest: signedUp }),
    reason: /^the seal is not signed, and must be by 1 of 1 trusted keys/,
    damaged: true,
  },
  "a stranger signed it": {
    b: () => sealed(2, { keys: [stranger], manifest: signedUp }),
    reason: /^the seal is signed by 0 trusted keys; not trusted: [0-9a-f]{12}/,
    damaged: true,
  },
  "its seal is cut": {
    b: () => sealed(2, { manifest: signedUp, spoil: (bytes) => bytes.fill(0, layout.sealOffset + 300, layout.sealOffset + 400) }),
    reason: /^the seal is not JSON/,
    damaged: true,
  },
  "its first block": {
    b: () => sealed(2, { manifest: signedUp, spoil: (bytes) => flip(bytes, 3) }),
    reason: /^the image differs from its hash tree \(dm-verity\); repair the slot, or install again$/,
    damaged: true,
  },
  "its last block": {
    b: () => sealed(2, { manifest: signedUp, spoil: (bytes) => flip(bytes, layout.hashOffset - 1) }),
    reason: /^the image differs from its hash tree/,
    damaged: true,
  },
  "its tree": {
    b: () => sealed(2, { manifest: signedUp, spoil: (bytes) => flip(bytes, layout.treeOffset) }),
    reason: /^the image differs from its hash tree/,
    damaged: true,
  },
  "a root hash of other data": {
    b: () => sealed(2, { manifest: { ...signedUp, rootHash: "ab".repeat(32) } }),
    reason: /^the image differs from its hash tree/,
    damaged: true,
  },
  "it needs another control format": {
    b: () => sealed(2, { manifest: { ...signedUp, needs: { controlFormat: 2, features: [] } } }),
    reason: /^image 2\.0 cannot boot here: it needs control file format 2, this initrd reads 1; renew the initrd first$/,
    damaged: false,
  },
  "it needs a feature": {
    b: () => sealed(2, { manifest: { ...signedUp, needs: { controlFormat: 1, features: ["fec"] } } }),
    reason: /^image 2\.0 cannot boot here: it needs the feature fec, which this initrd has not/,
    damaged: false,
  },
};
for (const [name, { b, reason, damaged }] of Object.entries(attacks)) {
  test(`${name}: left for the other slot in the same boot, with its reason`, async () => {
    const world = await beforeTrial(await b());
    const boot = await world.boot();
    assert.match(leftFor(boot), reason);
    const { record } = world.readRecord();
    assert.is(record?.slots.b?.damaged !== null, damaged, record?.slots.b?.damaged ?? "not damaged");
    assert.is(record?.slots.b?.tries, 2);
    assert.equal(record?.quarantined, []);
    assert.is(world.journal().find(({ slot }) => slot === "b")?.outcome, "failed");
  });
}

test("k of n: one signature too few", async () => {
  const control = signedControl({ keys: [release.key.raw.toHex(), stranger.key.raw.toHex()], threshold: 2 });
  const both = await sealed(1, { keys: [release, stranger] });
  const world = new World({ a: await sealed(2), b: both, control });
  const boot = await world.boot();
  assert.is(report(boot).slot, "b");
  assert.match(report(boot).skipped[0]?.reason ?? "", /signed by 1 trusted keys, and must be by 2 of 2/);
  assert.is(report(boot).signers.length, 2);
});

test("a slot whose image was revoked takes no try, and boots no more", async () => {
  const world = await beforeTrial(await sealed(2, { manifest: { rollbackIndex: 7, revokesBelow: 6 } }));
  const boot = await world.boot();
  assert.is(report(boot).slot, "b");
  world.commitAndShutDown("b", report(boot).imageId, { rollbackIndex: 7, revokesBelow: 6 });
  world.change((record) => withSlot(record, "b", { damaged: "torn" }));
  const { record: before } = world.readRecord();
  const held = await world.boot();
  assert.is(held.end, "reboot restart");
  assert.match(held.kernel.trace, /a +its rollback index 5 is below the boot floor 6/);
  assert.is(world.readRecord().record?.slots.a?.tries, before?.slots.a?.tries);
});

test.run();
