/** Commit of a trial: the slot is read whole against its hash tree before, and what the seal says raises the floors. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { reportedImage } from "../../boot/report.ts";
import { activateSlot } from "../../init/commands/activate.ts";
import { beforeCommit, commit } from "../../init/commands/commit.ts";
import { bytesToRead, readWhole } from "../../init/commands/commit-reading.ts";
import { O } from "../../init/kernel/constants.ts";
import { BlockDevice } from "../../init/kernel/recording/memory-devices.ts";
import type { ControlTrust } from "../../state-ops/control.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import { sealedImage } from "../samples/sealed-image.ts";
import { record, report, slot, TestMachine, trialOfB } from "./commands-machine.ts";
import { erofs } from "./golden-machine.ts";

/** 200 blocks that begin as an erofs does, so that the seal behind them is found. */
const content = new Uint8Array(200 * 4096).map((_, index) => (index * 31) >>> 5);
content.set(erofs(1));
new DataView(content.buffer).setUint32(1024 + 36, 200, true);
const image = await sealedImage(content, [], { system: "acme-gateway", rollbackIndex: 7, revokesBelow: 5 });
const { manifest } = image;

function sealedTrial(change: { proof?: "signed" | "unsigned"; bytes?: Uint8Array } = {}): TestMachine {
  const trial = trialOfB();
  const sealed = { imageId: manifest.rootHash, image: reportedImage(manifest), proof: change.proof ?? "signed" } as const;
  return new TestMachine({ ...trial, report: report({ ...trial.report, ...sealed }), slotB: change.bytes ?? image.bytes });
}

function saying(text: RegExp) {
  return (error: unknown) => error instanceof Error && text.test(error.message);
}

function toRead(machine: TestMachine) {
  const wanted = beforeCommit(machine.kernel, machine.places);
  if (wanted === null) throw new Error("nothing is to be read");
  return wanted;
}

