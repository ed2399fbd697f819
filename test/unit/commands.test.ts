import { test } from "uvu";
import * as assert from "uvu/assert";
import { activateSlot } from "../../init/commands/activate.ts";
import { commit } from "../../init/commands/commit.ts";
import { markSlotBad } from "../../init/commands/mark-bad.ts";
import { rollback } from "../../init/commands/rollback.ts";
import { linuxKernel } from "../../init/kernel/linux.ts";
import { BadInput, Refusal } from "../../state-ops/outcome.ts";
import { entry, IMAGE_A, IMAGE_B, NOW, record, report, slot, TestMachine, trialOfB } from "./commands-machine.ts";
import { image } from "./golden-machine.ts";

function refuses(run: () => unknown, words: RegExp): void {
  assert.throws(run, (error: unknown) => error instanceof Refusal && words.test(error.message));
}

test("commit ends a trial in one write of the record", () => {
  const machine = new TestMachine(trialOfB());
  const answer = commit(machine.kernel, machine.places);
  assert.is(machine.recordWrites, 1);
  assert.equal(machine.slot("b"), slot({ priority: 2, imageId: IMAGE_B }));
  assert.equal(machine.record().lastCommitted, { slot: "b", imageId: IMAGE_B });
  assert.is(machine.record().attempt?.stage, "good");
  assert.is(machine.attempt(7)?.outcome, "good");
  assert.is(machine.uncommitted, false);
  assert.is(answer.changed, true);
  assert.match(answer.did[0] ?? "", /Slot b is committed: its trial is over, and it has 10 tries/);
});

test("commit removes the mark only after the record is written", () => {
  const machine = new TestMachine(trialOfB());
  machine.kernel.failOn({ call: "write", match: /vda1/, code: "EIO" });
  assert.throws(
    () => commit(machine.kernel, machine.places),
    (error: unknown) => error instanceof Error && !(error instanceof Refusal) && /cannot be written.*EIO/.test(error.message),
  );
  assert.is(machine.uncommitted, true);
  assert.is(machine.slot("b").state, "trial");
});

test("commit re-arms a committed slot, and a second one changes nothing", () => {
  const machine = new TestMachine({ record: record({ slots: { a: slot({ priority: 2, tries: 4, credits: 3 }), b: slot() } }) });
  assert.is(commit(machine.kernel, machine.places).changed, true);
  assert.equal(machine.slot("a"), slot({ priority: 2 }));
  assert.is(machine.record().lastKnownUnixMs >= NOW, true);
  const again = commit(machine.kernel, machine.places);
  assert.is(again.changed, false);
  assert.is(machine.recordWrites, 1);
});

test("commit of a degraded trial is refused, and the journal knows why", () => {
  const machine = new TestMachine(trialOfB([{ path: "/var", reason: "no data partition" }]));
  refuses(
    () => commit(machine.kernel, machine.places),
    /degraded and a trial cannot be committed so: \/var \(no data partition\)/,
  );
  assert.is(machine.slot("b").state, "trial");
  assert.is(machine.uncommitted, true);
  assert.match(machine.attempt(7)?.reason ?? "", /not committed: degraded \/var/);
});

test("commit of a degraded committed slot goes on", () => {
  const machine = new TestMachine({ report: report({ degraded: [{ path: "/var", reason: "no data partition" }] }) });
  assert.is(commit(machine.kernel, machine.places).changed, true);
  assert.is(machine.slot("a").tries, 10);
});

test("commit does not commit another boot's trial", () => {
  const trial = trialOfB();
  const machine = new TestMachine({ ...trial, report: { ...trial.report, attempt: 6 } });
  refuses(() => commit(machine.kernel, machine.places), /this boot is attempt 6 of slot b, the boot record knows attempt 7/);
});

test("rollback gives a trial up and goes to the committed slot", () => {
  const machine = new TestMachine(trialOfB());
  const answer = rollback(machine.kernel, machine.places);
  assert.is(answer.slot, "a");
  assert.is(machine.slot("b").tries, 0);
  assert.is(machine.slot("b").reason, "rolled back by operator");
  assert.is(machine.slot("a").priority, 2);
  assert.match(machine.attempt(7)?.reason ?? "", /rolled back by operator, to slot a/);
  assert.match(answer.next, /systemctl reboot/);
});

test("rollback from a committed slot keeps it as the fallback", () => {
  const machine = new TestMachine();
  assert.is(rollback(machine.kernel, machine.places).slot, "b");
  assert.equal(machine.slot("a"), slot({ priority: 1, tries: 9 }));
  assert.is(machine.slot("b").priority, 2);
});

test("rollback without another slot that can boot is refused", () => {
  const machine = new TestMachine({
    record: record({ slots: { a: slot({ priority: 2 }), b: slot({ tries: 0, reason: "broken" }) } }),
  });
  refuses(() => rollback(machine.kernel, machine.places), /no other slot than a can boot \(b: broken\)/);
  assert.is(machine.recordWrites, 0);
});

test("mark-bad gives a slot up with a reason", () => {
  const machine = new TestMachine();
  const answer = markSlotBad(machine.kernel, machine.places, "b", "modem does not register");
  assert.is(machine.slot("b").tries, 0);
  assert.is(machine.slot("b").reason, "modem does not register");
  assert.equal(answer.did, ["Slot b boots no more (modem does not register).", "The next boot is slot a."]);
});

