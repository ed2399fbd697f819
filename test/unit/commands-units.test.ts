import { test } from "uvu";
import * as assert from "uvu/assert";
import { endBootCleanly } from "../../init/commands/shutdown-credit.ts";
import { endAtDeadline } from "../../init/commands/trial-deadline.ts";
import { endFailedTry } from "../../init/commands/trial-failed.ts";
import { Ended } from "../../init/kernel/recording/script.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import { entry, record, slot, TestMachine, trialOfB } from "./commands-machine.ts";

/** systemctl as it answers with these failed units and these blocks of `show`. */
function systemd(failed: string[], shown: Record<string, string>[] = []): string {
  const list = failed.map((unit) => `echo "${unit} loaded failed failed Something"`);
  const blocks = shown.map((block) =>
    Object.entries(block)
      .map(([name, value]) => `echo "${name}=${value}"`)
      .join("; "),
  );
  return `case "$1" in
list-units) ${[":", ...list].join("; ")};;
show) ${[":", ...blocks].join("; echo; ")};;
--force) exit 0;;
esac`;
}

const unitWith = (id: string, action: Record<string, string>) => ({
  Id: id,
  FailureAction: "none",
  StartLimitAction: "none",
  JobTimeoutAction: "none",
  ActiveState: "failed",
  ActiveEnterTimestampMonotonic: "0",
  ...action,
});

test("a clean shutdown gives a committed slot its try back", () => {
  const machine = new TestMachine({ systemctl: systemd([]) });
  const end = endBootCleanly(machine.kernel, machine.places);
  assert.is(end.credited, true);
  assert.equal(machine.slot("a"), slot({ priority: 2, tries: 10, credits: 1 }));
  assert.is(machine.record().attempt?.cleanEnd, true);
  assert.is(machine.attempt(7)?.outcome, "clean");
  assert.is(machine.recordWrites, 1);
});

test("a clean shutdown after a good boot keeps the journal's good", () => {
  const machine = new TestMachine({ systemctl: systemd([]), journal: [entry(7, { outcome: "good", stage: "good" })] });
  endBootCleanly(machine.kernel, machine.places);
  assert.is(machine.attempt(7)?.outcome, "good");
  assert.is(machine.attempt(7)?.reason, "shut down cleanly");
});

test("a trial gets no credit, though its end is clean, and systemd is not even asked", () => {
  const machine = new TestMachine({ ...trialOfB(), systemctl: systemd([]) });
  const end = endBootCleanly(machine.kernel, machine.places);
  assert.equal(end, { slot: "b", credited: false, why: "a trial gets no try back" });
  assert.is(machine.slot("b").tries, 2);
  assert.is(machine.record().attempt?.cleanEnd, true);
  assert.equal(machine.systemctlCalls, []);
});

test("a clean shutdown clears the unclean ends, and gives three credits at most", () => {
  const slots = { a: slot({ priority: 2, tries: 6, credits: 3 }), b: slot() };
  const machine = new TestMachine({ systemctl: systemd([]), record: record({ slots, uncleanEnds: 4 }) });
  assert.is(endBootCleanly(machine.kernel, machine.places).credited, false);
  assert.is(machine.record().uncleanEnds, 0);
  assert.is(machine.slot("a").tries, 6);
});

test("an end that a failure action may have caused earns nothing", () => {
  for (const [failed, blocks, words] of [
    [["app.service"], [unitWith("app.service", { FailureAction: "reboot" })], /app.service failed, and has FailureAction=reboot/],
    [["app.service"], [unitWith("app.service", { StartLimitAction: "reboot" })], /StartLimitAction=reboot/],
    [
      [],
      [unitWith("app.target", { JobTimeoutAction: "reboot", ActiveState: "inactive" })],
      /app.target failed, and has JobTimeoutAction/,
    ],
  ] as const) {
    const machine = new TestMachine({ systemctl: systemd([...failed], [...blocks]) });
    const end = endBootCleanly(machine.kernel, machine.places);
    assert.is(end.credited, false);
    assert.match(end.why, words);
    assert.is(machine.slot("a").tries, 9);
    assert.is(machine.record().attempt?.cleanEnd, true);
  }
});

test("failed units without an action, reached targets and systemd's own endings do not matter", () => {
  const blocks = [
    unitWith("app.service", {}),
    unitWith("reboot.target", { JobTimeoutAction: "reboot-force", ActiveState: "inactive" }),
    unitWith("app.target", { JobTimeoutAction: "reboot", ActiveState: "inactive", ActiveEnterTimestampMonotonic: "812" }),
  ];
  const machine = new TestMachine({ systemctl: systemd(["app.service"], blocks) });
  assert.is(endBootCleanly(machine.kernel, machine.places).credited, true);
  assert.match(machine.systemctlCalls[1] ?? "", /^show .* -- \*\.target app\.service$/);
});

