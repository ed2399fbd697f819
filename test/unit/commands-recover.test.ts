/** `slipway recover`, and what the commands make of a boot that a recovery led to: safe mode above all. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { BootRecord } from "../../boot/record/record.ts";
import type { ToldRecovery } from "../../boot/recovery/step.ts";
import { beginBoot } from "../../boot/selection/begin.ts";
import { policyOf } from "../../boot/selection/policy.ts";
import { endCleanly, isSafeMode } from "../../boot/selection/running.ts";
import { beforeCommit, commit } from "../../init/commands/commit.ts";
import { cancelRecovery, recover } from "../../init/commands/recover.ts";
import { endBootCleanly } from "../../init/commands/shutdown-credit.ts";
import { readStatus } from "../../init/commands/status-facts.ts";
import { endAtDeadline } from "../../init/commands/trial-deadline.ts";
import { endFailedTry } from "../../init/commands/trial-failed.ts";
import { systemFiles } from "../../init/sequence/system-files.ts";
import { BadInput, Refusal } from "../../state-ops/outcome.ts";
import { type ControlRecovery, DEFAULT_RECOVERY, RUNGS } from "../../state-ops/recovery.ts";
import { NO_RECOVERY } from "../samples/control-file.ts";
import { IMAGE_A, IMAGE_B, record, report, slot, TestMachine, trialOfB } from "./commands-machine.ts";
import { controlFile } from "./golden-machine.ts";

const allowed: ControlRecovery = { ...DEFAULT_RECOVERY, sources: ["https://updates.example/"] };
const systemctl = 'case "$1" in list-units|show|--force) exit 0;; esac; exit 1';

function machineWith(recovery: ControlRecovery, change: ConstructorParameters<typeof TestMachine>[0] = {}): TestMachine {
  return new TestMachine({ systemctl, ...change, control: { recovery } });
}

function refusal(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    assert.instance(error, Refusal, String(error));
    return String(error);
  }
  assert.unreachable("it was not refused");
  return "";
}

const ask = (machine: TestMachine, rung: string | null) => recover(machine.kernel, machine.places, rung);
const cancel = (machine: TestMachine) => cancelRecovery(machine.kernel, machine.places);

test("recover asks the next boot, with one write of the record; asking again changes nothing", () => {
  for (const rung of [null, ...RUNGS]) {
    const machine = machineWith(allowed);
    const before = machine.record();
    const answer = ask(machine, rung);
    const asked = rung ?? "ladder";
    assert.equal([answer.changed, answer.asked, answer.slot], [true, asked, "a"]);
    assert.equal(machine.record(), { ...before, recovery: { asked, tried: [], current: null } });
    assert.match(answer.next, /^reboot \(systemctl reboot\) to begin it, or take it back with "slipway recover --cancel"\.$/);
    assert.equal(answer.warnings, []);
    assert.is(ask(machine, rung).changed, false);
    assert.is(machine.recordWrites, 1);
  }
});

test("recover says what each rung does; the ladder is what looks after the slots", () => {
  const { did } = ask(machineWith(allowed), null);
  assert.equal(
    did.map((line) => line.split(":")[0]),
    ["The next boot begins a recovery", "  repair", "  reinstall"],
  );
  assert.match(
    ask(machineWith(allowed), "reinstall-fresh").did[1] ?? "",
    /the old is kept aside, shared and identity state stay\.$/,
  );
});

test("what is asked for last holds", () => {
  const machine = machineWith(allowed);
  ask(machine, "repair");
  assert.is(ask(machine, "safe-mode").changed, true);
  assert.is(machine.record().recovery?.asked, "safe-mode");
});

test("cancel takes back what was asked for, and leaves the record as it was", () => {
  const machine = machineWith(allowed);
  const before = machine.record();
  assert.equal(cancel(machine).did, ["No recovery is asked for: nothing to take back."]);
  assert.is(machine.recordWrites, 0);
  ask(machine, "repair");
  const answer = cancel(machine);
  assert.equal([answer.changed, answer.asked], [true, null]);
  assert.match(answer.did[0] ?? "", /not asked for the recovery by repair any more/);
  assert.equal(machine.record(), before);
});

test("cancel leaves what the record knows of a recovery under way", () => {
  const step = { rung: "repair", slot: "a", imageId: IMAGE_A } as const;
  const recovery = { asked: "ladder", tried: [step], current: step, begun: 2, obeyed: "repair" } as const;
  const machine = machineWith(allowed, { record: record({ recovery: { ...recovery, tried: [...recovery.tried] } }) });
  cancel(machine);
  assert.equal(machine.record().recovery, { ...recovery, tried: [step], asked: null });
});

test("a new request begins anew: what was tried counts no more, how the running slot's state is laid still does", () => {
  const step = { rung: "reinstall-fresh", slot: "a", imageId: IMAGE_A } as const;
  const recovery = { asked: null, tried: [step], current: step, begun: 3, obeyed: "ladder" } as const;
  const machine = machineWith(allowed, { record: record({ recovery: { ...recovery, tried: [step] } }) });
  ask(machine, "repair");
  assert.equal(machine.record().recovery, { asked: "repair", tried: [], current: step, obeyed: "ladder" });
});

test("refused: no recovery here, a rung that is not in the ladder, a word that is none", () => {
  assert.match(
    refusal(() => ask(machineWith(NO_RECOVERY), null)),
    /system\.yaml says "recovery: off", so that nothing would be tried; another slot than a boots by "slipway rollback"/,
  );
  const gentle = machineWith({ ...allowed, ladder: ["repair", "reinstall"] });
  assert.match(
    refusal(() => ask(gentle, "safe-mode")),
    /this machine's recovery has no rung safe-mode; its ladder is repair, reinstall/,
  );
  assert.throws(
    () => ask(gentle, "wipe"),
    (error: unknown) =>
      error instanceof BadInput && /"wipe" is no rung of a recovery; known are previous-generation/.test(error.message),
  );
  assert.is(gentle.recordWrites, 0);
});

test("refused: an initrd that knows no recovery", () => {
  const machine = machineWith(allowed);
  const { recovery: _, ...old } = JSON.parse(controlFile({}).text);
  machine.kernel.plant("/run/slipway", { "control.json": JSON.stringify(old) });
  assert.match(
    refusal(() => ask(machine, null)),
    /a version that knows no recovery; build and install an initrd anew/,
  );
});

test("refused: a record that cannot be written, or is not there", () => {
  const machine = machineWith(allowed);
  machine.recordDevice.readOnly = true;
  assert.match(
    refusal(() => ask(machine, null)),
    /nothing is asked for: the boot record cannot be written: writing to \/dev\/vda1/,
  );
  const asked = machineWith(allowed, { record: record({ recovery: { asked: "repair", tried: [], current: null } }) });
  asked.recordDevice.readOnly = true;
  assert.match(
    refusal(() => cancel(asked)),
    /the recovery stays asked for: the boot record cannot be written/,
  );
  assert.match(
    refusal(() => ask(machineWith(allowed, { record: null }), null)),
    /the boot record on \/dev\/vda1 is empty/,
  );
});

test("warned: nothing to install from, and a trial that is not waited for", () => {
  assert.match(ask(machineWith(DEFAULT_RECOVERY), "reinstall").warnings.join(), /no source, no factory partition and no media/);
  assert.equal(ask(machineWith(DEFAULT_RECOVERY), "repair").warnings, []);
  for (const from of [{ media: true }, { factory: "PARTLABEL=factory" }]) {
    assert.equal(ask(machineWith({ ...DEFAULT_RECOVERY, ...from }), "reinstall").warnings, []);
  }
  assert.match(ask(machineWith(allowed, trialOfB()), null).warnings.join(), /^slot b runs on trial; the recovery does not wait/);
});

const told = (change: Partial<ToldRecovery> = {}): ToldRecovery => ({
  asked: null,
  rung: "safe-mode",
  steps: [],
  network: null,
  reportedTo: null,
  ...change,
});

/** Slot a, committed and without a try left, in safe mode. */
function safeMode(asked: string | null = null, change: Partial<BootRecord> = {}): TestMachine {
  const step = { rung: "safe-mode", slot: "a", imageId: IMAGE_A } as const;
  return machineWith(allowed, {
    record: record({
      slots: { a: slot({ priority: 2, tries: 0 }), b: slot({ imageId: IMAGE_B, tries: 0, damaged: "x" }) },
      recovery: { asked: null, tried: [step], current: step },
      ...change,
    }),
    report: report({ recovery: told({ asked }) }),
    uncommitted: true,
  });
}