test("mark-bad of the running slot goes to the other one, and of the only one is refused", () => {
  const machine = new TestMachine();
  const answer = markSlotBad(machine.kernel, machine.places, "a", "bad");
  assert.match(answer.next, /reboot .* to go to slot b/);
  assert.match(machine.attempt(7)?.reason ?? "", /marked bad: bad/);
  refuses(() => markSlotBad(machine.kernel, machine.places, "b", "bad"), /slot b is the only one that can boot/);
});

test("a slot that is not there is bad input", () => {
  const machine = new TestMachine();
  const wrong = (error: unknown) => error instanceof BadInput && /no slot "c"; this machine has a, b/.test(error.message);
  assert.throws(() => markSlotBad(machine.kernel, machine.places, "c", "bad"), wrong);
  assert.throws(() => activateSlot(machine.kernel, machine.places, "c"), wrong);
});

test("activate puts another image on trial, and one that was committed there back first", () => {
  const machine = new TestMachine({ slotB: image(3).head });
  const answer = activateSlot(machine.kernel, machine.places, "b");
  assert.equal(machine.slot("b"), slot({ state: "trial", priority: 2, tries: 3, imageId: image(3).id }));
  assert.match(answer.did[0] ?? "", /slot b with image [0-9a-f]{12}, on trial with 3 tries/);
  const same = new TestMachine();
  activateSlot(same.kernel, same.places, "b");
  assert.equal(same.slot("b"), slot({ priority: 2, imageId: IMAGE_B }));
  assert.is(same.slot("a").imageId, IMAGE_A);
});

test("a slot that nobody looked at yet is no fallback when it holds nothing", () => {
  const unknown = {
    record: record({ slots: { a: slot({ priority: 2 }), b: slot({ state: "trial", tries: 3, imageId: null }) } }),
  };
  const empty = new TestMachine({ ...unknown, slotB: null });
  refuses(() => markSlotBad(empty.kernel, empty.places, "a", "x"), /slot a is the only one that can boot \(b: empty\)/);
  refuses(() => rollback(empty.kernel, empty.places), /no other slot than a can boot \(b: empty\)/);
  const filled = new TestMachine(unknown);
  assert.is(rollback(filled.kernel, filled.places).slot, "b");
  assert.equal([filled.slot("b").state, filled.slot("b").tries], ["trial", 3]);
});

test("activate refuses an empty slot, a running trial, and a missing partition", () => {
  const empty = new TestMachine({ slotB: null });
  refuses(() => activateSlot(empty.kernel, empty.places, "b"), /slot b is empty: the first 68 KiB of \/dev\/vda3 are zero/);
  const trial = new TestMachine(trialOfB());
  refuses(() => activateSlot(trial.kernel, trial.places, "a"), /running slot b is on trial/);
  const other = new TestMachine({
    control: {
      slots: [
        { name: "a", device: "PARTLABEL=root-a" },
        { name: "b", device: "PARTLABEL=root-x" },
      ],
    },
  });
  refuses(() => activateSlot(other.kernel, other.places, "b"), /slot b: no partition labelled root-x; saw .*vda3 root-b/);
});

test("a machine that slipway did not boot is told so", () => {
  const machine = new TestMachine();
  const places = { ...machine.places, report: "/run/nowhere/boot.json" };
  for (const command of [commit, rollback]) {
    refuses(() => command(machine.kernel, places), /not booted by slipway: \/run\/nowhere\/boot.json cannot be read \(ENOENT\)/);
  }
});

test("a report of a newer initrd with more keys is understood, a damaged one is refused", () => {
  const newer = new TestMachine({ run: { "slipway/boot.json": JSON.stringify({ ...report(), further: { key: 1 } }) } });
  assert.is(commit(newer.kernel, newer.places).changed, true);
  for (const [text, words] of [
    ["{", /boot.json: .*too far apart in version/],
    ["[]", /boot.json is no object/],
    [JSON.stringify({ ...report(), schema: 2 }), /has schema 2, known is 1/],
    [JSON.stringify({ ...report(), attempt: "7" }), /boot.json.attempt is "7", expected a number/],
  ] as const) {
    const machine = new TestMachine({ run: { "slipway/boot.json": text } });
    refuses(() => commit(machine.kernel, machine.places), words);
  }
});

test("without a valid record nothing is changed", () => {
  const blank = new TestMachine({ record: null });
  refuses(() => commit(blank.kernel, blank.places), /boot record on \/dev\/vda1 is empty; reboot/);
  const missing = new TestMachine({ report: report({ record: { condition: "unreadable", writable: false, device: null } }) });
  refuses(() => rollback(missing.kernel, missing.places), /no boot record was found at boot/);
});

test("a failing journal does not keep a commit from being done", () => {
  const machine = new TestMachine({ ...trialOfB(), journal: [entry(3)] });
  const answer = commit(machine.kernel, machine.places);
  assert.is(machine.slot("b").state, "committed");
  assert.match(answer.warnings.join(), /boot journal does not say so: the boot journal holds no attempt 7/);
});

test("two commands at once exclude each other", () => {
  const machine = new TestMachine();
  const fd = machine.kernel.open(machine.places.lock, 0o102);
  machine.kernel.lock(fd);
  machine.kernel.write(fd, new TextEncoder().encode("slipway rollback (process 9)\n"), 0n);
  refuses(
    () => commit(machine.kernel, machine.places, 1000),
    /being changed by slipway rollback \(process 9\), which has held .* for 1 s/,
  );
  machine.kernel.close(fd);
  assert.is(commit(machine.kernel, machine.places).changed, true);
});

test("the real kernel refuses on a machine that slipway did not boot", () => {
  const { places } = new TestMachine();
  refuses(() => commit(linuxKernel(), { ...places, report: "/nonexistent/boot.json" }), /not booted by slipway/);
});

test.run();