test("a systemd that does not answer earns nothing, and the end is clean all the same", () => {
  const machine = new TestMachine({ systemctl: "exit 1" });
  const end = endBootCleanly(machine.kernel, machine.places);
  assert.match(end.why, /systemd did not tell/);
  assert.is(machine.slot("a").tries, 9);
  assert.is(machine.record().attempt?.cleanEnd, true);
});

test("without systemd a committed slot gets its try back", () => {
  const machine = new TestMachine({ systemctl: systemd([]) });
  const end = endBootCleanly(machine.kernel, { ...machine.places, systemctl: "/nonexistent/systemctl" });
  assert.equal([end.credited, machine.slot("a").tries], [true, 10]);
});

test("a record about another boot is left alone", () => {
  const machine = new TestMachine({ systemctl: systemd([]), record: record({ attempt: null }) });
  assert.match(endBootCleanly(machine.kernel, machine.places).why, /not about this boot/);
  assert.is(machine.recordWrites, 0);
});

test("the deadline notes why, and reboots without waiting for units", () => {
  const machine = new TestMachine({ ...trialOfB(), systemctl: systemd([]) });
  assert.throws(
    () => endAtDeadline(machine.kernel, machine.places),
    (error: unknown) => error instanceof Ended,
  );
  assert.equal(machine.systemctlCalls, ["--force reboot"]);
  const noted = machine.kernel.trace.indexOf('write("/dev/vda1"');
  assert.ok(noted >= 0 && noted < machine.kernel.trace.indexOf("reboot("), machine.kernel.trace);
});

test("what the deadline writes: a failed attempt with its reason, and no clean end", () => {
  const machine = new TestMachine({ ...trialOfB(), systemctl: systemd([]), control: { trialDeadline: 90 } });
  // The machine goes on here, so that its disk can be read.
  machine.kernel.reboot = () => {};
  endAtDeadline(machine.kernel, machine.places);
  assert.is(machine.attempt(7)?.outcome, "failed");
  assert.is(machine.attempt(7)?.reason, "trial deadline of 90 s passed without commit");
  assert.is(machine.record().attempt?.cleanEnd, false);
  assert.is(machine.slot("b").tries, 2);
});

test("the reboot comes though the lock is held and systemd refuses", () => {
  const machine = new TestMachine({ ...trialOfB(), systemctl: "exit 1" });
  const fd = machine.kernel.open(machine.places.lock, 0o102);
  machine.kernel.lock(fd);
  const started = machine.kernel.clocks.bootMs;
  assert.throws(
    () => endAtDeadline(machine.kernel, machine.places),
    (error: unknown) => error instanceof Ended,
  );
  assert.ok(machine.kernel.clocks.bootMs - started < 10_000);
});

test("a failed health check is named", () => {
  const trial = trialOfB();
  const journal = [entry(7, { slot: "b", trial: true, reason: "not committed: degraded /var" })];
  const machine = new TestMachine({ ...trial, journal, systemctl: systemd(["health-modem.service"]) });
  machine.kernel.reboot = () => {};
  endFailedTry(machine.kernel, machine.places);
  assert.is(machine.attempt(7)?.reason, "trial failed: health-modem.service; not committed: degraded /var");
});

test("once the image is committed nothing is ended", () => {
  const machine = new TestMachine({ systemctl: systemd([]) });
  for (const end of [endAtDeadline, endFailedTry]) {
    assert.throws(
      () => end(machine.kernel, machine.places),
      (error: unknown) => error instanceof Refusal && /slot a is committed/.test(error.message),
    );
  }
  assert.equal(machine.systemctlCalls, []);
});

test("a trial that no record counts goes on: the next boot would be the same", () => {
  const trial = trialOfB();
  for (const device of [null, "/dev/vda1"]) {
    const uncounted = { ...trial.report, record: { condition: "unreadable" as const, writable: false, device } };
    const machine = new TestMachine({ ...trial, report: uncounted, systemctl: systemd([]) });
    for (const end of [endAtDeadline, endFailedTry]) {
      assert.throws(
        () => end(machine.kernel, machine.places),
        (error: unknown) => error instanceof Refusal && /slot b goes on/.test(error.message),
      );
    }
    assert.equal(machine.systemctlCalls, []);
  }
});

test.run();