test("a trial's slot is read whole at the lowest priority, in steps, while others may change the record", () => {
  const machine = sealedTrial();
  const wanted = toRead(machine);
  assert.is(bytesToRead(machine.kernel, wanted), (200 + 3) * 4096);
  const steps: number[] = [];
  const said = readWhole(machine.kernel, machine.places, wanted, (done) => {
    steps.push(done);
    const fd = machine.kernel.open(machine.places.lock, O.RDWR);
    assert.ok(machine.kernel.lock(fd), "the lock of the boot record is free");
    machine.kernel.close(fd);
  });
  assert.match(said, /^Read slot b whole, 812 KiB in \d+\.\d s: every block is the image's\.$/);
  assert.is(steps.at(-1), (200 + 3) * 4096);
  assert.match(machine.kernel.trace, /nice\(19\), ionice\(idle\)/);
  assert.is(machine.recordWrites, 0);
});

test("the reading takes its turn like everybody once half of the trial's deadline has passed", () => {
  const machine = sealedTrial();
  const wanted = toRead(machine);
  const priorities = () => machine.kernel.trace.match(/nice\(\d+\), ionice\(\w+\)/g);
  readWhole(machine.kernel, machine.places, wanted, () => {
    assert.equal(priorities(), ["nice(19), ionice(idle)"]);
  });
  assert.equal(priorities(), ["nice(19), ionice(idle)"]);
  let steps = 0;
  readWhole(machine.kernel, machine.places, wanted, () => {
    if (steps++ === 0) machine.kernel.poll([], wanted.hurryAtMs);
  });
  const idleThenNot = ["nice(19), ionice(idle)", "nice(0), ionice(none)"];
  assert.equal(priorities(), ["nice(19), ionice(idle)", ...idleThenNot], "once, however many steps follow");
  readWhole(machine.kernel, machine.places, wanted, () => {});
  assert.equal(priorities()?.slice(3), ["nice(0), ionice(none)"], "a commit that comes late does not begin idle");
});

test("the commit keeps the seal's rollback index, raises the floors, and says what is revoked", () => {
  const machine = sealedTrial();
  const answer = commit(machine.kernel, machine.places);
  assert.equal(machine.record().floors, { install: 7, boot: 5 });
  assert.is(machine.slot("b").rollbackIndex, 7);
  assert.match(answer.did.join("\n"), /No image with a rollback index below 5 boots on this machine any more\./);
  const again = commit(machine.kernel, machine.places);
  assert.is(again.changed, false);
  assert.not.match(again.did.join("\n"), /any more/);
});

test("a seal that nobody had to sign raises no floor", () => {
  const machine = sealedTrial({ proof: "unsigned" });
  commit(machine.kernel, machine.places);
  assert.is(machine.record().floors, undefined);
  assert.is(machine.slot("b").rollbackIndex, undefined);
});

test("a block that is not the image's: the trial is not committed, and the record calls the slot damaged", () => {
  const bytes = image.bytes.slice();
  bytes[150 * 4096] = (bytes[150 * 4096] ?? 0) ^ 1;
  const machine = sealedTrial({ bytes });
  assert.throws(
    () => readWhole(machine.kernel, machine.places, toRead(machine), () => {}),
    (error: unknown) =>
      error instanceof Refusal &&
      /slot b is damaged and is not committed: block 150 of the data .* is not the image's; .*"slipway repair b"/.test(
        error.message,
      ),
  );
  assert.match(machine.slot("b").damaged ?? "", /block 150 of the data/);
  assert.is(machine.slot("b").state, "trial");
  assert.is(machine.uncommitted, true);
  assert.match(machine.attempt(7)?.reason ?? "", /^not committed: block 150 of the data/);
  assert.throws(() => commit(machine.kernel, machine.places), /slot b is damaged \(block 150/);
});

test("a block that cannot be read: the same, with its error", () => {
  const machine = sealedTrial();
  const wanted = toRead(machine);
  machine.kernel.failOn({ call: "read", match: /vda3", at 0x0\)/, code: "EIO" });
  assert.throws(
    () => readWhole(machine.kernel, machine.places, wanted, () => {}),
    /block 0 of the data \(byte 0\) cannot be read \(EIO\)/,
  );
  assert.match(machine.slot("b").damaged ?? "", /cannot be read \(EIO\)/);
});

test("a device that is gone is no damage: named with its error and what to do, and the record stays", () => {
  for (const rule of [
    { call: "open", match: /vda3/, code: "ENXIO" },
    { call: "read", match: /vda3/, code: "ENODEV" },
  ] as const) {
    const machine = sealedTrial();
    const wanted = toRead(machine);
    machine.kernel.failOn(rule);
    const said = new RegExp(
      `^/dev/vda3 cannot be read \\(${rule.code}\\); is the disk failing\\? --quick commits without reading$`,
    );
    assert.throws(() => readWhole(machine.kernel, machine.places, wanted, () => {}), saying(said));
    assert.throws(() => bytesToRead(machine.kernel, wanted), saying(said));
    assert.is(machine.slot("b").damaged, null);
  }
});

test("a kernel that does not let its priority be lowered reads the slot all the same", () => {
  const machine = sealedTrial();
  machine.kernel.failOn({ call: "lowerPriority", match: /nice/, code: "EPERM" });
  assert.match(
    readWhole(machine.kernel, machine.places, toRead(machine), () => {}),
    /every block is the image's/,
  );
});

test("a damaged slot is told of where the record cannot say so, with why it cannot", () => {
  const bytes = image.bytes.slice();
  bytes[0] = (bytes[0] ?? 0) ^ 1;
  const machine = sealedTrial({ bytes });
  const wanted = toRead(machine);
  machine.kernel.failOn({ call: "write", match: /vda1/, code: "EIO" });
  assert.throws(
    () => readWhole(machine.kernel, machine.places, wanted, () => {}),
    (error: unknown) =>
      error instanceof Refusal &&
      /block 0 of the data .*\(the boot record does not say so: .*cannot be written: .*EIO/.test(error.message),
  );
});

test("an image without a seal has nothing to be read against, and a committed slot is not read again", () => {
  const machine = new TestMachine(trialOfB());
  const wanted = toRead(machine);
  assert.is(bytesToRead(machine.kernel, wanted), 0);
  assert.match(
    readWhole(machine.kernel, machine.places, wanted, () => {}),
    /has no seal: there is nothing to read it against/,
  );
  assert.is(beforeCommit(new TestMachine().kernel, new TestMachine().places), null);
});

test("what refuses the commit refuses the reading", () => {
  const trial = trialOfB([{ path: "/var", reason: "no data partition" }]);
  const machine = new TestMachine(trial);
  assert.throws(() => beforeCommit(machine.kernel, machine.places), /degraded/);
});

const trust: ControlTrust = {
  mode: "signed",
  keys: ["ab".repeat(32)],
  threshold: 1,
  rollbackFloor: 0,
  kernelSignature: "ignored",
};

/** Slot a runs, committed with rollback index 5; slot b holds `bytes`. */
function withSlotB(bytes: Uint8Array): TestMachine {
  const slots = { a: slot({ priority: 2, rollbackIndex: 5 }), b: slot({ state: "empty", tries: 0, imageId: null }) };
  return new TestMachine({ record: record({ slots }), slotB: bytes, control: { trust } });
}

test("activate takes a sealed image by its root hash", () => {
  const machine = withSlotB(image.bytes);
  activateSlot(machine.kernel, machine.places, "b");
  assert.is(machine.slot("b").imageId, manifest.rootHash);
  assert.is(machine.slot("b").state, "trial");
});

for (const [name, bytes, reason] of [
  [
    "too old an image",
    (await sealedImage(content, [], { system: "acme-gateway", rollbackIndex: 4 })).bytes,
    /too old: its rollback index 4 is below the boot floor 5/,
  ],
  [
    "another system's",
    (await sealedImage(content, [], { system: "other" })).bytes,
    /for the system other, and this machine is a acme/,
  ],
  ["an unsealed image", content.slice(), /holds no sealed image \(.*\), and this machine boots signed ones only/],
  [
    "a damaged seal",
    image.bytes.slice().fill(0, image.bytes.length - 8000, image.bytes.length - 7900),
    /slot b is damaged: the seal/,
  ],
] as const) {
  test(`activate refuses what the next boot would: ${name}`, () => {
    const machine = withSlotB(bytes);
    assert.throws(
      () => activateSlot(machine.kernel, machine.places, "b"),
      (error: unknown) => error instanceof Refusal && reason.test(error.message),
    );
    assert.is(machine.recordWrites, 0);
  });
}

const separate = {
  trust,
  slots: [
    { name: "a", device: "PARTLABEL=root-a" },
    { name: "b", device: "PARTLABEL=root-b", verity: "PARTLABEL=root-b-verity", signature: "PARTLABEL=root-b-verity-sig" },
  ],
};
const signedHash = "ab".repeat(32);

/** Slot b has partitions for its hash tree and for `signature`. */
function withSeparateTree(signature: string): TestMachine {
  const slots = { a: slot({ priority: 2 }), b: slot({ state: "empty", tries: 0, imageId: null }) };
  const machine = new TestMachine({ record: record({ slots }), slotB: content.slice(), control: separate });
  const disk = machine.recordDevice.partition?.of;
  if (!disk) throw new Error("the boot record is no partition");
  const part = (number: number, label: string, contents: string) =>
    machine.kernel.addDevice(
      new BlockDevice({
        path: `/dev/vda${number}`,
        number: { major: 254, minor: number },
        size: 1024 * 1024,
        partition: { of: disk, number, start: number * 8 * 1024 * 1024, label },
        contents: new TextEncoder().encode(contents),
      }),
    );
  part(5, "root-b-verity", "verity");
  part(6, "root-b-verity-sig", signature);
  return machine;
}

test("activate takes a slot with a hash tree of its own by the root hash that its signature partition names", () => {
  const said = { rootHash: signedHash, signature: "AAAA", certificateFingerprint: "cd".repeat(32) };
  const machine = withSeparateTree(JSON.stringify(said));
  activateSlot(machine.kernel, machine.places, "b");
  assert.is(machine.slot("b").imageId, signedHash);
  assert.is(machine.slot("b").state, "trial");
});

test("activate refuses a slot whose signature partition names no root hash", () => {
  for (const [signature, reason] of [
    ["", /slot b: the signature partition is empty/],
    ["{}", /slot b: .*rootHash/],
  ] as const) {
    const machine = withSeparateTree(signature);
    assert.throws(
      () => activateSlot(machine.kernel, machine.places, "b"),
      (error: unknown) => error instanceof Refusal && reason.test(error.message),
    );
    assert.is(machine.recordWrites, 0);
  }
});

test.run();