test("safe mode is not committed and re-arms nothing, committed slot or trial; the journal says so", () => {
  const trial = { ...slot({ state: "trial", priority: 2, tries: 0 }) };
  for (const machine of [safeMode(), safeMode(null, { slots: { a: trial, b: slot({ tries: 0 }) } })]) {
    for (const action of [beforeCommit, commit]) {
      const said = refusal(() => action(machine.kernel, machine.places));
      assert.match(said, /slot a runs in safe mode, without its persistent state, and cannot be committed so; find out what/);
      assert.match(said, /600 s after its start this boot ends by itself/);
    }
    assert.is(machine.recordWrites, 0);
    assert.is(machine.slot("a").tries, 0);
    assert.is(machine.uncommitted, true);
    assert.is(machine.attempt(7)?.reason, "not committed: safe mode");
  }
});

test("a boot with the generation before is committed like any other, and the recovery is over", () => {
  const step = { rung: "previous-generation", slot: "a", imageId: IMAGE_A } as const;
  const machine = machineWith(allowed, {
    record: record({ recovery: { asked: null, tried: [step], current: step } }),
    report: report({ recovery: told({ rung: "previous-generation" }) }),
  });
  assert.is(commit(machine.kernel, machine.places).changed, true);
  assert.is(machine.record().recovery, undefined);
  assert.is(machine.slot("a").tries, 10);
});

test("safe mode that nobody asked for ends at the deadline, without credit; one that was asked for stays", () => {
  const machine = safeMode();
  // The machine goes on here, so that its disk can be read.
  machine.kernel.reboot = () => {};
  endAtDeadline(machine.kernel, machine.places);
  assert.equal(machine.systemctlCalls, ["--force reboot"]);
  assert.is(machine.attempt(7)?.outcome, "failed");
  assert.match(machine.attempt(7)?.reason ?? "", /^safe mode ended after 600 s, for the next rung of the recovery/);
  assert.is(machine.slot("a").tries, 0);
  const asked = safeMode("slipway recover");
  assert.match(endAtDeadline(asked.kernel, asked.places), /runs in safe mode, as it was asked for: it stays so until somebody/);
  assert.equal(asked.systemctlCalls, []);
});

test("a health check that fails in safe mode ends nothing", () => {
  for (const asked of [null, "slipway.recover"]) {
    const machine = safeMode(asked);
    assert.match(endFailedTry(machine.kernel, machine.places), /slot a runs in safe mode: nothing was done/);
    assert.equal(machine.systemctlCalls, []);
    assert.is(machine.attempt(7)?.outcome, "running");
  }
});

test("an orderly end of safe mode gives the slot one try with its own state, a trial too; a failure action gives none", () => {
  const trial = slot({ state: "trial", priority: 2, tries: 0 });
  for (const slots of [undefined, { a: trial, b: slot({ tries: 0 }) }]) {
    const machine = safeMode(null, slots === undefined ? {} : { slots });
    const end = endBootCleanly(machine.kernel, machine.places);
    assert.equal([end.credited, end.why], [true, "a clean shutdown of safe mode"]);
    assert.is(machine.slot("a").tries, 1);
    assert.is(endBootCleanly(machine.kernel, machine.places).credited, false, "once");
    const next = beginBoot(machine.record(), policyOf(controlFile().control)).record;
    assert.is(next.recovery?.current, null, "the next boot lays its own state");
    assert.is(next.slots.a?.tries, 1);
  }
  const before = safeMode().record();
  assert.is(isSafeMode(before), true);
  const policy = policyOf(controlFile().control);
  assert.is(endCleanly(before, policy, { credit: false, unixMs: 1 }).slots.a?.tries, 0);
  const bad = { ...before, slots: { ...before.slots, a: slot({ tries: 0, reason: "marked bad by operator" }) } };
  assert.is(endCleanly(bad, policy, { credit: true, unixMs: 1 }).slots.a?.tries, 0, "what an operator gave up stays so");
});

test("the system finds the marks of safe mode, and a deadline", () => {
  const { text, control: values } = controlFile();
  const files = (trial: boolean, safeMode: boolean) =>
    systemFiles(report({ trial }), { text, values }, false, safeMode, null).map(({ path }) => path);
  const marks = [
    "/run/slipway/safe-mode",
    "/run/slipway/uncommitted",
    "/run/systemd/system.control/slipway-trial-deadline.timer.d/50-slipway.conf",
  ];
  const always = ["/run/slipway/boot.json", "/run/slipway/control.json"];
  for (const trial of [true, false]) assert.equal(files(trial, true), [...always, ...marks]);
  assert.equal(files(true, false), [...always, ...marks.slice(1)]);
  assert.equal(files(false, false), always);
});

test("status says what to do in safe mode, and of what was asked for", () => {
  const stepOf = (machine: TestMachine) => readStatus(machine.kernel, machine.places).nextStep;
  assert.match(stepOf(safeMode()), /^find out what is wrong with the slot's state and reboot .* 600 s after its start/);
  assert.match(
    stepOf(safeMode("slipway recover")),
    /^find out what is wrong with the slot's state, then reboot \(systemctl reboot\)/,
  );
  const machine = safeMode();
  ask(machine, "reinstall-fresh");
  assert.match(stepOf(machine), /^reboot .* to begin the recovery that was asked for, by reinstall-fresh, or take it back/);
  const { recovery } = readStatus(machine.kernel, machine.places);
  assert.equal([recovery.asked, recovery.ladder, recovery.safeMode?.asked], ["reinstall-fresh", [...RUNGS], false]);
  assert.equal(recovery.boot, told());
});

test.run();
